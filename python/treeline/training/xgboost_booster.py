"""The trainer of XGBoost."""

from __future__ import annotations

import json
import pathlib
import re
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from treeline.errors import ConfigError, DataError, one_line
from treeline.training.base import Trainer
from treeline.training.dataset import Accepts, reserved
from treeline.training.labels import BINARY, MULTICLASS, REGRESSION
from treeline.training.parity import Points

OBJECTIVES = {
    BINARY: "binary:logistic",
    MULTICLASS: "multi:softprob",
    REGRESSION: "reg:squarederror",
}
ROUNDS = ("n_estimators", "num_boost_round", "num_round")


class XGBoostTrainer(Trainer):
    """An XGBoost booster. Text columns become categories, of which unseen ones are refused when scoring.

    hyperparameters.objective is XGBoost's own name (binary:logistic, multi:softprob, reg:squarederror, ...).
    """

    library = "xgboost"
    accepts = Accepts(text=True, unseen="refused", single=True)
    default_hyperparameters: ClassVar[Mapping[str, Any]] = {}

    def task_of(self, objective: str | None) -> str | None:
        """By XGBoost's names."""
        if objective is None:
            return None
        if objective.startswith("binary:") or objective == "reg:logistic":
            return BINARY
        if objective == "multi:softmax":
            raise ConfigError("hyperparameters.objective multi:softmax predicts labels; use multi:softprob")
        return MULTICLASS if objective.startswith("multi:") else REGRESSION

    def train(self, x: pd.DataFrame, y: np.ndarray) -> Any:
        """Trains with the histogram method unless config.yml names another one."""
        import xgboost as xgb

        params: dict[str, Any] = {"tree_method": "hist", **self.hyperparameters}
        rounds_given = reserved(params, ROUNDS)
        for name in rounds_given:
            del params[name]
        rounds = next(iter(rounds_given.values()), 100)
        if not isinstance(rounds, int) or rounds < 1:
            raise ConfigError(f"hyperparameters.{next(iter(rounds_given))} is {rounds!r}, want a number of rounds")
        params |= {
            "objective": self.objective or OBJECTIVES[self.task],
            "nthread": self.threads,
            "seed": self.spec.seed,
            "verbosity": 1,
        }
        if self.task == MULTICLASS:
            params["num_class"] = len(self.classes)
        progress = self.progress

        class After(xgb.callback.TrainingCallback):
            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
                progress.part((epoch + 1) / rounds)
                return False

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                data = xgb.DMatrix(x, y, enable_categorical=True, nthread=self.threads)
                booster = xgb.train(params, data, num_boost_round=rounds, callbacks=[After()])
            except (xgb.core.XGBoostError, TypeError, ValueError) as error:
                raise DataError(f"XGBoost refuses the training: {_short(error)}") from error
        for warning in said:
            unknown = re.search(r"Parameters: \{ (.+?) \} are not used", str(warning.message))
            if unknown:
                raise ConfigError(f"hyperparameters: XGBoost does not use {unknown[1]}")
            print(f"xgboost: {one_line(Exception(warning.message))}", flush=True)
        return booster

    def raw(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """Booster.predict(output_margin=True), float32."""
        return model.predict(self._matrix(x), output_margin=True)

    def predict(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """Booster.predict, float32."""
        return model.predict(self._matrix(x))

    def importance(self, model: Any) -> dict[str, float]:
        """Total gain; features in no tree have 0."""
        gain = model.get_score(importance_type="total_gain")
        return {name: float(gain.get(name, 0.0)) for name in model.feature_names}

    def thresholds(self, model: Any) -> Points:
        """Of the numeric splits that can be reached."""
        learner = json.loads(bytes(model.save_raw("json")))["learner"]
        names, out = model.feature_names, []
        for tree in learner["gradient_booster"]["model"]["trees"]:
            nodes = zip(
                tree["left_children"],
                tree["split_indices"],
                tree["split_conditions"],
                tree["split_type"],
            )
            for left, feature, threshold, kind in nodes:
                if left != -1 and kind == 0:
                    out.append((names[feature], float(np.float32(threshold))))
        return out

    def save_flavor(self, model: Any, path: pathlib.Path, **common: Any) -> str:
        """mlflow.xgboost: model.ubj."""
        import mlflow.xgboost

        mlflow.xgboost.save_model(model, str(path), model_format="ubj", **common)
        return "model.ubj"

    def load(self, path: pathlib.Path) -> Any:
        """Reads the UBJSON file."""
        import xgboost as xgb

        return xgb.Booster(model_file=str(path))

    def _matrix(self, x: pd.DataFrame) -> Any:
        import xgboost as xgb

        return xgb.DMatrix(x, enable_categorical=True, nthread=self.threads)


def _short(error: Exception) -> str:
    """XGBoost's message without its stack trace."""
    return one_line(Exception(str(error).partition("Stack trace:")[0]))
