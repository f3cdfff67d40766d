"""Splits rows into training rows and holdout, the same way on every machine and every day.

key_hash   A row is held out when hash(key) / 2**64 < holdout_fraction; hash is the first eight bytes, big-endian, of

               SHA-256( "treeline-split-1" 0x1F <seed> 0x1F <key 1> 0x1F <key 2> ... )

           in UTF-8. A key column is written as: integers in decimal, booleans as true or false, text as it is, dates as
           2026-11-02, floating-point numbers as Python's repr, decimals without trailing zeros; 0x1F and backslash in a
           text are preceded by a backslash. A key is on the same side on all its days, in every training.
time       The latest days are held out: as few of them as hold at least holdout_fraction of the rows.
"""

from __future__ import annotations

import datetime
import decimal
import hashlib

import numpy as np
import pyarrow as pa

from treeline.errors import DataError
from treeline.spec import Split

DOMAIN = "treeline-split-1"
SEPARATOR = "\x1f"


def canonical(value: object) -> str:
    """The text of a key value that is hashed. Raises DataError for a value of another type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace(SEPARATOR, "\\" + SEPARATOR)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, decimal.Decimal):
        text = format(value.normalize(), "f")
        return "0" if text == "-0" else text
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    raise DataError(f"a key of type {type(value).__name__} cannot be hashed; use integers, text, dates or booleans")


def hash_key(seed: int, values: tuple[object, ...]) -> int:
    """The 64-bit hash of one key."""
    text = SEPARATOR.join([DOMAIN, str(seed), *map(canonical, values)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def by_key(table: pa.Table, keys: tuple[str, ...], split: Split) -> np.ndarray:
    """Which rows are held out, by the hash of their key: a boolean array."""
    limit = int(split.holdout_fraction * 2.0**64)
    known: dict[tuple[object, ...], bool] = {}
    out = np.empty(table.num_rows, dtype=bool)
    columns = [table[name].to_pylist() for name in keys]
    for row, key in enumerate(zip(*columns)):
        held = known.get(key)
        if held is None:
            held = known[key] = hash_key(split.seed, key) < limit
        out[row] = held
    return out


def by_time(table: pa.Table, date_col: str, split: Split) -> np.ndarray:
    """Which rows are held out, by their day: a boolean array. Raises DataError when there is only one day."""
    column = table[date_col].combine_chunks()
    days = np.asarray([str(v)[:10] for v in column.to_pylist()])
    names, counts = np.unique(days, return_counts=True)
    if len(names) < 2:
        raise DataError(
            f"all {table.num_rows} rows are of one day ({date_col} = {names[0]}), so none can be held out by time;"
            " train on more days or split by key_hash"
        )
    held, chosen = 0, len(names)
    while chosen > 1 and held < split.holdout_fraction * table.num_rows:
        chosen -= 1
        held += int(counts[chosen])
    return days >= names[chosen]


def holdout(table: pa.Table, keys: tuple[str, ...], date_col: str, split: Split) -> np.ndarray:
    """Which rows are held out. Raises DataError when either side is empty."""
    held = by_time(table, date_col, split) if split.method == "time" else by_key(table, keys, split)
    if held.all() or not held.any():
        side = "training" if held.all() else "holdout"
        raise DataError(
            f"the split by {split.method} of {len(held)} rows leaves no {side} rows"
            f" at holdout_fraction {split.holdout_fraction}; there are too few rows or keys"
        )
    return held
