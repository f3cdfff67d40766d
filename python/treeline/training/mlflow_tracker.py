"""A training in MLflow: one run, one logged model, one registered version without an alias."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from treeline.errors import ConfigError, TransientError, one_line
from treeline.files import manifest, sha256
from treeline.spec import Mlflow, TrainingSpec
from treeline.training import outputs
from treeline.training.mlflow_errors import prepare_environment, talks_to_mlflow

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

REQUEST_TAG = "train_request_id"
NATIVE_TAG = "treeline.native_sha256"
MAX_PARAM = 6000  # characters that MLflow keeps
KILL_SECONDS = "3"


class MlflowTracker:
    """Implements Tracker on an MLflow server. Calls go through one client and need no global state of mlflow."""

    def __init__(self, where: Mlflow) -> None:
        prepare_environment()
        from mlflow.tracking import MlflowClient

        self.client: MlflowClient = MlflowClient(tracking_uri=where.tracking_uri, registry_uri=where.tracking_uri)
        self.where = where
        self.run_id = ""
        self.run_name = where.run_name
        self._spec: TrainingSpec | None = None
        self._experiment = ""
        self._known_params: dict[str, str] = {}
        self._model_id = ""
        self._version: str | None = None  # registered by an earlier attempt
        self._ended = False

    @talks_to_mlflow("opening the run")
    def start(self, spec: TrainingSpec) -> None:
        """Opens the run, or the one that carries this training's idempotency key."""
        self._spec = spec
        self._experiment = self._experiment_id(self.where.experiment)
        run = self._earlier_run(spec.idempotency_key)
        if run is None:
            run = self.client.create_run(self._experiment, tags=self._tags("running"), run_name=self.where.run_name)
        else:
            self._known_params = dict(run.data.params)
            self.client.update_run(run.info.run_id, status="RUNNING")
            self._tag_run(run.info.run_id, self._tags("running"))
        self.run_id = run.info.run_id
        self.run_name = run.info.run_name or self.where.run_name

    @talks_to_mlflow("creating the model")
    def new_model(self, native: pathlib.Path) -> str | None:
        """A new logged model, or that of the version which an earlier attempt registered with the same file."""
        spec = self._need()
        digest = sha256(native)
        for version in self._versions_of_run(spec.registered_model_name):
            if version.tags.get(NATIVE_TAG) == digest and (version.source or "").startswith("models:/m-"):
                self._version, self._model_id = str(version.version), version.source.removeprefix("models:/")
                return self._model_id
        model = self.client.create_logged_model(
            self._experiment,
            name=outputs.MODEL,
            source_run_id=self.run_id,
            tags={NATIVE_TAG: digest},
        )
        self._model_id = model.model_id
        return self._model_id

    @talks_to_mlflow("logging the run")
    def log(self, result: outputs.Result, directory: pathlib.Path) -> None:
        """Parameters, metrics (of the run and the model) and files."""
        from mlflow.entities import LoggedModelOutput, Metric, Param

        at = int(time.time() * 1000)
        params = []
        for key, value in result.params.items():
            text = value[:MAX_PARAM]
            if key not in self._known_params:
                params.append(Param(key, text))
            elif self._known_params[key] != text:
                # MLflow never changes a parameter: the earlier attempt's value stays.
                print(
                    f"parameter {key} is {text}; the run keeps {self._known_params[key]}",
                    file=sys.stderr,
                )
        metrics = [Metric(key, value, at, 0, model_id=self._model_id) for key, value in result.metrics.items()]
        if self._version is None:
            self.client.log_outputs(self.run_id, [LoggedModelOutput(self._model_id, 0)])
        for begin in range(0, max(len(params), 1), 100):
            self.client.log_batch(self.run_id, params=params[begin : begin + 100])
        self.client.log_batch(self.run_id, metrics=metrics)
        for name in (outputs.IMPORTANCE, outputs.IMPORTANCE_TABLE, outputs.GOLDEN, outputs.HOLDOUT):
            self.client.log_artifact(self.run_id, str(directory / name))

    @talks_to_mlflow("registering the version")
    def register(self, directory: pathlib.Path, native: str) -> str | None:
        """Uploads the directory, reads it back, compares digests, and registers a version without an alias."""
        spec, digest = self._need(), sha256(directory / native)
        if self._version is not None:
            self._fetch_into(directory)
            if sha256(directory / native) != digest:
                raise ConfigError(
                    f"version {self._version} of {spec.registered_model_name} has another file than was registered"
                )
            return self._version
        self.client.log_model_artifacts(self._model_id, str(directory))
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".registered-") as copy:
            target = pathlib.Path(copy) / outputs.MODEL
            target.mkdir()
            self._download(target)
            if manifest(target) != manifest(directory):
                raise TransientError(f"MLflow holds other bytes of model {self._model_id} than were sent to it")
        self.client.finalize_logged_model(self._model_id, "READY")
        self._create_registered_model(spec.registered_model_name)
        version = self.client.create_model_version(
            spec.registered_model_name,
            source=f"models:/{self._model_id}",
            run_id=self.run_id,
            tags=self._version_tags(digest),
            model_id=self._model_id,
        )
        if str(version.status) != "READY":
            raise TransientError(
                f"version {version.version} of {spec.registered_model_name} is {version.status}, not READY"
            )
        link = [{"name": spec.registered_model_name, "version": str(version.version)}]
        self.client.set_logged_model_tags(self._model_id, {"mlflow.modelVersions": json.dumps(link)})
        self._version = str(version.version)
        return self._version

    @talks_to_mlflow("ending the run")
    def finish(self) -> None:
        """Status FINISHED, tag status=succeeded."""
        self._end("FINISHED", "succeeded")

    def fail(self, message: str) -> None:
        """Status FAILED, tags status=failed and error; a server that is down is not waited for once more."""
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
        self._try_to_end("FAILED", "failed", message)

    def kill(self) -> None:
        """Status KILLED, tag status=killed; one attempt of a few seconds a call."""
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = KILL_SECONDS
        self._try_to_end("KILLED", "killed", "terminated by SIGTERM")

    def _try_to_end(self, status: str, tag: str, message: str) -> None:
        if not self.run_id or self._ended:
            return
        try:
            self.client.set_tag(self.run_id, "error", message[:MAX_PARAM])
            self._end(status, tag)
        except Exception as error:  # the training has failed already; that the run cannot say so must not hide why
            print(
                f"run {self.run_id} is not marked {status}: {one_line(error)[:200]}",
                file=sys.stderr,
            )

    def _end(self, status: str, tag: str) -> None:
        self.client.set_tag(self.run_id, "status", tag)
        self.client.set_terminated(self.run_id, status)
        self._ended = True

    def _need(self) -> TrainingSpec:
        if self._spec is None:
            raise RuntimeError("the tracker was not started")
        return self._spec

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return self.client.create_experiment(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # somebody else was faster
                    raise
                found = self.client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise ConfigError(f"the MLflow experiment {name!r} was deleted; restore it or name another one")
        return found.experiment_id

    def _earlier_run(self, key: str) -> Run | None:
        if not key:
            return None
        quote = '"' if "'" in key else "'"
        if quote in key:
            raise ConfigError(f"the idempotency key {key!r} has both kinds of quotes, which MLflow cannot search for")
        runs = self.client.search_runs(
            [self._experiment],
            f"tags.{REQUEST_TAG} = {quote}{key}{quote}",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        return runs[0] if runs else None

    def _versions_of_run(self, name: str) -> list[Any]:
        found = self.client.search_model_versions(f"run_id='{self.run_id}'")
        return [version for version in found if version.name == name]

    def _create_registered_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _tags(self, status: str) -> dict[str, str]:
        spec = self._need()
        tags = {
            "environment": spec.environment,
            "git_sha": spec.git_sha,
            "status": status,
            REQUEST_TAG: spec.idempotency_key,
            "model_key": spec.model_key,
            "trainer_class": spec.trainer_class,
            "compute_date": spec.features.compute_date,
            "features_table": spec.features.table,
            "features_version": spec.features.version,
            "treeline.training_id": spec.training_id,
            "traceparent": spec.traceparent,
            "mlflow.source.git.commit": spec.git_sha,
        }
        return {key: value for key, value in tags.items() if value}

    def _version_tags(self, digest: str) -> dict[str, str]:
        keep = ("environment", "git_sha", REQUEST_TAG, "treeline.training_id", "compute_date")
        tags = {key: value for key, value in self._tags("").items() if key in keep}
        return {**tags, "run_name": self.run_name, NATIVE_TAG: digest}

    def _tag_run(self, run_id: str, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def _download(self, target: pathlib.Path) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        location = self.client.get_logged_model(self._model_id).artifact_location
        get_artifact_repository(location, tracking_uri=self.where.tracking_uri).download_artifacts("", str(target))

    def _fetch_into(self, directory: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".registered-") as copy:
            target = pathlib.Path(copy) / outputs.MODEL
            target.mkdir()
            self._download(target)
            shutil.rmtree(directory)
            shutil.move(target, directory)
