"""The trainer of LightGBM."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from treeline.errors import ConfigError, DataError, one_line
from treeline.training.base import Trainer
from treeline.training.dataset import Accepts
from treeline.training.labels import BINARY, MULTICLASS, REGRESSION
from treeline.training.parity import Points

OBJECTIVES = {BINARY: "binary", MULTICLASS: "multiclass", REGRESSION: "regression"}
ROUNDS = ("n_estimators", "num_iterations", "num_boost_round", "num_round", "num_trees")


class LightGBMTrainer(Trainer):
    """A LightGBM booster. Text columns become categories; missing and infinite values are taken.

    hyperparameters.objective is LightGBM's own name (binary, multiclass, regression, poisson, ...).
    """

    library = "lightgbm"
    accepts = Accepts(text=True, infinite=True)
    default_hyperparameters: ClassVar[Mapping[str, Any]] = {}

    def task_of(self, objective: str | None) -> str | None:
        """By LightGBM's names."""
        if objective is None:
            return None
        if objective in ("binary", "cross_entropy", "xentropy"):
            return BINARY
        return MULTICLASS if objective.startswith(("multiclass", "softmax")) else REGRESSION

    def train(self, x: pd.DataFrame, y: np.ndarray) -> Any:
        """Trains with LightGBM's deterministic mode."""
        import lightgbm as lgb

        from treeline.training.dataset import reserved

        params: dict[str, Any] = dict(self.hyperparameters)
        rounds_given = reserved(params, ROUNDS)
        for name in rounds_given:
            del params[name]
        rounds = next(iter(rounds_given.values()), 100)
        params |= {
            "objective": self.objective or OBJECTIVES[self.task],
            "num_threads": self.threads,
            "seed": self.spec.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": 0,
        }
        if self.task == MULTICLASS:
            params["num_class"] = len(self.classes)
        warnings = _Warnings()
        lgb.register_logger(warnings)

        def after(state: Any) -> None:
            self.progress.part((state.iteration + 1) / rounds)

        try:
            booster = lgb.train(params, lgb.Dataset(x, y), num_boost_round=rounds, callbacks=[after])
        except lgb.basic.LightGBMError as error:
            raise DataError(f"LightGBM refuses the training: {one_line(error)}") from error
        except (TypeError, ValueError) as error:
            raise ConfigError(f"hyperparameters: LightGBM says: {one_line(error)}") from error
        if warnings.unknown:
            raise ConfigError(f"hyperparameters: {'; '.join(warnings.unknown)}")
        return booster

    def raw(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """Booster.predict(raw_score=True)."""
        return model.predict(x, raw_score=True, num_threads=self.threads)

    def predict(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """Booster.predict."""
        return model.predict(x, num_threads=self.threads)

    def importance(self, model: Any) -> dict[str, float]:
        """Total gain."""
        return dict(zip(self.features, map(float, model.feature_importance("gain"))))

    def thresholds(self, model: Any) -> Points:
        """Of the numeric splits, read from the model's text, which has every digit."""
        # LightGBM writes spaces in names as "_": positions are what counts.
        out = []
        fields: dict[str, list[str]] = {}
        for line in model.model_to_string().splitlines():
            key, _, value = line.partition("=")
            if key in ("split_feature", "threshold", "decision_type"):
                fields[key] = value.split()
            if key == "decision_type":
                for feature, threshold, kind in zip(fields["split_feature"], fields["threshold"], fields[key]):
                    if not int(kind) & 1:
                        out.append((self.features[int(feature)], float(threshold)))
                fields = {}
        return out

    def save_flavor(self, model: Any, path: pathlib.Path, **common: Any) -> str:
        """mlflow.lightgbm: model.lgb is LightGBM's own text."""
        import mlflow.lightgbm

        mlflow.lightgbm.save_model(model, str(path), **common)
        return "model.lgb"

    def load(self, path: pathlib.Path) -> Any:
        """Reads the text file."""
        import lightgbm as lgb

        return lgb.Booster(model_file=str(path))


class _Warnings:
    """Takes LightGBM's log: parameters that it does not know are errors, other lines are passed on."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def info(self, text: str) -> None:
        """Takes what the C library says, which at verbosity 0 are warnings."""
        text = text.strip().removeprefix("[LightGBM] [Warning] ")
        if text.startswith("Unknown parameter"):
            self.unknown.append(text)
        elif text:
            print(f"lightgbm: {text}", flush=True)

    def warning(self, text: str) -> None:
        """Takes what the Python package says."""
        self.info(text)
