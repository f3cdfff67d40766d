"""The template that every trainer follows: load features, split, prepare, train, evaluate, log, register."""

from __future__ import annotations

import abc
import json
import pathlib
import platform
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from treeline.errors import ConfigError
from treeline.heartbeat import Progress
from treeline.spec import TrainingSpec
from treeline.training import dataset, outputs, parity
from treeline.training.dataset import Accepts, Dataset
from treeline.training.evaluate import evaluate
from treeline.training.labels import BINARY, MULTICLASS, REGRESSION
from treeline.training.split import holdout
from treeline.training.tracking import Tracker

THREADS = ("threads", "n_jobs", "num_threads", "nthread", "thread_count")
DEFAULT_THREADS = 2


class Trainer(abc.ABC):
    """Trains one version of a model.

    A ready trainer is used by name in config.yml. Your own inherits from a ready one and overrides a step (`prepare` to
    change the matrix, `train` to fit in another way), or from Trainer and implements the abstract methods.

    The hyperparameters of config.yml reach the library as they are, over default_hyperparameters, except for

        objective       decides the task (classification or regression), by the library's own name
        positive_class  the label value that counts as 1, where it is not the larger one
        threads         threads to train with, also under the library's name; 2 when absent

    Raise treeline.errors.DataError or ConfigError for what a retry does not mend, TransientError for what it may.
    """

    #: Name of the library's distribution, for messages and result.json.
    library: ClassVar[str] = ""
    #: What the library takes.
    accepts: ClassVar[Accepts] = Accepts()
    #: Used where config.yml does not name the hyperparameter.
    default_hyperparameters: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, spec: TrainingSpec, progress: Progress | None = None) -> None:
        self.spec = spec
        self.progress = progress or Progress()
        given = dict(spec.hyperparameters)
        threads = dataset.reserved(given, THREADS)
        for name in threads:
            del given[name]
        self.threads = next(iter(threads.values()), DEFAULT_THREADS)
        if not isinstance(self.threads, int) or isinstance(self.threads, bool) or not 1 <= self.threads <= 1024:
            raise ConfigError(f"hyperparameters.{next(iter(threads))} is {self.threads!r}, want 1 to 1024")
        self.positive_class = given.pop("positive_class", None)
        self.objective: str | None = given.pop("objective", None)
        if self.objective is not None and not isinstance(self.objective, str):
            raise ConfigError(f"hyperparameters.objective is {self.objective!r}, want a name")
        self.hyperparameters: dict[str, Any] = {**self.default_hyperparameters, **given}
        self.task = BINARY
        self.classes: tuple[object, ...] = ()
        #: Names of the features, in the order of the matrix; there after prepare.
        self.features: list[str] = []

    # The steps, in order.

    def run(self, tracker: Tracker) -> outputs.Result:
        """Runs all steps and returns what result.json holds. The output directory has every file but result.json then.

        Raises TreelineError; anything else is a fault of the trainer.
        """
        progress, spec = self.progress, self.spec
        tracker.start(spec)
        progress.step("load")
        data = self.load_features()
        progress.say(f"{data.rows} rows, {data.frame.shape[1]} features, label {spec.label_col} ({data.label.task})")
        self.task, self.classes = data.label.task, data.label.classes
        progress.step("split")
        learn, held = self.split(data)
        progress.say(f"{learn.rows} rows to train on, {held.rows} held out by {spec.split.method}")
        progress.step("prepare")
        learn, held = self.prepare(learn), self.prepare(held)
        self.features = list(held.frame.columns)
        progress.step("train")
        model = self.train(learn.frame, learn.label.values)
        progress.step("evaluate")
        native = self.save(model, held, tracker)
        metrics = self.evaluate(model, native, held)
        progress.say("  ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name != "rows"))
        result = self.describe(tracker, metrics, learn, held)
        outputs.write_importance(spec.output, self.importance(model))
        progress.step("log")
        tracker.log(result, spec.output)
        progress.step("register")
        result.registry_version = tracker.register(spec.output / outputs.MODEL, native)
        progress.step("done")
        result.seconds = dict(progress.seconds)
        return result

    def load_features(self) -> Dataset:
        """Reads and checks the feature table (n rows). Raises DataError or ConfigError naming column and count."""
        return dataset.load(self.spec, self.accepts, self.task_of(self.objective), self.positive_class)

    def split(self, data: Dataset) -> tuple[Dataset, Dataset]:
        """Training rows and holdout."""
        held = holdout(data.table, self.spec.key_cols, self.spec.date_col, self.spec.split)
        return data.take(~held), data.take(held)

    def prepare(self, data: Dataset) -> Dataset:
        """Changes the matrix before training and before scoring the holdout; nothing by default.

        Scoring applies the model file to the feature table as it is, so a change that is not also in data.features_sql
        makes the daemon's scores differ from the library's, and the parity gate says so.
        """
        return data

    @abc.abstractmethod
    def train(self, x: pd.DataFrame, y: np.ndarray) -> Any:
        """Fits a model to x (n x features) and y (n), the same bits each time for the same rows and seed."""

    def evaluate(self, model: Any, native: str, held: Dataset) -> dict[str, float]:
        """Scores holdout and golden rows with the file that is registered; writes both and returns the metrics."""
        spec = self.spec
        stored = self.load(spec.output / outputs.MODEL / native)
        raw, pred = self.raw(stored, held.frame), self.predict(stored, held.frame)
        if raw.tobytes() != self.raw(model, held.frame).tobytes():
            raise RuntimeError(f"{self.library} scores the holdout differently after saving and loading the model")
        outputs.write_holdout(spec, held, raw, pred)
        rows = parity.edge_rows(held.frame, self.thresholds(stored), spec.parity_rows, spec.seed, self.accepts)
        seen = parity.as_library_gets(rows, held.frame, self.accepts)
        refused = self.refused(stored, parity.refused_rows(held.frame, self.accepts), held.frame)
        with np.errstate(all="ignore"):  # the largest floats overflow in the libraries' checks
            golden = self.raw(stored, seen), self.predict(stored, seen)
        parity.write_golden(spec.output / outputs.GOLDEN, rows, refused, *golden)
        return evaluate(held.label, pred, spec.decision_threshold)

    def describe(self, tracker: Tracker, metrics: dict[str, float], learn: Dataset, held: Dataset) -> outputs.Result:
        """What result.json says."""
        params: dict[str, Any] = {
            **self.hyperparameters,
            "threads": self.threads,
            "seed": self.spec.seed,
            "task": self.task,
            "split": self.spec.split.method,
            "holdout_fraction": self.spec.split.holdout_fraction,
            "decision_threshold": self.spec.decision_threshold,
        }
        if self.objective:
            params["objective"] = self.objective
        if self.task == BINARY:
            params["positive_class"] = self.classes[1]
        if self.task == MULTICLASS:
            params["classes"] = list(self.classes)
        return outputs.Result(
            training_id=self.spec.training_id,
            run_id=tracker.run_id,
            run_name=tracker.run_name,
            metrics=metrics,
            params={
                name: value if isinstance(value, str) else json.dumps(value, default=str)
                for name, value in params.items()
            },
            library=f"{self.library} {version(self.library)}",
            python=platform.python_version(),
            rows={"train": learn.rows, "holdout": held.rows},
            features=self.features,
        )

    # What a library has to offer.

    def task_of(self, objective: str | None) -> str | None:
        """The task that an objective asks for; None leaves it to the label."""
        if objective in (None, BINARY, MULTICLASS, REGRESSION):
            return objective
        raise ConfigError(f"hyperparameters.objective is {objective!r}, want {BINARY}, {MULTICLASS} or {REGRESSION}")

    @abc.abstractmethod
    def raw(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """The library's margins of x: n, or n x classes; in its own float type."""

    @abc.abstractmethod
    def predict(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """The library's predictions of x: the positive class's probability (n), n x classes, or numbers (n)."""

    @abc.abstractmethod
    def importance(self, model: Any) -> dict[str, float]:
        """Gain by feature, not negative, in any unit."""

    @abc.abstractmethod
    def thresholds(self, model: Any) -> parity.Points:
        """Numeric splits of the model: (feature, threshold)."""

    @abc.abstractmethod
    def save_flavor(self, model: Any, path: pathlib.Path, **common: Any) -> str:
        """Writes an MLflow model directory by the library's own flavour; returns the model file's name in it.

        common: signature, input_example, mlflow_model, pip_requirements.
        """

    @abc.abstractmethod
    def load(self, path: pathlib.Path) -> Any:
        """Reads the model file back."""

    def save(self, model: Any, held: Dataset, tracker: Tracker) -> str:
        """Writes output_dir/model, an MLflow model directory; returns the model file's name in it."""
        return outputs.save_model(self, model, held, tracker)

    def refused(self, model: Any, rows: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
        """Those rows that the library does refuse, tried one by one."""
        keep = []
        for i in range(len(rows)):
            row = rows.iloc[[i]].copy()
            for name in frame.columns:
                if frame[name].dtype != np.float64:
                    row[name] = pd.Categorical(row[name], categories=sorted({*frame[name].cat.categories, *row[name]}))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self.raw(model, row)
            except Exception:  # each library has its own; any of them is a refusal
                keep.append(i)
        return rows.iloc[keep]
