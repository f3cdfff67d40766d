"""What tests share: a real MLflow server, feature tables, and specs."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from treeline.training.mlflow_errors import prepare_environment  # noqa: E402

# A server that is down must fail a test in a second, not in a minute.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
os.environ["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"] = "0"
os.environ["MLFLOW_HTTP_REQUEST_BACKOFF_JITTER"] = "0"
os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "20"
os.environ.pop("MLFLOW_TRACKING_URI", None)
prepare_environment()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import pytest  # noqa: E402

from treeline.spec import TrainingSpec  # noqa: E402

READY_WITHIN = 120


def environment() -> dict[str, str]:
    """The environment of a process that runs the package."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "python"), "NO_PROXY": "127.0.0.1,localhost"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory):
    """The URL of an MLflow server with SQLite and file artifacts, in a process group of its own."""
    home = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [
        *[sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)],
        *["--workers", "1", "--backend-store-uri", f"sqlite:///{home}/mlflow.db"],
        *["--artifacts-destination", f"file://{home}/artifacts", "--serve-artifacts"],
    ]
    log = open(home / "server.log", "wb")
    server = subprocess.Popen(
        command,
        env={**environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=home,
        start_new_session=True,
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + READY_WITHIN
        while not answers(uri):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError("MLflow did not start:\n" + (home / "server.log").read_text()[-2000:])
            time.sleep(0.1)
        yield uri
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        log.close()


def answers(uri: str) -> bool:
    try:
        with urllib.request.urlopen(uri + "/health", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


@pytest.fixture
def client(mlflow_uri):
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=mlflow_uri, registry_uri=mlflow_uri)


def table(rows: int = 1200, seed: int = 3, days: int = 2, text: bool = True) -> pa.Table:
    """A feature table with missing values in every kind of column; the label follows the columns."""
    rng = np.random.default_rng(seed)
    per_day = rows // days
    n = per_day * days
    x = rng.normal(size=n)
    count = rng.integers(0, 50, n)
    flag = rng.random(n) < 0.4
    plan = rng.choice(["basic", "gold", "silber ü"], n)
    logit = 1.6 * x - 0.04 * (count - 25) + 0.9 * flag + (plan == "gold") - 0.6
    churn = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int8)

    def holes(values, kind, share=0.08):
        return pa.array(values, kind, mask=rng.random(n) < share)

    columns = {
        "account_id": pa.array(np.tile(np.arange(per_day), days), pa.int64()),
        "compute_date": pa.array(np.repeat(np.datetime64("2026-11-01") + np.arange(days), per_day)),
        "x": holes(x, pa.float64()),
        "single": pa.array(rng.exponential(size=n).astype(np.float32)),
        "count": holes(count, pa.int32()),
        "price": pa.array([None if i % 17 == 0 else round(float(v), 2) for i, v in enumerate(rng.gamma(2, 9, n))]).cast(
            pa.decimal128(9, 2)
        ),
        "flag": holes(flag, pa.bool_()),
    }
    if text:
        columns["plan"] = holes(plan, pa.string()).dictionary_encode()
    columns["churn"] = pa.array(churn)
    return pa.table(columns)


@pytest.fixture
def make_spec(tmp_path):
    """Makes a spec around a table; keyword arguments replace its fields."""

    def make(trainer: str = "LightGBMTrainer", data: pa.Table | None = None, **changes) -> dict:
        data = table(text=trainer in ("LightGBMTrainer", "XGBoostTrainer")) if data is None else data
        number = len(list(tmp_path.glob("features-*.parquet")))
        path = tmp_path / f"features-{number}.parquet"
        pq.write_table(data, path)
        return {
            "format": 1,
            "training_id": f"t-{number}",
            "idempotency_key": f"{tmp_path.name}-{number}",
            "model_key": "churn",
            "registered_model_name": "churn",
            "trainer_class": trainer,
            "module_path": [],
            "features": {
                "path": str(path),
                "rows": data.num_rows,
                "version": "v1",
                "compute_date": "2026-11-02",
                "table": "uat.features.churn",
            },
            "label_col": "churn",
            "key_cols": ["account_id"],
            "date_col": "compute_date",
            "exclude_cols": [],
            "hyperparameters": {"n_estimators": 8},
            "metrics": {"auc_threshold": 0.75},
            "split": {"method": "key_hash", "holdout_fraction": 0.25, "seed": 7},
            "seed": 7,
            "git_sha": "0123abc",
            "environment": "test",
            "mlflow": None,
            "traceparent": "",
            "output_dir": str(tmp_path / f"out-{number}"),
            "heartbeat_seconds": 1,
            "parity_rows": 1000,
            **changes,
        }

    return make


@pytest.fixture
def run():
    """Runs a spec in this process and returns the result."""

    def run(value: dict):
        from treeline.heartbeat import Progress
        from treeline.trainer import execute
        from treeline.training.tracking import tracker_of

        run.last = value
        spec = TrainingSpec.parse(value)
        return execute(spec, Progress(), tracker_of(spec))

    return run
