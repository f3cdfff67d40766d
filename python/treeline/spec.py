"""spec.json: what one training is asked to do (format 1)."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from treeline.errors import ConfigError

FORMAT = 1
SPLITS = ("key_hash", "time")


@dataclasses.dataclass(frozen=True)
class Features:
    """The pinned feature rows: a Parquet, Arrow or CSV file, and where its rows come from."""

    path: str
    rows: int | None = None
    version: str = ""
    compute_date: str = ""
    table: str = ""


@dataclasses.dataclass(frozen=True)
class Split:
    """How the holdout is split off: method is key_hash or time, holdout_fraction in (0, 1)."""

    method: str = "key_hash"
    holdout_fraction: float = 0.2
    seed: int = 7


@dataclasses.dataclass(frozen=True)
class Mlflow:
    """Where the run is logged. A spec without it only writes the output directory."""

    tracking_uri: str
    experiment: str
    run_name: str


@dataclasses.dataclass(frozen=True)
class TrainingSpec:
    """One training. Field names are those of spec.json; unknown keys are ignored: newer daemons may add some."""

    training_id: str
    model_key: str
    registered_model_name: str
    trainer_class: str
    features: Features
    label_col: str
    output_dir: str
    idempotency_key: str = ""
    module_path: tuple[str, ...] = ()
    key_cols: tuple[str, ...] = ()
    date_col: str = ""
    exclude_cols: tuple[str, ...] = ()
    hyperparameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    decision_threshold: float = 0.5
    split: Split = Split()
    seed: int = 7
    git_sha: str = ""
    environment: str = ""
    mlflow: Mlflow | None = None
    traceparent: str = ""
    heartbeat_seconds: float = 5.0
    parity_rows: int = 2000

    @property
    def output(self) -> pathlib.Path:
        """The output directory."""
        return pathlib.Path(self.output_dir)

    @staticmethod
    def read(path: str | os.PathLike[str]) -> TrainingSpec:
        """Reads a spec.json. Raises ConfigError that names the file and the key."""
        try:
            with open(path, encoding="utf-8") as file:
                value = json.load(file)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: {error}") from error
        try:
            return TrainingSpec.parse(value)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @staticmethod
    def parse(value: Any) -> TrainingSpec:
        """Makes a spec from decoded JSON. Raises ConfigError for a missing key, a wrong type, a value out of range."""
        if not isinstance(value, dict):
            raise ConfigError(f"a spec is an object, not {type(value).__name__}")
        if value.get("format") != FORMAT:
            raise ConfigError(f"format is {value.get('format')!r}, this trainer reads format {FORMAT}")
        spec = _record(TrainingSpec, value, "")
        for key in ("model_key", "trainer_class", "label_col", "output_dir"):
            if not getattr(spec, key):
                raise ConfigError(f"{key} is empty")
        if spec.split.method not in SPLITS:
            raise ConfigError(f"split.method is {spec.split.method!r}, want one of {', '.join(SPLITS)}")
        if not 0 < spec.split.holdout_fraction < 1:
            raise ConfigError(f"split.holdout_fraction is {spec.split.holdout_fraction}, want a number between 0 and 1")
        if spec.split.method == "key_hash" and not spec.key_cols:
            raise ConfigError("split.method key_hash needs key_cols; name the columns that identify a row")
        if spec.split.method == "time" and not spec.date_col:
            raise ConfigError("split.method time needs date_col; name the column with the day of a row")
        if not 0 < spec.heartbeat_seconds <= 3600:
            raise ConfigError(f"heartbeat_seconds is {spec.heartbeat_seconds}, want 0 to 3600")
        if not 1000 <= spec.parity_rows <= 1_000_000:
            raise ConfigError(f"parity_rows is {spec.parity_rows}, want 1000 to 1000000")
        return spec


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "dict[str, Any]": (dict, type(None)),
    "tuple[str, ...]": (list, type(None)),
}
_CONVERT: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "dict[str, Any]": lambda given: dict(given or {}),
    "tuple[str, ...]": lambda given: tuple(given or ()),
}
_NESTED = {"Features": Features, "Split": Split, "Mlflow | None": Mlflow}


def _record(record: type, value: dict[str, Any], where: str) -> Any:
    """A dataclass from a JSON object; where is the path of the object for messages ("split.")."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        name, kind = where + field.name, str(field.type)
        if field.name not in value:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise ConfigError(f"{name} is missing")
            continue
        got: Any = value[field.name]
        if kind in _NESTED:
            if got is None and kind.endswith("None"):
                out[field.name] = None
            elif isinstance(got, dict):
                out[field.name] = _record(_NESTED[kind], got, name + ".")
            else:
                raise ConfigError(f"{name} is {type(got).__name__}, want an object")
            continue
        if not isinstance(got, _TYPES[kind]) or isinstance(got, bool):
            raise ConfigError(f"{name} is {got!r}, want {kind}")
        if kind == "tuple[str, ...]" and not all(isinstance(item, str) for item in value[field.name] or ()):
            raise ConfigError(f"{name} has an element that is not text")
        out[field.name] = _CONVERT.get(kind, lambda plain: plain)(value[field.name])
    return record(**out)
