"""The files of a training: model/, golden.parquet, holdout.parquet, importance.json, and result.json last."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from treeline.files import write_json
from treeline.heartbeat import now
from treeline.spec import FORMAT, TrainingSpec
from treeline.training import parity
from treeline.training.dataset import Dataset
from treeline.training.labels import REGRESSION
from treeline.training.mlflow_errors import prepare_environment

if TYPE_CHECKING:
    from treeline.training.base import Trainer
    from treeline.training.tracking import Tracker

MODEL, MLMODEL = "model", "MLmodel"
GOLDEN, HOLDOUT, IMPORTANCE, IMPORTANCE_TABLE = (
    "golden.parquet",
    "holdout.parquet",
    "importance.json",
    "importance.txt",
)
RESULT = "result.json"
EXAMPLE_ROWS = 5


@dataclasses.dataclass
class Result:
    """What result.json holds. params are texts, as MLflow keeps them; registry_version is None without a registry."""

    training_id: str
    run_id: str
    run_name: str
    metrics: dict[str, float]
    params: dict[str, str]
    library: str
    python: str
    rows: dict[str, int]
    features: list[str]
    registry_version: str | None = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    def write(self, directory: pathlib.Path) -> None:
        """Writes result.json in one step: when it is there, every other file is."""
        value = {
            "format": FORMAT,
            **dataclasses.asdict(self),
            "model": f"{MODEL}/{MLMODEL}",
            "golden": GOLDEN,
            "holdout": HOLDOUT,
            "importance": IMPORTANCE,
            "trained_at": now(),
        }
        write_json(directory / RESULT, value)


def save_model(trainer: Trainer, model: Any, held: Dataset, tracker: Tracker) -> str:
    """Writes the MLflow model directory with signature and input example; returns the model file's name."""
    prepare_environment()
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    target = trainer.spec.output / MODEL
    shutil.rmtree(target, ignore_errors=True)
    inputs = Schema(
        [
            ColSpec("double" if held.frame[name].dtype == np.float64 else "string", name, required=False)
            for name in held.frame.columns
        ]
    )
    pred = trainer.predict(model, held.frame.iloc[:1])
    shape = (-1,) if pred.ndim == 1 else (-1, pred.shape[1])
    record = Model(artifact_path=MODEL, run_id=tracker.run_id or None)
    name = trainer.save_flavor(
        model,
        target,
        mlflow_model=record,
        signature=ModelSignature(inputs=inputs, outputs=Schema([TensorSpec(pred.dtype, shape)])),
        input_example=held.frame.iloc[:EXAMPLE_ROWS],
        pip_requirements=requirements(trainer.library),
    )
    # The file may have been rewritten after its size was taken, and the registry's id is known only now.
    record = Model.load(str(target))
    record.model_size_bytes = sum(p.stat().st_size for p in target.rglob("*") if p.is_file() and p.name != MLMODEL)
    record.model_id = tracker.new_model(target / name)
    record.save(str(target / MLMODEL))
    return name


def requirements(library: str) -> list[str]:
    """The packages that the model was made with, pinned."""
    from importlib.metadata import version

    names = sorted({"mlflow", "numpy", "pandas", library} | ({"skops"} if library == "scikit-learn" else set()))
    return [f"{name}=={version(name)}" for name in names]


def write_holdout(spec: TrainingSpec, held: Dataset, raw: np.ndarray, pred: np.ndarray) -> None:
    """Writes keys, date, excluded columns (for slices), features as the model takes them, the label, raw and pred.

    The label is 0/1, the index of the class, or a float64.
    """
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name in (*spec.key_cols, *([spec.date_col] if spec.date_col else []), *spec.exclude_cols):
        if name != spec.label_col:
            columns[name] = held.table[name]
    columns |= parity.feature_columns(held.frame)
    kind = pa.float64() if held.label.task == REGRESSION else pa.int64()
    columns[spec.label_col] = pa.array(held.label.values, kind)
    columns |= parity.score_columns("raw", raw) | parity.score_columns("pred", pred)
    pq.write_table(pa.table(columns), spec.output / HOLDOUT, compression="zstd")


def write_importance(directory: pathlib.Path, gain: dict[str, float]) -> None:
    """Writes each feature's share of the gain (they add up to 1, or are all 0) as JSON and as a table of text."""
    total = float(sum(gain.values()))
    share = {name: float(value) / total if total > 0 else 0.0 for name, value in gain.items()}
    write_json(directory / IMPORTANCE, share)
    width = max(map(len, share), default=0)
    lines = [
        f"{name:{width}}  {value:8.4f}  {'#' * round(40 * value)}".rstrip()
        for name, value in sorted(share.items(), key=lambda item: (-item[1], item[0]))
    ]
    (directory / IMPORTANCE_TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
