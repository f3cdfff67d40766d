"""The figures of a model on its holdout, by scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn import metrics

from treeline.errors import DataError
from treeline.training.labels import BINARY, MULTICLASS, Label


def evaluate(label: Label, pred: np.ndarray, threshold: float) -> dict[str, float]:
    """Metrics of n predictions (n, or n x classes). threshold: a row at or above it is predicted positive.

    binary      auc, precision, recall, rows; log_loss and brier where pred is a probability
    multiclass  auc (one against the rest, macro), log_loss, accuracy, rows
    regression  rmse, mae, r2, rows

    Raises DataError when the holdout has one class only, so that nothing can be said.
    """
    out = {"rows": float(len(label.values))}
    if label.task == BINARY:
        positives = int(label.values.sum())
        if positives in (0, len(label.values)):
            raise DataError(
                f"the holdout of {len(label.values)} rows has {positives} positive ones: one class only;"
                " there are too few rows, or split.holdout_fraction is too small"
            )
        return out | _binary(label.values, pred.astype(np.float64), threshold)
    if label.task == MULTICLASS:
        return out | _multiclass(label, pred.astype(np.float64))
    error = pred.astype(np.float64) - label.values
    return out | {
        "rmse": float(np.sqrt(np.mean(error * error))),
        "mae": float(np.mean(np.abs(error))),
        "r2": float(metrics.r2_score(label.values, pred)),
    }


def _binary(truth: np.ndarray, pred: np.ndarray, threshold: float) -> dict[str, float]:
    chosen = pred >= threshold
    out = {
        "auc": float(metrics.roc_auc_score(truth, pred)),
        "precision": float(metrics.precision_score(truth, chosen, zero_division=0)),
        "recall": float(metrics.recall_score(truth, chosen, zero_division=0)),
    }
    if pred.min() >= 0 and pred.max() <= 1:
        out["log_loss"] = float(metrics.log_loss(truth, pred, labels=[0, 1]))
        out["brier"] = float(metrics.brier_score_loss(truth, pred))
    return out


def _multiclass(label: Label, pred: np.ndarray) -> dict[str, float]:
    classes = np.arange(len(label.classes))
    absent = sorted(set(classes.tolist()) - set(np.unique(label.values).tolist()))
    if absent:
        raise DataError(f"the holdout has no row of class {label.classes[absent[0]]!r}; there are too few rows of it")
    share = pred / pred.sum(axis=1, keepdims=True)
    return {
        "auc": float(metrics.roc_auc_score(label.values, share, multi_class="ovr", labels=classes)),
        "log_loss": float(metrics.log_loss(label.values, share, labels=classes)),
        "accuracy": float(metrics.accuracy_score(label.values, pred.argmax(axis=1))),
    }
