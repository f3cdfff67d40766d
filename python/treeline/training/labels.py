"""The label column: which task it makes, and its numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from treeline.errors import ConfigError, DataError
from treeline.training.columns import is_number, is_text, numbers

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"
MAX_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Label:
    """values: one number a row, for classes their index, float64 for regression. classes: as in the table."""

    task: str
    values: np.ndarray
    classes: tuple[object, ...] = ()

    @property
    def outputs(self) -> int:
        """Scores per row: the number of classes of a multiclass model, otherwise 1."""
        return len(self.classes) if self.task == MULTICLASS else 1


def read_label(column: pa.ChunkedArray, name: str, task: str | None, positive: object = None) -> Label:
    """Reads the label column.

    task: what the objective asks for; None takes it from the values: two are binary, more integers multiclass.
    positive: the value that counts as 1 in a binary label; None means the larger one (true, 1, the later text).
    Raises DataError for nulls, one class only, or values that do not fit; ConfigError for a positive class that is
    none of them.
    """
    if column.null_count or (is_number(column.type) and np.isnan(numbers(column)).any()):
        missing = column.null_count or int(np.isnan(numbers(column)).sum())
        raise DataError(
            f"label column {name!r} is null in {missing} of {len(column)} rows;"
            " leave those rows out of the training data"
        )
    if not is_number(column.type) and not is_text(column.type):
        raise DataError(f"label column {name!r} is {column.type}, want a number, a boolean or text")
    if task == REGRESSION:
        return _regression(column, name)
    encoded = column.cast(pa.string()) if is_text(column.type) else column
    classes = sorted(pc.unique(encoded).to_pylist())
    if len(classes) < 2:
        raise DataError(
            f"label column {name!r} has one class only ({classes[0]!r} in all {len(column)} rows);"
            " a model needs rows of both"
        )
    if not is_text(column.type) and any(float(c) != int(c) for c in classes if np.isfinite(float(c))):
        raise DataError(
            f"label column {name!r} has values that are no classes (such as"
            f" {next(c for c in classes if float(c) != int(c))}); for a number to be predicted set"
            " hyperparameters.objective to a regression objective"
        )
    if task is None:
        task = BINARY if len(classes) == 2 else MULTICLASS
    if task == BINARY:
        return _binary(encoded, name, classes, positive)
    if is_text(column.type) or len(classes) > MAX_CLASSES:
        raise DataError(
            f"label column {name!r} has {len(classes)} {'texts' if is_text(column.type) else 'classes'};"
            f" several classes are integers, at most {MAX_CLASSES} of them"
        )
    index = {value: i for i, value in enumerate(classes)}
    values = np.fromiter((index[v] for v in encoded.to_pylist()), dtype=np.int64, count=len(column))
    return Label(MULTICLASS, values, tuple(int(c) for c in classes))


def _binary(column: pa.ChunkedArray, name: str, classes: list[Any], positive: object) -> Label:
    if len(classes) != 2:
        raise DataError(f"label column {name!r} has {len(classes)} classes, a binary objective wants two")
    if not is_text(column.type) and positive is None and {float(c) for c in classes} != {0.0, 1.0}:
        raise DataError(
            f"label column {name!r} holds {classes[0]} and {classes[1]}, want 0 and 1;"
            " or say which counts as 1: hyperparameters.positive_class"
        )
    if positive is None:
        positive = classes[1]
    if positive not in classes:
        raise ConfigError(
            f"hyperparameters.positive_class is {positive!r}, but {name!r} holds {classes[0]!r} and {classes[1]!r}"
        )
    negative = classes[0] if positive == classes[1] else classes[1]
    values = np.fromiter((v == positive for v in column.to_pylist()), dtype=np.int64, count=len(column))
    return Label(BINARY, values, (negative, positive))


def _regression(column: pa.ChunkedArray, name: str) -> Label:
    if is_text(column.type):
        raise DataError(f"label column {name!r} is text, but the objective predicts a number")
    values = numbers(column)
    if bad := int(np.isinf(values).sum()):
        raise DataError(f"label column {name!r} is infinite in {bad} of {len(values)} rows")
    return Label(REGRESSION, values)
