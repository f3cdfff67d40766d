"""The rows of one training: read, checked, and turned into what libraries take."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from treeline.errors import ConfigError, DataError
from treeline.spec import TrainingSpec
from treeline.training.columns import is_number, is_text, numbers, read_table, texts
from treeline.training.labels import Label, read_label

SCORE = re.compile(r"(raw|pred)(_\d+)?")
FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Rows of a feature table.

    table: all columns as they were read, n rows. frame: the n x features matrix as libraries take it, in the order of
    the table: float64 (missing is NaN) or pandas category. label: n values.
    """

    table: pa.Table
    frame: pd.DataFrame
    label: Label

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

    def take(self, mask: np.ndarray) -> Dataset:
        """The rows where mask is true; categories stay those of all rows."""
        return Dataset(
            table=self.table.filter(pa.array(mask)),
            frame=self.frame[mask].reset_index(drop=True),
            label=dataclasses.replace(self.label, values=self.label.values[mask]),
        )


@dataclasses.dataclass(frozen=True)
class Accepts:
    """What a library takes.

    text: text columns, as categories; missing_text: also null ones. unseen: what becomes of a text that training did
    not have: it is "missing", "refused", or "kept" as a category of its own. infinite: infinite numbers. single:
    inputs are rounded to float32 first.
    """

    text: bool = False
    missing_text: bool = True
    unseen: Literal["missing", "refused", "kept"] = "missing"
    infinite: bool = False
    single: bool = False


def load(spec: TrainingSpec, accepts: Accepts, task: str | None, positive: object = None) -> Dataset:
    """Reads and checks the feature table of a spec. Raises DataError or ConfigError that names column and count."""
    table = read_table(spec.features.path)
    check_columns(table, spec)
    check_rows(table, spec)
    label = read_label(table[spec.label_col], spec.label_col, task, positive)
    names = feature_names(table, spec)
    check_types(table, names, spec, accepts)
    frame = pd.DataFrame(
        {name: texts(table[name]) if is_text(table[name].type) else numbers(table[name]) for name in names}
    )
    check_values(frame, accepts)
    return Dataset(table, frame, label)


def feature_names(table: pa.Table, spec: TrainingSpec) -> list[str]:
    """The columns that are neither key, date, label nor excluded, in the table's order."""
    other = {*spec.key_cols, spec.date_col, spec.label_col, *spec.exclude_cols}
    return [name for name in table.column_names if name not in other]


def check_columns(table: pa.Table, spec: TrainingSpec) -> None:
    """Every column that the configuration names must be there, once."""
    have = table.column_names
    if twice := sorted({name for name in have if have.count(name) > 1}):
        raise DataError(f"the feature table has more than one column {', '.join(map(repr, twice))}")
    roles = [("label_col", spec.label_col), ("date_col", spec.date_col)]
    roles += [("key_cols", name) for name in spec.key_cols]
    for role, name in roles:
        if name and name not in have:
            raise DataError(f"{role} {name!r} is no column of the feature table, which has {', '.join(have)}")
    if absent := [name for name in spec.exclude_cols if name not in have]:
        raise DataError(f"exclude_cols names {', '.join(map(repr, absent))}, which the feature table does not have")
    if reserved := [name for name in have if SCORE.fullmatch(name)]:
        raise DataError(f"column {reserved[0]!r} has a name that is kept for the scores; rename it in features_sql")


def check_rows(table: pa.Table, spec: TrainingSpec) -> None:
    """There are rows, as many as were pinned, and their keys identify them on each day."""
    if table.num_rows == 0:
        raise DataError(
            "the feature table has no rows"
            + (f" up to {spec.features.compute_date}" if spec.features.compute_date else "")
        )
    if spec.features.rows is not None and table.num_rows != spec.features.rows:
        raise DataError(
            f"{spec.features.path} has {table.num_rows} rows, but {spec.features.rows} were pinned:"
            " the file is cut or was replaced"
        )
    keys = [*spec.key_cols, *([spec.date_col] if spec.date_col else [])]
    for name in keys:
        if nulls := table[name].null_count:
            raise DataError(
                f"column {name!r} is null in {nulls} of {table.num_rows} rows, which therefore have no name"
            )
    if spec.date_col and spec.features.compute_date:
        late = [
            day for day in pc.unique(table[spec.date_col]).to_pylist() if str(day)[:10] > spec.features.compute_date
        ]
        if late:
            raise DataError(
                f"the feature table has rows of {len(late)} days after {spec.features.compute_date} (up to {max(late)}),"
                " whose labels cannot be known yet"
            )
    if not spec.key_cols:
        return
    plain = pa.table({name: _plain(table[name]) for name in keys})
    counts = plain.append_column("__n", pa.array(np.ones(table.num_rows, dtype=np.int64)))
    grouped = counts.group_by(keys).aggregate([("__n", "sum")])
    repeated = grouped.filter(pc.greater(grouped["__n_sum"], 1))
    if repeated.num_rows:
        extra = pc.sum(repeated["__n_sum"]).as_py() - repeated.num_rows
        raise DataError(
            f"{repeated.num_rows} keys ({', '.join(spec.key_cols)}) occur more than once"
            f"{' on one ' + spec.date_col if spec.date_col else ''}: {extra} rows too many"
        )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def check_types(table: pa.Table, names: list[str], spec: TrainingSpec, accepts: Accepts) -> None:
    """Every feature has a type that the trainer takes."""
    if not names:
        raise DataError("no feature column is left after key, date, label and excluded columns")
    out = "exclude it (data.exclude_cols) or turn it into a number in data.features_sql"
    for name in names:
        kind = table[name].type
        if pa.types.is_null(kind) or table[name].null_count == table.num_rows:
            raise DataError(f"column {name!r} is null in all {table.num_rows} rows; exclude it (data.exclude_cols)")
        if not is_text(kind) and not is_number(kind):
            raise DataError(f"column {name!r} is {kind}, which is no feature; {out}")
    texts_found = [name for name in names if is_text(table[name].type)]
    if texts_found and not accepts.text:
        count = len(pc.unique(_plain(table[texts_found[0]])))
        raise DataError(
            f"{spec.trainer_class.rpartition('.')[2]} takes numbers only, but {len(texts_found)} columns are text:"
            f" {', '.join(map(repr, texts_found))} ({texts_found[0]!r} has {count} values);"
            " exclude them (data.exclude_cols), encode them in data.features_sql, or use a LightGBM or XGBoost trainer"
        )
    if accepts.missing_text:
        return
    for name in texts_found:
        if nulls := table[name].null_count:
            raise DataError(
                f"text column {name!r} is null in {nulls} of {table.num_rows} rows, which"
                f" {spec.trainer_class.rpartition('.')[2]} does not take; write a text for it in data.features_sql"
            )


def check_values(frame: pd.DataFrame, accepts: Accepts) -> None:
    """Libraries that compute in float32 refuse what float32 cannot hold."""
    if accepts.infinite:
        return
    for name, column in frame.items():
        if column.dtype != np.float64:
            continue
        if count := int((np.abs(column.to_numpy()) > FLOAT32_MAX).sum()):
            raise DataError(
                f"column {name!r} is infinite, or beyond float32, in {count} of {len(frame)} rows;"
                " cap it or make it null in data.features_sql"
            )


def reserved(hyperparameters: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The hyperparameters of these names, of which at most one is given. Raises ConfigError when there are several."""
    given = {name: hyperparameters[name] for name in names if name in hyperparameters}
    if len(given) > 1:
        raise ConfigError(f"hyperparameters {' and '.join(given)} mean the same; give one of them")
    return given
