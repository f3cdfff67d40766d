"""Columns of a feature table: which types are accepted, and what a library gets of them.

Numbers, decimals and booleans become float64 (null becomes NaN); text becomes a pandas category whose categories are
the sorted texts of the whole table. Everything else is refused with the way out.
"""

from __future__ import annotations

import math
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pyarrow.types as pat

from treeline.errors import DataError, one_line


def read_table(path: str, columns: list[str] | None = None) -> pa.Table:
    """Reads a .parquet, .arrow (stream or file) or .csv file. Raises DataError that names the file."""
    suffix = pathlib.Path(path).suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            return pyarrow.parquet.read_table(path, columns=columns)
        if suffix in (".arrow", ".ipc", ".feather"):
            with pa.memory_map(path) as source:
                try:
                    table = pyarrow.ipc.open_file(source).read_all()
                except pa.ArrowInvalid:
                    source.seek(0)
                    table = pyarrow.ipc.open_stream(source).read_all()
        elif suffix == ".csv":
            table = pyarrow.csv.read_csv(path)
        else:
            raise DataError(f"{path}: files of features end in .parquet, .arrow or .csv")
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: {one_line(error)}") from error
    return table.select(columns) if columns else table


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text, plain or dictionary-encoded."""
    if pat.is_dictionary(kind):
        return is_text(kind.value_type)
    return pat.is_string(kind) or pat.is_large_string(kind) or kind == getattr(pa, "string_view", pa.string)()


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is a number, a decimal or a boolean."""
    return pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind) or pat.is_boolean(kind)


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A number column as float64, null as NaN; decimals and wide integers go to the nearest float64."""
    if pat.is_decimal(column.type):
        return np.array([math.nan if v is None else float(v) for v in column.to_pylist()], dtype=np.float64)
    if pat.is_boolean(column.type):
        column = column.cast(pa.int8())
    out = np.empty(len(column), dtype=np.float64)
    at = 0
    for chunk in column.chunks:
        values = chunk
        if chunk.null_count:
            values = pc.fill_null(
                chunk,
                (pa.scalar(0, chunk.type) if not pat.is_floating(chunk.type) else pa.scalar(np.nan, chunk.type)),
            )
        part = values.to_numpy(zero_copy_only=False).astype(np.float64)
        if chunk.null_count and not pat.is_floating(chunk.type):
            part[chunk.is_null().to_numpy(zero_copy_only=False)] = np.nan
        out[at : at + len(part)] = part
        at += len(part)
    return out


def texts(column: pa.ChunkedArray) -> pd.Categorical:
    """A text column as a category; the categories are its texts in ascending order, null is missing."""
    plain = column.cast(pa.string()).combine_chunks()
    if isinstance(plain, pa.ChunkedArray):
        plain = pa.concat_arrays(plain.chunks) if plain.num_chunks else pa.array([], pa.string())
    encoded = plain.dictionary_encode()
    words = encoded.dictionary.to_pylist()
    order = sorted(range(len(words)), key=words.__getitem__)
    rank = np.empty(len(words) + 1, dtype=np.int64)
    rank[order] = np.arange(len(words))
    rank[-1] = -1
    codes = pc.fill_null(encoded.indices, pa.scalar(-1, encoded.indices.type)).to_numpy(zero_copy_only=False)
    return pd.Categorical.from_codes(rank[codes], categories=pd.Index([words[i] for i in order], dtype=object))
