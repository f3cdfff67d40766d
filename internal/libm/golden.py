"""Writes testdata/<function>.bin: arguments and results of the system's C library, little-endian pairs.

    python golden.py [count-per-function [directory]]
"""
import ctypes
import math
import os
import random
import struct
import sys

libm = ctypes.CDLL("libm.so.6")
count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
directory = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "testdata")


def as64(b):
    return struct.unpack("<d", struct.pack("<Q", b & (2**64 - 1)))[0]


def as32(b):
    return struct.unpack("<f", struct.pack("<I", b & (2**32 - 1)))[0]


def near(values, fmt, back):
    """The values and four neighbours on each side, by bit pattern."""
    out = []
    for v in values:
        bits = struct.unpack(fmt[1], struct.pack(fmt[0], v))[0]
        out += [back(bits + d) for d in range(-4, 5)]
    return out


COMMON = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 1e-9, -1e-9, math.inf, -math.inf, math.nan]
EDGES64 = COMMON + near(
    [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308, 709.782712893384, 710.0,
     -708.3964185322641, -745.1332191019412, -745.5, -744.4400719213812, 512.0, -512.0, 1024.0, -1024.0, 1.0, -1.0,
     2.0**-54, -(2.0**-54), 2.0**-29, -(2.0**-29), 0.9375, 1.064697265625, 0.41421356237309503, -0.2928932188134524,
     2.0**53, 2.0**20, 2.0**-20, 2.0**-1, 3.0, 7.0, 1e300, 1e-300], ("<d", "<Q"), as64)
EDGES32 = COMMON + near(
    [1e-45, 1.1754943508222875e-38, 3.4028234663852886e38, 88.0, -88.0, 88.72283172607422, -87.33654022216797,
     -103.97207641601562, -103.2789306640625, 1.0, 0.69921875, 1.3984375, 2.0, 0.5, 1e30, 1e-30, 16.0],
    ("<f", "<I"), as32)


def arguments64(name, rng):
    yield from EDGES64
    for i in range(count):
        kind = i % 5
        if kind == 0:
            yield as64(rng.getrandbits(64))
        elif kind == 1:
            yield rng.gauss(0, 3)
        elif kind == 2:
            yield rng.uniform(-750, 750)
        elif kind == 3:
            yield math.ldexp(rng.uniform(-1, 1), -rng.randrange(60))
        else:
            yield 1 + math.ldexp(rng.uniform(-1, 1), -rng.randrange(50)) - (1 if name == "log1p" else 0)


def arguments32(rng):
    for x in EDGES32:
        yield struct.unpack("<f", struct.pack("<f", x))[0]
    for i in range(count):
        kind = i % 4
        if kind == 0:
            yield as32(rng.getrandbits(32))
        elif kind == 1:
            yield as32(struct.unpack("<I", struct.pack("<f", rng.gauss(0, 3)))[0])
        elif kind == 2:
            yield as32(struct.unpack("<I", struct.pack("<f", rng.uniform(-110, 95)))[0])
        else:
            yield as32(struct.unpack("<I", struct.pack("<f", 1 + rng.uniform(-0.5, 0.5)))[0])


def main():
    os.makedirs(directory, exist_ok=True)
    for seed, name in enumerate(["exp", "log", "log1p", "expf", "logf"]):
        rng = random.Random(seed)
        single = name.endswith("f")
        f = getattr(libm, name)
        f.restype = ctypes.c_float if single else ctypes.c_double
        f.argtypes = [f.restype]
        with open(os.path.join(directory, name + ".bin"), "wb") as out:
            for x in arguments32(rng) if single else arguments64(name, rng):
                out.write(struct.pack("<ff" if single else "<dd", x, f(x)))


main()
