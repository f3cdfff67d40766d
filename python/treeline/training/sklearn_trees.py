"""Trainers of scikit-learn: decision trees and forests of them."""

from __future__ import annotations

import difflib
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from treeline.errors import ConfigError, DataError, one_line
from treeline.training.base import Trainer
from treeline.training.dataset import Accepts
from treeline.training.labels import BINARY, REGRESSION
from treeline.training.parity import Points
from treeline.training.skops_file import normalise

# What skops does not trust by itself and a tree needs: plain arrays.
TRUSTED = ("sklearn.tree._tree.Tree",)


class SklearnTrainer(Trainer):
    """What the trainers of scikit-learn share. Numbers only; missing values are taken, infinite ones are not.

    raw and pred are both predict_proba's column of the positive class (or predict, for a number).
    """

    library = "scikit-learn"
    accepts = Accepts(single=True)
    #: Names in classifier and regressor of sklearn.
    classifier: ClassVar[str]
    regressor: ClassVar[str]
    threaded: ClassVar[bool] = True

    def estimator(self) -> Any:
        """A new estimator with the hyperparameters. Raises ConfigError that names an unknown one."""
        import sklearn.ensemble
        import sklearn.tree

        name = self.regressor if self.task == REGRESSION else self.classifier
        kind = getattr(sklearn.ensemble, name, None) or getattr(sklearn.tree, name)
        known = kind().get_params()
        params: dict[str, Any] = {"random_state": self.spec.seed, **self.hyperparameters}
        if self.threaded:
            params["n_jobs"] = self.threads
        for key in params:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(known))}"
                raise ConfigError(f"hyperparameters.{key} is no parameter of {name}{hint}")
        return kind(**params)

    def train(self, x: pd.DataFrame, y: np.ndarray) -> Any:
        """Fits the estimator."""
        from sklearn.utils._param_validation import InvalidParameterError

        model = self.estimator()
        try:
            return model.fit(x, y)
        except InvalidParameterError as error:
            raise ConfigError(f"hyperparameters: {one_line(error)}") from error
        except ValueError as error:
            raise DataError(f"{type(model).__name__} refuses the data: {one_line(error)}") from error

    def raw(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """Class fractions averaged over the trees, in their order."""
        if hasattr(model, "n_jobs"):
            model.n_jobs = 1  # several threads add up the trees in any order
        if self.task == REGRESSION:
            return np.asarray(model.predict(x))
        share = model.predict_proba(x)
        return np.ascontiguousarray(share[:, 1]) if self.task == BINARY else share

    def predict(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """As raw."""
        return self.raw(model, x)

    def importance(self, model: Any) -> dict[str, float]:
        """Impurity decrease."""
        return dict(zip(model.feature_names_in_, map(float, model.feature_importances_)))

    def thresholds(self, model: Any) -> Points:
        """Of all inner nodes."""
        names, out = list(model.feature_names_in_), []
        for tree in getattr(model, "estimators_", [model]):
            inner = tree.tree_.children_left != -1
            for feature, threshold in zip(tree.tree_.feature[inner], tree.tree_.threshold[inner]):
                out.append((names[feature], float(threshold)))
        return out

    def save_flavor(self, model: Any, path: pathlib.Path, **common: Any) -> str:
        """mlflow.sklearn with skops, whose file is made reproducible."""
        import mlflow.sklearn

        if hasattr(model, "n_jobs"):
            model.n_jobs = 1
        mlflow.sklearn.save_model(
            model,
            str(path),
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED),
            pyfunc_predict_fn="predict" if self.task == REGRESSION else "predict_proba",
            **common,
        )
        normalise(path / "model.skops")
        return "model.skops"

    def load(self, path: pathlib.Path) -> Any:
        """Reads a skops file; only trees are trusted."""
        import skops.io

        return skops.io.load(path, trusted=list(TRUSTED))


class RandomForestTrainer(SklearnTrainer):
    """A random forest: 100 trees of depth 10 unless config.yml says otherwise."""

    classifier, regressor = "RandomForestClassifier", "RandomForestRegressor"
    default_hyperparameters: ClassVar[Mapping[str, Any]] = {"n_estimators": 100, "max_depth": 10}


class ExtraTreesTrainer(SklearnTrainer):
    """Extremely randomised trees: 100 of depth 10 unless config.yml says otherwise."""

    classifier, regressor = "ExtraTreesClassifier", "ExtraTreesRegressor"
    default_hyperparameters: ClassVar[Mapping[str, Any]] = {"n_estimators": 100, "max_depth": 10}


class DecisionTreeTrainer(SklearnTrainer):
    """One decision tree, of depth 10 unless config.yml says otherwise."""

    classifier, regressor = "DecisionTreeClassifier", "DecisionTreeRegressor"
    threaded = False
    default_hyperparameters: ClassVar[Mapping[str, Any]] = {"max_depth": 10}
