"""DriftDetector: one two-sample test a feature; the rules are those of docs/format/drift.md, shared with the Go side.

result = DriftDetector(p_threshold=0.05).detect(reference_df, current_df)
result.overall_drift, result.drifted, result.to_frame()
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat
from scipy import stats

KS, CHI2, NONE = "ks", "chi2", "none"


@dataclasses.dataclass(frozen=True)
class FeatureDrift:
    """One feature: which test (ks, chi2 or none), its figures, and whether p_value < p_threshold."""

    feature: str
    test: str
    statistic: float
    p_value: float
    drift: bool
    reference_null_rate: float
    current_null_rate: float
    reason: str


@dataclasses.dataclass(frozen=True)
class DriftResult:
    """All features in column order. overall_drift: any of them drifts."""

    overall_drift: bool
    p_threshold: float
    reference_rows: int
    current_rows: int
    features: tuple[FeatureDrift, ...]

    @property
    def drifted(self) -> list[str]:
        """Names of the features that drift, in column order."""
        return [f.feature for f in self.features if f.drift]

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return {
            **dataclasses.asdict(self),
            "features": [dataclasses.asdict(f) for f in self.features],
            "drifted": self.drifted,
        }

    def to_frame(self) -> pd.DataFrame:
        """One row a feature."""
        return pd.DataFrame([dataclasses.asdict(f) for f in self.features])


class DriftDetector:
    """Compares current data with reference data, feature by feature.

    p_threshold: a feature drifts when its p-value is smaller; in (0, 1), else ValueError. No correction is made for the
    number of features.
    """

    def __init__(self, p_threshold: float = 0.05) -> None:
        if not 0 < p_threshold < 1:
            raise ValueError(f"p_threshold is {p_threshold}, want a number between 0 and 1")
        self.p_threshold = float(p_threshold)

    def detect(
        self,
        reference: pd.DataFrame | pa.Table,
        current: pd.DataFrame | pa.Table,
        columns: Sequence[str] | None = None,
    ) -> DriftResult:
        """Tests the columns of reference (or those named) on n reference and m current rows.

        Raises ValueError when either side has no rows, when current lacks columns, or when a column's type is neither
        number, boolean nor text, or is a number on one side only; the message names every such column.
        """
        ref, cur = _table(reference), _table(current)
        names = list(columns) if columns is not None else ref.column_names
        for side, table in (("reference", ref), ("current", cur)):
            if table.num_rows == 0:
                raise ValueError(f"the {side} data has no rows")
            if absent := [name for name in names if name not in table.column_names]:
                raise ValueError(f"the {side} data lacks the columns {', '.join(map(repr, absent))}")
        tests, problems = {}, []
        for name in names:
            try:
                tests[name] = _test_of(name, ref[name].type, cur[name].type)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(problems))
        features = tuple(self._feature(name, tests[name], ref[name], cur[name]) for name in names)
        return DriftResult(any(f.drift for f in features), self.p_threshold, ref.num_rows, cur.num_rows, features)

    def _feature(self, name: str, test: str, ref: pa.ChunkedArray, cur: pa.ChunkedArray) -> FeatureDrift:
        sides: tuple[Any, Any] = (_numbers(ref), _numbers(cur)) if test == KS else (_words(ref), _words(cur))
        present = [_present(side, test) for side in sides]
        rates = [1 - len(kept) / len(side) for kept, side in zip(present, sides)]
        if test == NONE or (test == KS and not len(present[0]) and not len(present[1])):
            return FeatureDrift(name, NONE, 0.0, 1.0, False, rates[0], rates[1], "no values on either side")
        if test == KS and not (len(present[0]) and len(present[1])):
            side = "reference" if not len(present[0]) else "current"
            return FeatureDrift(name, KS, 1.0, 0.0, True, rates[0], rates[1], f"no values in the {side} data")
        statistic, p_value = kolmogorov_smirnov(*present) if test == KS else chi_square(*sides)
        drift = p_value < self.p_threshold
        figure = "KS D" if test == KS else "chi-square"
        reason = f"{figure} {statistic:.6g}, p-value {p_value:.3g} {'<' if drift else '>='} {self.p_threshold:g}"
        return FeatureDrift(name, test, statistic, p_value, drift, rates[0], rates[1], reason)


def kolmogorov_smirnov(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    """D and its p-value of n and m values (rules 8 to 10 of docs/format/drift.md). Neither may be empty."""
    n, m = len(reference), len(current)
    if round(n * m / (n + m)) == 0:
        return float(stats.ks_2samp(reference, current, method="exact").statistic), 1.0
    result = stats.ks_2samp(reference, current, method="asymp")
    return float(result.statistic), float(result.pvalue)


def chi_square(reference: Sequence[str | None], current: Sequence[str | None]) -> tuple[float, float]:
    """The statistic and its p-value of two lists of categories, None for missing (rules 11 and 12)."""
    counts = [_count(reference), _count(current)]
    known = {word for count in counts for word in count}
    order: list[str | None] = [*sorted(w for w in known if w is not None)]
    order += [None] if None in known else []
    table = np.array([[count.get(word, 0) for word in order] for count in counts], dtype=np.int64)
    result = stats.chi2_contingency(table, correction=False)
    return float(result.statistic), float(result.pvalue)


def _count(words: Sequence[str | None]) -> dict[str | None, int]:
    out: dict[str | None, int] = {}
    for word in words:
        out[word] = out.get(word, 0) + 1
    return out


def _table(data: pd.DataFrame | pa.Table) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    return pa.table({str(name): _arrow(data[name]) for name in data.columns})


def _arrow(column: pd.Series) -> pa.Array | pa.ChunkedArray:
    """A pandas column by its declared type; a category of numbers becomes text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pa.array([None if pd.isna(v) else str(v) for v in column.astype(object)], pa.string())
    return pa.array(column, from_pandas=True)


def _test_of(name: str, ref: pa.DataType, cur: pa.DataType) -> str:
    tests = {_kind(name, ref), _kind(name, cur)} - {NONE}
    if len(tests) > 1:
        raise ValueError(f"column {name!r} is {ref} in the reference data and {cur} in the current data")
    return tests.pop() if tests else NONE


def _kind(name: str, kind: pa.DataType) -> str:
    if pat.is_dictionary(kind):
        kind = kind.value_type
    if pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind):
        return KS
    if pat.is_boolean(kind) or pat.is_string(kind) or pat.is_large_string(kind) or str(kind) == "string_view":
        return CHI2
    if pat.is_null(kind):
        return NONE
    raise ValueError(f"column {name!r} is {kind}: drift is tested on numbers, booleans and text")


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    from treeline.training.columns import numbers

    if pat.is_null(column.type):
        return np.full(len(column), np.nan)
    if pat.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return numbers(column)


def _words(column: pa.ChunkedArray) -> list[str | None]:
    if pat.is_boolean(column.type):
        return [None if v is None else "true" if v else "false" for v in column.to_pylist()]
    return column.to_pylist()


def _present(side: Any, test: str) -> Any:
    if test == KS:
        return side[~np.isnan(side)]
    return [word for word in side if word is not None]
