"""Recomputes output digests as docs/format/output-digest.md defines them, and writes the vectors that the Go tests check.

    python scoring/testdata/output_digest.py > scoring/testdata/output_digest.json

Standard library only: it shares no code with the engine.
"""
import datetime as dt
import hashlib
import json
import math
import struct
from decimal import Decimal


def key(v):
    if v is None:
        return b"\x00"
    if isinstance(v, bool):
        return b"\x06" + bytes([v])
    if isinstance(v, int):
        return b"\x01" + struct.pack("<q", v) if v < 2**63 else b"\x02" + struct.pack("<Q", v)
    if isinstance(v, str):
        raw = v.encode()
        return b"\x03" + struct.pack("<I", len(raw)) + raw
    if isinstance(v, bytes):
        return b"\x04" + struct.pack("<I", len(v)) + v
    if isinstance(v, float):
        return b"\x05" + double(v)
    if isinstance(v, dt.datetime):
        micros = (v - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)) // dt.timedelta(microseconds=1)
        return b"\x08" + struct.pack("<qI", micros // 1_000_000, micros % 1_000_000 * 1000)
    if isinstance(v, dt.date):
        return b"\x07" + struct.pack("<q", (v - dt.date(1970, 1, 1)).days)
    if isinstance(v, Decimal):
        sign, digits, exponent = v.as_tuple()
        unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
        return b"\x09" + struct.pack("<i", -exponent) + unscaled.to_bytes(16, "little", signed=True)
    raise TypeError(type(v))


def double(v):
    return b"\x00\x00\x00\x00\x00\x00\xf8\x7f" if math.isnan(v) else struct.pack("<d", v)


def score(v):
    return b"\x00" if v is None else b"\x10" + double(v)


def digest(rows):
    total = 0
    for keys, scores in rows:
        message = b"".join(map(key, keys)) + b"".join(map(score, scores))
        total += int.from_bytes(hashlib.sha256(message).digest()[:16], "little")
    return f"{total % 2**128:032x}"


if __name__ == "__main__":
    utc = dt.timezone.utc
    cases = {
        "empty": [],
        "int": [((7,), (0.25,))],
        "ints": [((i - 5,), (i / 11,)) for i in range(11)],
        "unsigned": [((2**63 - 1,), (0.5,)), ((2**63,), (0.5,)), ((2**64 - 1,), (0.5,))],
        "text": [(("",), (0.1,)), (("a",), (0.2,)), (("Ünïcode \U0001f333",), (0.3,)), ((None,), (0.4,))],
        "binary": [((b"\x00\xff",), (0.1,))],
        "float": [((-0.0,), (1.0,)), ((math.nan,), (2.0,)), ((1e300,), (3.0,))],
        "bool": [((True,), (0.1,)), ((False,), (0.2,)), ((None,), (0.3,))],
        "date": [((dt.date(1969, 12, 31),), (0.1,)), ((dt.date(2026, 11, 2),), (0.2,))],
        "timestamp": [
            ((dt.datetime(1969, 12, 31, 23, 59, 59, 999999, utc),), (0.1,)),
            ((dt.datetime(2026, 11, 2, 3, 4, 5, 600007, utc),), (0.2,)),
        ],
        "decimal": [((Decimal("-12.34"),), (0.1,)), ((Decimal("99999999999999999999999999999999.99"),), (0.2,))],
        "two_keys": [((i // 3, f"k{i % 3}"), (1.0 / (i + 1),)) for i in range(9)],
        "three_scores": [((i,), (0.1 * i, 0.2 * i, 1 - 0.3 * i)) for i in range(4)],
        "special_scores": [((1,), (math.nan,)), ((2,), (math.inf,)), ((3,), (-0.0,)), ((4,), (5e-324,))],
        "null_scores": [((1,), (0.5, 0.5)), ((2,), (None, None))],
    }
    print(json.dumps({name: digest(rows) for name, rows in cases.items()}, indent=1))
