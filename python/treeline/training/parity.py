"""Golden rows: feature rows with the library's own scores, with which the daemon proves that it computes the same.

Half of the rows are drawn from the data. In the other half one value after the other is awkward: a split threshold of
the model or the float next to it, missing, minus zero, a huge or tiny number, an unseen or missing category. A few
rows hold what the library refuses; that it does is tried out, and their scores are null.
"""

from __future__ import annotations

import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from treeline.training.dataset import FLOAT32_MAX, Accepts

MIN_ROWS = 1000
UNSEEN = "never seen in training"
TINY = [
    -0.0,
    0.0,
    5e-324,
    1e-45,
    1e-36,
    -1e-36,
    1.0000000180025095e-35,
    1e10,
    -1e10,
    FLOAT32_MAX,
    -FLOAT32_MAX,
]
INFINITE = [np.inf, -np.inf, 1e300, -1e300]

Points = list[tuple[str, float]]


def neighbours(value: float, single: bool) -> list[float]:
    """A threshold, and the floats one unit in the last place below and above it."""
    if not single:
        return [value, float(np.nextafter(value, -np.inf)), float(np.nextafter(value, np.inf))]
    with np.errstate(over="ignore"):
        near = np.float32(value)
        sides = [np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)]
    return [float(near), *map(float, sides)]


def edge_rows(frame: pd.DataFrame, points: Points, rows: int, seed: int, accepts: Accepts) -> pd.DataFrame:
    """max(rows, MIN_ROWS) rows of the frame's columns and types, the second half of them awkward."""
    rng = np.random.default_rng(seed)
    rows = max(rows, MIN_ROWS)
    out = frame.iloc[rng.integers(0, len(frame), rows)].reset_index(drop=True)
    numeric = [name for name in frame.columns if frame[name].dtype == np.float64]
    text = [name for name in frame.columns if name not in numeric]
    values = {name: out[name].to_numpy().copy() for name in numeric}
    words = {name: np.asarray(out[name].astype(object)).copy() for name in text}
    usable = [point for point in points if point[0] in values]
    near = [
        (usable[i][0], value)
        for i in rng.permutation(len(usable))[:rows]
        for value in neighbours(usable[i][1], accepts.single)
        if np.isfinite(value) and (accepts.infinite or abs(value) <= FLOAT32_MAX)
    ]
    order = rng.permutation(len(near))
    special = TINY + (INFINITE if accepts.infinite else [])
    for i, row in enumerate(range(rows // 2, rows)):
        if near:
            name, value = near[order[i % len(near)]]
            values[name][row] = value
        if numeric and i % 4 != 0:
            other = numeric[rng.integers(0, len(numeric))]
            values[other][row] = np.nan if i % 4 == 1 else special[rng.integers(0, len(special))]
        if text and i % 5 == 0:
            other = text[rng.integers(0, len(text))]
            known = list(frame[other].cat.categories)
            choices = [known[rng.integers(0, len(known))]]
            choices += [None] if accepts.missing_text else []
            choices += [UNSEEN] if accepts.unseen != "refused" else []
            words[other][row] = choices[rng.integers(0, len(choices))]
    last = rows - 1  # a row that is missing throughout
    for name in numeric:
        values[name][last] = np.nan
    for name in text:
        words[name][last] = None if accepts.missing_text else words[name][last]
    return pd.DataFrame({name: values[name] if name in values else words[name] for name in frame.columns})


def refused_rows(frame: pd.DataFrame, accepts: Accepts) -> pd.DataFrame:
    """Rows that the library is said to refuse: infinite numbers and unknown categories. There may be none."""
    made = []
    numeric = [name for name in frame.columns if frame[name].dtype == np.float64]
    text = [name for name in frame.columns if name not in numeric]
    base = frame.iloc[[0]].astype({name: object for name in text})
    if numeric and not accepts.infinite:
        for value in (np.inf, -np.inf, 1e39):
            made.append(base.assign(**{numeric[0]: value}))
    if text and accepts.unseen == "refused":
        made.append(base.assign(**{text[-1]: UNSEEN}))
    return pd.concat(made, ignore_index=True) if made else base.iloc[:0]


def as_library_gets(rows: pd.DataFrame, frame: pd.DataFrame, accepts: Accepts) -> pd.DataFrame:
    """Texts become categories of the frame's vocabulary; a text outside it becomes missing, or one more category."""
    out = {}
    for name in frame.columns:
        if frame[name].dtype == np.float64:
            out[name] = rows[name].to_numpy(dtype=np.float64)
            continue
        known = frame[name].cat.categories
        if accepts.unseen == "kept":
            known = known.append(pd.Index(sorted({w for w in rows[name].dropna() if w not in known}), dtype=object))
        out[name] = pd.Categorical(rows[name].where(rows[name].isin(known), None), categories=known)
    return pd.DataFrame(out)


def score_columns(name: str, values: np.ndarray, nulls: int = 0) -> dict[str, pa.Array]:
    """Arrow columns of scores, in the library's own float type: name, or name_0 ... for several outputs."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    columns = {name: values} if values.ndim == 1 else {f"{name}_{k}": values[:, k] for k in range(values.shape[1])}
    out = {}
    for column, array in columns.items():
        plain = pa.array(np.ascontiguousarray(array))
        out[column] = pa.concat_arrays([plain, pa.nulls(nulls, plain.type)]) if nulls else plain
    return out


def feature_columns(rows: pd.DataFrame) -> dict[str, pa.Array]:
    """Arrow columns of features: float64 (missing is null) and text."""
    out = {}
    for name, column in rows.items():
        if column.dtype == np.float64:
            out[name] = pa.array(column.to_numpy(), pa.float64(), from_pandas=True)
        else:
            out[name] = pa.array([None if pd.isna(v) else v for v in column], pa.string())
    return out


def write_golden(
    path: pathlib.Path, rows: pd.DataFrame, refused: pd.DataFrame, raw: np.ndarray, pred: np.ndarray
) -> int:
    """Writes rows with raw and pred, then the refused rows with null scores; returns their number."""
    columns = feature_columns(pd.concat([rows, refused], ignore_index=True) if len(refused) else rows)
    columns |= score_columns("raw", raw, len(refused)) | score_columns("pred", pred, len(refused))
    pq.write_table(pa.table(columns), path, compression="zstd")
    return len(rows) + len(refused)
