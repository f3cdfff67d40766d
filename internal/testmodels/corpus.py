"""What generate.py and generate_legacy.py share: tables with awkward rows, and writing a case.

A case is a directory corpus/<library>-<version>/<name>/ with
  model.txt | model.json | model.ubj | model.bin   the library's own files of one booster
  rows.parquet                                     feature columns as the library got them, then raw.. and pred..,
                                                   computed by the library from the file that stands beside
  case.json                                        names, types and shapes; for a refused model the reason
"""

import json
import math
import pathlib
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "corpus"

# Values around LightGBM's zero threshold, around zero, and at the ends of the types.
SPECIAL = [
    0.0, -0.0, 5e-324, -5e-324, 1e-310, 1e-45, -1e-45, 1e-40, 1e-36, -1e-36, 9.99e-36,
    1.0000000180025095e-35, -1.0000000180025095e-35,
    math.nextafter(1.0000000180025095e-35, 1), -math.nextafter(1.0000000180025095e-35, 1),
    1.1e-35, 1e-20, 0.5, 1.0, -1.0, 1e10, -1e10, 3.4028234663852886e38, -3.4028234663852886e38,
]
INFINITE = [math.inf, -math.inf, 1e300, -1e300, 1.7976931348623157e308]
CODES = [
    -1.0, -0.5, -0.9999, -1.5, 0.5, 0.9999, 3.7, 31.0, 31.9, 32.0, 33.0, 63.0, 64.0, 99.0, 1023.0, 1024.0, 4095.5,
    16777214.0, 16777215.0, 16777216.0, 16777217.0, 2e7, 1e9, 2147483647.0, 2147483648.0, 3e9, -3e9, 1e20, -1e20,
]


class Table:
    """Feature columns. kind: f64, f32, i64, bool, code (a number that is a category), cat (pandas category)."""

    def __init__(self, columns, frame):
        self.columns = columns  # name -> kind; frame: whether the library gets a DataFrame
        self.frame = frame

    def build(self, data):
        """data: name -> array (None for missing in cat columns); returns what the library gets."""
        if not self.frame:
            kinds = set(self.columns.values())
            dtype = np.float32 if kinds == {"f32"} else np.float64
            return np.column_stack([np.asarray(data[n], dtype=dtype) for n in self.columns])
        out = {}
        for name, kind in self.columns.items():
            v = data[name]
            if kind == "cat":
                out[name] = pd.Categorical(v, categories=self.categories[name],
                                           ordered=name in getattr(self, "ordered", ()))
            elif kind in ("f64", "code"):
                out[name] = np.asarray(v, dtype=np.float64)
            elif kind == "f32":
                out[name] = np.asarray(v, dtype=np.float32)
            elif kind == "i64":
                out[name] = np.asarray(v, dtype=np.int64)
            elif kind == "bool":
                out[name] = np.asarray(v, dtype=bool)
        return pd.DataFrame(out)


def neighbours(value, single):
    """value, one unit in the last place below and above; as float32 also doubles that round to it."""
    if not single:
        return [value, math.nextafter(value, -math.inf), math.nextafter(value, math.inf)]
    v = np.float32(value)
    lo, hi = np.nextafter(v, np.float32(-np.inf)), np.nextafter(v, np.float32(np.inf))
    half = (float(v) + float(hi)) / 2
    return [float(v), float(lo), float(hi), half, math.nextafter(half, -math.inf)]


def edge_rows(rng, table, pool, thresholds, single, infinite, limit, unseen=()):
    """Rows of pool's distribution in which one value after the other is awkward.

    pool: name -> array of ordinary values; thresholds: list of (column index, threshold).
    """
    names = list(table.columns)
    wanted = []
    order = rng.permutation(len(thresholds))
    for i in order:
        column, value = thresholds[i]
        for v in neighbours(value, single):
            wanted.append((names[column], v))
    wanted = wanted[: limit // 2]
    for name, kind in table.columns.items():
        if kind in ("f64", "f32"):
            special = SPECIAL + (INFINITE if infinite else [])
            wanted += [(name, v) for v in special]
            wanted += [(name, math.nan)] * 3
        elif kind == "code":
            wanted += [(name, v) for v in CODES + ([math.inf, -math.inf] if infinite else [])]
            wanted += [(name, math.nan)] * 3
        elif kind == "i64":
            wanted += [(name, v) for v in (0, 1, -1, 31, 32, 1 << 31, 1 << 40, -(1 << 40), (1 << 53) + 1)]
        elif kind == "cat":
            wanted += [(name, v) for v in list(unseen)] + [(name, None)] * 3
    keep = rng.permutation(len(wanted))[:limit]
    wanted = [wanted[i] for i in sorted(keep)]
    picks = rng.integers(0, len(next(iter(pool.values()))), len(wanted))
    data = {n: [pool[n][p] for p in picks] for n in names}
    for row, (name, value) in enumerate(wanted):
        kind = table.columns[name]
        if kind == "i64" and (isinstance(value, float) and not value.is_integer()):
            value = int(math.floor(value))
        elif kind == "i64":
            value = int(value)
        elif kind == "bool":
            value = bool(value)
        elif kind == "f32":
            value = float(np.float32(np.clip(value, -3.4e38, 3.4e38))) if math.isfinite(value) else value
        elif kind == "cat" and isinstance(value, float):
            continue
        data[name][row] = value
    # A row that is missing throughout, where a column can be.
    for name, kind in table.columns.items():
        data[name].append({"cat": None, "i64": 0, "bool": False}.get(kind, math.nan))
    return data


def arrow_column(kind, values, dictionary):
    if kind == "cat":
        values = [None if v is None or (isinstance(v, float) and math.isnan(v)) else v for v in values]
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
        column = pa.array(values)
        return column.dictionary_encode() if dictionary and pa.types.is_string(column.type) else column
    if kind == "f32":
        return pa.array(np.asarray(values, dtype=np.float32))
    if kind == "i64":
        return pa.array(np.asarray(values, dtype=np.int64))
    if kind == "bool":
        return pa.array(np.asarray(values, dtype=bool))
    return pa.array(np.asarray(values, dtype=np.float64))


def score_columns(name, values, dtype):
    values = np.asarray(values)
    assert values.dtype == dtype, (name, values.dtype)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 1:
        return {name: pa.array(values)}
    return {f"{name}_{k}": pa.array(np.ascontiguousarray(values[:, k])) for k in range(values.shape[1])}


def case_dir(library, version, name):
    where = CORPUS / f"{library}-{version}" / name
    if where.exists():
        shutil.rmtree(where)
    where.mkdir(parents=True)
    return where


def write_case(where, table, data, raw, pred, dtype, **facts):
    columns = {}
    for i, (name, kind) in enumerate(table.columns.items()):
        columns[name] = arrow_column(kind, data[name], dictionary=i % 2 == 0)
    raw_columns = score_columns("raw", raw, dtype)
    pred_columns = score_columns("pred", pred, dtype)
    columns.update(raw_columns)
    columns.update(pred_columns)
    pq.write_table(pa.table(columns), where / "rows.parquet", compression="zstd", compression_level=19,
                   use_dictionary=[n for n, k in table.columns.items() if k == "cat"] or False)
    write_json(where, features=[{"name": n, "kind": k} for n, k in table.columns.items()],
               raw=list(raw_columns), pred=list(pred_columns), **facts)


def write_json(where, **facts):
    (where / "case.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
