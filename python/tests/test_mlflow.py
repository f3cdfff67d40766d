"""What a training leaves in a real MLflow server, and what it does when the server is not well."""

import contextlib
import http.server
import json
import pathlib
import threading

import mlflow.artifacts
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import free_port, table

from treeline.errors import ConfigError, DataError, TransientError
from treeline.files import manifest
from treeline.spec import TrainingSpec
from treeline.training.mlflow_tracker import MlflowTracker


@contextlib.contextmanager
def using(uri):
    """The user's own calls of mlflow, which take the server from global state."""
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)


def tracked(value, uri, name):
    """A spec that logs to the server, under a model name of its own."""
    value["registered_model_name"] = name
    value["mlflow"] = {"tracking_uri": uri, "experiment": name, "run_name": "churn-20261102-030000"}
    return value


@pytest.mark.parametrize("trainer", ["RandomForestTrainer", "LightGBMTrainer", "XGBoostTrainer", "CatBoostTrainer"])
def test_run_and_version(trainer, make_spec, run, mlflow_uri, client, tmp_path):
    data = table(text=trainer in ("LightGBMTrainer", "XGBoostTrainer"))
    spec = tracked(make_spec(trainer, data), mlflow_uri, f"logged_{trainer}")
    result = run(spec)
    out = pathlib.Path(spec["output_dir"])

    logged = client.get_run(result.run_id)
    assert logged.info.run_name == result.run_name == "churn-20261102-030000"
    assert logged.info.status == "FINISHED"
    expected = {
        "environment": "test",
        "git_sha": "0123abc",
        "status": "succeeded",
        "train_request_id": spec["idempotency_key"],
    }
    assert expected.items() <= logged.data.tags.items()
    assert logged.data.params["n_estimators"] == "8" and logged.data.params["seed"] == "7"
    for name in ("auc", "precision", "recall"):
        assert logged.data.metrics[name] == pytest.approx(result.metrics[name])
    files = {f.path for f in client.list_artifacts(result.run_id)}
    assert files >= {"importance.json", "importance.txt", "golden.parquet", "holdout.parquet"}

    version = client.get_model_version(spec["registered_model_name"], result.registry_version)
    assert version.status == "READY" and version.run_id == result.run_id and not version.aliases
    assert version.tags["git_sha"] == "0123abc"
    with using(mlflow_uri):
        (tmp_path / "copy").mkdir()
        copy = mlflow.artifacts.download_artifacts(
            f"models:/{version.name}/{version.version}", dst_path=str(tmp_path / "copy")
        )
    registered = {name: digest for name, digest in manifest(copy).items() if name != "registered_model_meta"}
    assert registered == manifest(out / "model"), "what is registered is not what lies in the output directory"
    stored = json.loads((out / "result.json").read_text())
    assert stored["run_id"] == result.run_id and stored["registry_version"] == result.registry_version


def test_a_version_scores_by_its_registered_name(make_spec, run, mlflow_uri):
    """The user's own way to use a version."""
    spec = tracked(make_spec("XGBoostTrainer", table(text=False)), mlflow_uri, "by_name")
    result = run(spec)
    with using(mlflow_uri):
        model = mlflow.pyfunc.load_model(f"models:/by_name/{result.registry_version}")
    holdout = pq.read_table(pathlib.Path(spec["output_dir"]) / "holdout.parquet").to_pandas()
    np.testing.assert_array_equal(model.predict(holdout[result.features]), holdout["pred"].to_numpy())


def test_a_retry_takes_up_run_and_version(make_spec, run, mlflow_uri, client):
    spec = tracked(make_spec("RandomForestTrainer"), mlflow_uri, "retried")
    first = run(spec)
    before = manifest(pathlib.Path(spec["output_dir"]) / "model")
    second = run(spec)
    assert (second.run_id, second.registry_version) == (first.run_id, first.registry_version)
    assert manifest(pathlib.Path(spec["output_dir"]) / "model") == before
    experiment = client.get_experiment_by_name("retried")
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert len(client.search_model_versions("name='retried'")) == 1


