"""The trainer of CatBoost."""

from __future__ import annotations

import difflib
import inspect
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

OBJECTIVES = {BINARY: "Logloss", MULTICLASS: "MultiClass", REGRESSION: "RMSE"}


class CatBoostTrainer(Trainer):
    """A CatBoost model. Text columns become its categorical features; a missing text is refused.

    hyperparameters.objective is CatBoost's own name (Logloss, CrossEntropy, MultiClass, RMSE, ...).
    """

    library = "catboost"
    accepts = Accepts(text=True, missing_text=False, unseen="kept", infinite=True, single=True)
    default_hyperparameters: ClassVar[Mapping[str, Any]] = {}

    def task_of(self, objective: str | None) -> str | None:
        """By CatBoost's names."""
        if objective is None:
            return None
        if objective in ("Logloss", "CrossEntropy"):
            return BINARY
        return MULTICLASS if objective.startswith("MultiClass") else REGRESSION

    def train(self, x: pd.DataFrame, y: np.ndarray) -> Any:
        """Fits; what tells two equal models apart (a random id, the time) is taken out of the model."""
        import catboost

        params: dict[str, Any] = {
            **self.hyperparameters,
            "loss_function": self.objective or OBJECTIVES[self.task],
            "thread_count": self.threads,
            "random_seed": self.spec.seed,
            "allow_writing_files": False,
            "verbose": False,
        }
        kind = catboost.CatBoostRegressor if self.task == REGRESSION else catboost.CatBoostClassifier
        known = list(inspect.signature(kind.__init__).parameters)[1:]
        for key in self.hyperparameters:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ConfigError(f"hyperparameters.{key} is no parameter of {kind.__name__}{hint}")
        model = kind(**params)
        try:
            model.fit(_texts(x), y, cat_features=[i for i, t in enumerate(x.dtypes) if t != np.float64])
        except catboost.CatBoostError as error:
            raise DataError(f"CatBoost refuses the training: {one_line(error)}") from error
        meta = model.get_metadata()
        for key in ("model_guid", "train_finish_time"):
            if key in list(meta.keys()):  # the proxy has no __contains__
                meta[key] = ""
        return model

    def raw(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """prediction_type RawFormulaVal."""
        return np.asarray(model.predict(_texts(x), prediction_type="RawFormulaVal", thread_count=self.threads))

    def predict(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """prediction_type Probability, the positive class's column; for numbers the raw value."""
        if self.task == REGRESSION:
            return np.asarray(model.predict(_texts(x), thread_count=self.threads))
        share = model.predict(_texts(x), prediction_type="Probability", thread_count=self.threads)
        return np.ascontiguousarray(share[:, 1]) if self.task == BINARY else np.asarray(share)

    def importance(self, model: Any) -> dict[str, float]:
        """PredictionValuesChange."""
        return dict(zip(model.feature_names_, map(float, model.get_feature_importance())))

    def thresholds(self, model: Any) -> Points:
        """The borders of the numeric features."""
        names = model.feature_names_
        return [
            (names[feature], float(border)) for feature, borders in model.get_borders().items() for border in borders
        ]

    def save_flavor(self, model: Any, path: pathlib.Path, **common: Any) -> str:
        """mlflow.catboost: model.cb is CatBoost's own binary file."""
        import mlflow.catboost

        mlflow.catboost.save_model(model, str(path), **common)
        return "model.cb"

    def load(self, path: pathlib.Path) -> Any:
        """Reads the binary file."""
        import catboost

        kind = catboost.CatBoostRegressor if self.task == REGRESSION else catboost.CatBoostClassifier
        return kind().load_model(str(path))


def _texts(x: pd.DataFrame) -> pd.DataFrame:
    """Categories as plain text, which is what CatBoost takes."""
    return x.astype({name: object for name, kind in x.dtypes.items() if kind != np.float64})
