"""Validators: a user's own judgement of a version, run as a required gate of its own."""

from __future__ import annotations

import abc
import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import yaml

from treeline.errors import ConfigError, DataError
from treeline.training.columns import read_table


@dataclasses.dataclass(frozen=True)
class Verdict:
    """passed, one sentence that says why, and the figures behind it (numbers or texts by name)."""

    passed: bool
    summary: str
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Holdout:
    """What a validator judges: the rows kept from training, with their scores, and the model.

    rows holds keys, date, excluded columns, features, the label, raw and pred (raw_0 ... for several classes), one row
    an example. label is the label column: 0/1, the class's index, or a number. pred is the positive class's
    probability.
    """

    rows: pd.DataFrame
    label_col: str
    metrics: dict[str, Any]
    hyperparameters: dict[str, Any]
    model_dir: pathlib.Path

    @property
    def label(self) -> np.ndarray:
        """n label values."""
        return self.rows[self.label_col].to_numpy()

    @property
    def pred(self) -> np.ndarray:
        """n predictions; raises DataError for a model with several classes."""
        if "pred" not in self.rows:
            raise DataError("the model has several classes; read the columns pred_0, pred_1, ... of rows")
        return self.rows["pred"].to_numpy().astype(np.float64)

    @functools.cached_property
    def model(self) -> Any:
        """The model as its library loads it, by the MLflow flavour."""
        return load_model(self.model_dir)


class Validator(abc.ABC):
    """Judges a version; inherit and implement validate, then name the class in config.yml: validator_class."""

    @abc.abstractmethod
    def validate(self, holdout: Holdout) -> Verdict:
        """Whether the version is good enough. Raise treeline.errors.DataError or ConfigError where that is open."""


class ThresholdValidator(Validator):
    """Holds the holdout's metrics against those of config.yml: metrics.<name>_threshold is the least value of <name>.

    Names are those of a binary evaluation (auc, precision, recall). log_loss and brier are at most their threshold.
    metrics.decision_threshold is where a row becomes positive (0.5 when absent).
    """

    def validate(self, holdout: Holdout) -> Verdict:
        """Fails when any metric is on the wrong side of its threshold."""
        from treeline.training.evaluate import evaluate
        from treeline.training.labels import BINARY, Label

        wanted = {
            key.removesuffix("_threshold"): float(value)
            for key, value in holdout.metrics.items()
            if key.endswith("_threshold") and key != "decision_threshold"
        }
        if not wanted:
            raise ConfigError("ThresholdValidator needs thresholds in config.yml, such as metrics.auc_threshold: 0.75")
        cut = float(holdout.metrics.get("decision_threshold", 0.5))
        figures = evaluate(Label(BINARY, holdout.label.astype(np.int64)), holdout.pred, cut)
        if unknown := sorted(set(wanted) - set(figures)):
            raise ConfigError(f"metrics.{unknown[0]}_threshold names no metric; there are {', '.join(sorted(figures))}")
        verdicts = []
        for name, limit in wanted.items():
            most = name in ("log_loss", "brier")
            good = figures[name] <= limit if most else figures[name] >= limit
            relation = ("at most" if most else "at least") if good else ("above" if most else "below")
            verdicts.append((good, f"{name} {figures[name]:.4f} is {relation} {limit:g}"))
        failed = [text for good, text in verdicts if not good]
        return Verdict(not failed, "; ".join(failed or [text for _, text in verdicts]), figures)


def load_model(model_dir: pathlib.Path) -> Any:
    """Loads an MLflow model directory (or the folder of its MLmodel file) with the library that wrote it.

    Raises ConfigError for a flavour that the ready trainers do not write.
    """
    directory = model_dir.parent if model_dir.name == "MLmodel" else model_dir
    try:
        flavors = yaml.safe_load((directory / "MLmodel").read_text(encoding="utf-8"))["flavors"]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"{directory} is no MLflow model directory: {error}") from error
    if "lightgbm" in flavors:
        import lightgbm

        return lightgbm.Booster(model_file=str(directory / flavors["lightgbm"]["data"]))
    if "xgboost" in flavors:
        import xgboost

        return xgboost.Booster(model_file=str(directory / flavors["xgboost"]["data"]))
    if "catboost" in flavors:
        import catboost

        return catboost.CatBoost().load_model(str(directory / flavors["catboost"]["data"]))
    if flavors.get("sklearn", {}).get("serialization_format") == "skops":
        import skops.io

        flavor = flavors["sklearn"]
        return skops.io.load(
            directory / flavor["pickled_model"],
            trusted=list(flavor.get("skops_trusted_types") or []),
        )
    raise ConfigError(
        f"{directory} has the flavours {', '.join(sorted(flavors))};"
        " lightgbm, xgboost, catboost and sklearn (skops) are read"
    )


def read_holdout(path: str, label_col: str) -> pd.DataFrame:
    """The rows of a holdout file. Raises DataError when label or scores are not in it."""
    table = read_table(path)
    if label_col not in table.column_names:
        raise DataError(f"{path} has no column {label_col!r}; it has {', '.join(table.column_names)}")
    if not {"pred", "pred_0"} & set(table.column_names):
        raise DataError(f"{path} has no predictions (pred or pred_0, pred_1, ...)")
    return table.to_pandas()
