"""The commands as processes: exit codes, the last line of stderr, heartbeats, SIGTERM."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, environment

HOOKS = str(ROOT / "python" / "tests" / "hooks")


def python(*arguments, cwd, **options):
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, timeout=120, **options)


def write(tmp_path, value):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize(
    ("trainer", "code", "last"),
    [
        ("hooks.BadDataTrainer", 10, "error: the table lost its labels"),
        ("hooks.BusyTrainer", 75, "error: the licence server is busy"),
        ("hooks.BrokenTrainer", 1, "error: ZeroDivisionError: division by zero"),
    ],
)
def test_exit_codes_of_the_machine_entry(trainer, code, last, make_spec, tmp_path):
    spec = make_spec(module_path=[HOOKS])
    spec["trainer_class"] = trainer
    out = pathlib.Path(spec["output_dir"])
    out.mkdir()
    (out / "result.json").write_text("{}")  # of an earlier attempt
    done = python("treeline.trainer", write(tmp_path, spec), cwd=tmp_path)
    assert done.returncode == code, done.stderr.decode()
    assert done.stderr.decode().splitlines()[-1] == last
    assert not (out / "result.json").exists(), "an earlier attempt's result passes for this one's"


def test_the_machine_entry_succeeds(make_spec, tmp_path):
    spec = make_spec("RandomForestTrainer", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    done = python("treeline.trainer", write(tmp_path, spec), cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    out = pathlib.Path(spec["output_dir"])
    assert json.loads((out / "result.json").read_text())["training_id"] == spec["training_id"]
    assert not list(out.glob(".*")), "temporary files are left"
    assert done.stderr == b"", done.stderr.decode()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "a spec is an object"),
        ('{"format": 2}', "format is 2, this trainer reads format 1"),
        ('{"format": 1}', "training_id is missing"),
    ],
)
def test_specs_that_cannot_be_read(spec, message, tmp_path, capsys):
    from treeline.trainer import main

    path = tmp_path / "spec.json"
    path.write_text(spec)
    assert main([str(path)]) == 10
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {path}: ") and message in last


def test_a_full_disk_is_not_tried_again(capsys):
    from treeline import command

    def fills():
        raise OSError(errno.ENOSPC, "No space left on device")

    assert command.run(fills) == 10
    assert capsys.readouterr().err.startswith("error: the disk is full: ")


def test_sigterm_marks_the_run_killed(make_spec, tmp_path, mlflow_uri, client):
    """The trainer hangs in C code with the signal blocked in its main thread."""
    spec = make_spec(module_path=[HOOKS], registered_model_name="killed", heartbeat_seconds=0.2)
    spec |= {"trainer_class": "hooks.HangingTrainer"}
    spec["mlflow"] = {"tracking_uri": mlflow_uri, "experiment": "killed", "run_name": "r"}
    command = [sys.executable, "-m", "treeline.trainer", str(write(tmp_path, spec))]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        while (line := process.stdout.readline()) and line != b"hanging\n":
            pass
        beat = pathlib.Path(spec["output_dir"]) / "heartbeat.json"
        first = json.loads(beat.read_text())
        while json.loads(beat.read_text())["at"] == first["at"] or json.loads(beat.read_text())["step"] != "train":
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert process.stderr.read().splitlines()[-1] == b"error: terminated by SIGTERM"
    finally:
        process.kill()
        process.communicate()
    [run] = client.search_runs([client.get_experiment_by_name("killed").experiment_id])
    assert run.info.status == "KILLED" and run.data.tags["status"] == "killed"


def test_training_by_hand(tmp_path, mlflow_uri, client, make_spec):
    """As a person does it: in a folder with a config and a scorer.yml that seeds the table which features_sql reads."""
    spec = make_spec("XGBoostTrainer")
    model = tmp_path / "examples" / "churn"
    model.mkdir(parents=True)
    os.rename(spec["features"]["path"], tmp_path / "examples" / "accounts.parquet")
    (tmp_path / "examples" / "scorer.yml").write_text(
        "warehouse: {seed: [{table: uat.features.accounts, file: accounts.parquet}]}\n"
    )
    (model / "config.yml").write_text("""
model_key: churn
registered_model_name: churn_by_hand
trainer_class: XGBoostTrainer
data:
  features_table: uat.features.churn
  features_sql: |
    SELECT account_id, compute_date, x, ':compute_date' AS ":compute_date", (plan = 'gold')::int AS gold, churn
    FROM uat.features.accounts WHERE compute_date = :compute_date
  label_col: churn
  key_cols: [account_id]
  date_col: compute_date
  exclude_cols: [":compute_date"]
hyperparameters: {n_estimators: 5}
metrics: {auc_threshold: 0.99}
""")
    done = python(
        "treeline.train",
        "churn",
        "--git_sha",
        "abc123",
        "--compute_date",
        "2026-11-01",
        "--tracking_uri",
        mlflow_uri,
        cwd=tmp_path,
    )
    text = done.stdout.decode()
    assert done.returncode == 0, text + done.stderr.decode()
    assert "AUC is below metrics.auc_threshold 0.99" in text and "churn_by_hand 1, READY, no alias" in text
    [out] = (tmp_path / "var" / "training").iterdir()
    result = json.loads((out / "result.json").read_text())
    assert result["features"] == ["x", "gold"] and sum(result["rows"].values()) == 600
    assert result["run_name"] == out.name and out.name.startswith("churn-20")
    assert client.get_run(result["run_id"]).data.tags["git_sha"] == "abc123"


def test_inference_passes_a_stream_through(tmp_path):
    import pyarrow as pa

    schema = pa.schema([pa.field("account_id", pa.int64(), nullable=False), pa.field("churn_score", pa.float64())])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for begin in (0, 3):
            writer.write_batch(
                pa.record_batch([pa.array(range(begin, begin + 3)), pa.array([0.5, None, 1.0])], schema=schema)
            )
    done = python(
        "treeline.inference",
        "--class",
        "hooks.HalvingInference",
        "--path",
        HOOKS,
        cwd=tmp_path,
        input=sink.getvalue().to_pybytes(),
    )
    assert done.returncode == 0, done.stderr.decode()
    out = pa.ipc.open_stream(done.stdout).read_all()
    assert out.schema == schema and out["account_id"].to_pylist() == list(range(6))
    assert out["churn_score"].to_pylist() == [0.25, None, 0.5] * 2
    assert b"halving" in done.stderr, "what the class prints must not land in the stream"