def test_a_retry_after_a_death_before_the_registration(make_spec, run, mlflow_uri, client, monkeypatch):
    spec = tracked(make_spec(), mlflow_uri, "died")

    def dies(*_):
        raise TransientError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowTracker, "register", dies)
        with pytest.raises(TransientError):
            run(spec)
    experiment = client.get_experiment_by_name("died").experiment_id
    [failed] = client.search_runs([experiment])
    assert (
        failed.info.status == "FAILED"
        and failed.data.tags["status"] == "failed"
        and failed.data.tags["error"] == "gone"
    )
    result = run(spec)
    [again] = client.search_runs([experiment])
    assert again.info.run_id == result.run_id and again.info.status == "FINISHED"
    assert again.data.tags["status"] == "succeeded"
    assert result.registry_version == "1"


def test_bad_data_marks_the_run_failed(make_spec, run, mlflow_uri, client):
    spec = tracked(make_spec("LightGBMTrainer", label_col="no_such"), mlflow_uri, "bad_data")
    with pytest.raises(DataError, match="no_such"):
        run(spec)
    [failed] = client.search_runs([client.get_experiment_by_name("bad_data").experiment_id])
    assert failed.info.status == "FAILED" and "no_such" in failed.data.tags["error"]
    assert not (pathlib.Path(spec["output_dir"]) / "result.json").exists()


def test_nobody_listens(make_spec, run):
    spec = tracked(make_spec(), f"http://127.0.0.1:{free_port()}", "nobody")
    with pytest.raises(TransientError, match="MLflow does not answer opening the run"):
        run(spec)


@pytest.mark.parametrize(
    ("status", "kind", "body", "error"),
    [
        (200, "text/html", b"<html>maintenance</html>", TransientError),
        (502, "text/html", b"<html>bad gateway</html>", TransientError),
        (
            503,
            "application/json",
            b'{"error_code":"TEMPORARILY_UNAVAILABLE","message":"later"}',
            TransientError,
        ),
        (401, "text/plain", b"You are not authenticated", ConfigError),
        (403, "text/plain", b"Permission denied", ConfigError),
        (
            403,
            "application/json",
            b'{"error_code":"PERMISSION_DENIED","message":"no"}',
            ConfigError,
        ),
        (404, "text/html", b"<html>not found</html>", ConfigError),
        (
            400,
            "application/json",
            b'{"error_code":"INVALID_PARAMETER_VALUE","message":"bad"}',
            ConfigError,
        ),
    ],
)
def test_what_an_answer_means(status, kind, body, error, make_spec, run):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_PATCH = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(error):
            run(tracked(make_spec(), f"http://127.0.0.1:{server.server_port}", "answers"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_bytes_that_changed_on_the_way_are_seen(make_spec, run, mlflow_uri, client, monkeypatch):
    spec = tracked(make_spec(), mlflow_uri, "changed")
    real = MlflowTracker._download

    def damaged(self, target):
        real(self, target)
        with open(target / "model.lgb", "ab") as file:
            file.write(b"x")

    monkeypatch.setattr(MlflowTracker, "_download", damaged)
    with pytest.raises(TransientError, match="other bytes"):
        run(spec)
    assert client.search_model_versions("name='changed'") == []


def test_an_experiment_that_was_deleted(make_spec, run, mlflow_uri, client):
    client.delete_experiment(client.create_experiment("deleted"))
    with pytest.raises(ConfigError, match="deleted"):
        run(tracked(make_spec(), mlflow_uri, "deleted"))


def test_a_key_that_cannot_be_searched_for(mlflow_uri, make_spec):
    value = tracked(make_spec(idempotency_key="a'b\"c"), mlflow_uri, "quotes")
    spec = TrainingSpec.parse(value)
    with pytest.raises(ConfigError, match="quotes"):
        MlflowTracker(spec.mlflow).start(spec)
