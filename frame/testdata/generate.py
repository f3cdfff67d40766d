"""Writes decimal.json beside this file: unscaled integers with scales and the float64 that Python's decimal module gives for them."""

import decimal
import json
import random
import struct
from pathlib import Path

decimal.getcontext().prec = 200
random.seed(7)


def bits(x):
    return struct.unpack("<q", struct.pack("<d", x))[0]


def case(unscaled, scale, width):
    value = decimal.Decimal(unscaled).scaleb(-scale)
    return [str(unscaled), scale, width, str(bits(float(value)))]


cases = []
for width, digits in ((128, 38), (256, 76)):
    limit = 10**digits - 1
    for scale in (-5, 0, 1, 2, 10, 22, 23, 30, digits):
        for unscaled in (0, 1, -1, 5, 10**15 + 1, 2**53 - 1, 2**53, 2**53 + 1, 2**53 + 3, -(2**53) - 1, limit, -limit, 10**19, 10**19 - 1, 10**37 + 1):
            cases.append(case(unscaled, scale, width))
    for _ in range(400):
        n = random.randint(1, digits)
        unscaled = random.randint(-(10**n), 10**n)
        cases.append(case(max(-limit, min(limit, unscaled)), random.randint(-10, digits), width))

# Exact midpoints between neighbouring doubles, and one unit to either side of them.
for _ in range(200):
    m = random.getrandbits(53) | 1 << 52
    e = random.randint(-40, 60)
    midpoint = decimal.Decimal(2 * m + 1) * decimal.Decimal(2) ** (e - 1)
    sign, digits, exponent = midpoint.as_tuple()
    unscaled = int("".join(map(str, digits)))
    scale = -exponent
    if exponent > 0:
        unscaled, scale = unscaled * 10**exponent, 0
    for delta in (-1, 0, 1):
        if abs(unscaled + delta) < 10**76 and scale <= 76:
            cases.append(case(unscaled + delta, scale, 256))

lines = ",\n".join(json.dumps(c) for c in cases)
Path(__file__).with_name("decimal.json").write_text("[\n" + lines + "\n]\n")
