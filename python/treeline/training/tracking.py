"""Where a training is recorded: nowhere, or in an MLflow run and a registered model version."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Protocol

from treeline.spec import TrainingSpec

if TYPE_CHECKING:
    from treeline.training.outputs import Result


class Tracker(Protocol):
    """What a training tells about itself. Every method may raise TransientError or ConfigError."""

    run_id: str
    run_name: str

    def start(self, spec: TrainingSpec) -> None:
        """Opens the run, or takes up the one that an earlier attempt of this training left."""

    def new_model(self, native: pathlib.Path) -> str | None:
        """The registry's id of the model whose file this is, for its MLmodel; None where no registry is."""

    def log(self, result: Result, directory: pathlib.Path) -> None:
        """Records parameters, metrics and files."""

    def register(self, directory: pathlib.Path, native: str) -> str | None:
        """Uploads an MLflow model directory and registers it without an alias; returns the version.

        When an earlier attempt registered the same model file, its version is returned and the directory is replaced by
        what was registered then.
        """

    def finish(self) -> None:
        """Ends the run as a success."""

    def fail(self, message: str) -> None:
        """Ends the run as failed, as far as that is possible. It does not raise."""

    def kill(self) -> None:
        """Ends the run as killed, within a few seconds. It does not raise."""


class NoTracker:
    """Records nothing: the output directory is all there is."""

    def __init__(self, run_name: str = "") -> None:
        self.run_id = ""
        self.run_name = run_name

    def start(self, spec: TrainingSpec) -> None:
        """Does nothing."""

    def new_model(self, native: pathlib.Path) -> str | None:
        """There is no registry."""
        return None

    def log(self, result: Result, directory: pathlib.Path) -> None:
        """Does nothing."""

    def register(self, directory: pathlib.Path, native: str) -> str | None:
        """There is no registry."""
        return None

    def finish(self) -> None:
        """Does nothing."""

    def fail(self, message: str) -> None:
        """Does nothing."""

    def kill(self) -> None:
        """Does nothing."""


def tracker_of(spec: TrainingSpec) -> Tracker:
    """The tracker that a spec asks for."""
    if spec.mlflow is None:
        return NoTracker()
    from treeline.training.mlflow_tracker import MlflowTracker

    return MlflowTracker(spec.mlflow)
