"""Validators, post-processing, and finding classes by name."""

import io
import json
import pathlib
import subprocess
import sys

import pyarrow as pa
import pytest
from conftest import ROOT, environment, table

from treeline import check, validator
from treeline.classes import resolve
from treeline.errors import ConfigError, DataError
from treeline.inference import stream
from treeline.training import Inference, Trainer, Validator
from treeline.training.inference import apply

HOOKS = str(ROOT / "python" / "tests" / "hooks")


@pytest.fixture
def trained(make_spec, run):
    spec = make_spec("LightGBMTrainer", table(text=False))
    run(spec)
    return pathlib.Path(spec["output_dir"])


def ask(trained, tmp_path, name, **changes):
    spec = {
        "format": 1,
        "validator_class": name,
        "module_path": [HOOKS],
        "model_dir": str(trained / "model"),
        "holdout": str(trained / "holdout.parquet"),
        "label_col": "churn",
        "metrics": {"auc_threshold": 0.6},
        "hyperparameters": {},
        "output": str(tmp_path / "verdict.json"),
        **changes,
    }
    path = tmp_path / "validator.json"
    path.write_text(json.dumps(spec))
    code = validator.main([str(path)])
    return code, json.loads((tmp_path / "verdict.json").read_text()) if code == 0 else None


def test_a_user_s_validator_sees_rows_and_model(trained, tmp_path):
    code, verdict = ask(trained, tmp_path, "hooks.StrictValidator")
    assert code == 0 and verdict["passed"] is True
    assert verdict["figures"]["trees"] == 8 and verdict["figures"]["worst"] == "nan"
    code, verdict = ask(trained, tmp_path, "hooks.StrictValidator", hyperparameters={"limit": 0.0})
    assert code == 0 and verdict["passed"] is False and "of the rows are positive" in verdict["summary"]


def test_the_ready_validator(trained, tmp_path):
    result = json.loads((trained / "result.json").read_text())
    code, verdict = ask(trained, tmp_path, "ThresholdValidator")
    assert code == 0 and verdict["passed"] and verdict["figures"]["auc"] == result["metrics"]["auc"]
    code, verdict = ask(
        trained,
        tmp_path,
        "treeline.training.ThresholdValidator",
        metrics={"auc_threshold": 0.999, "brier_threshold": 0.5},
    )
    assert not verdict["passed"] and verdict["summary"].endswith("is below 0.999")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("hooks.ForgetfulValidator", {}, "returned bool, want a Verdict"),
        ("ThresholdValidator", {"metrics": {}}, "needs thresholds"),
        ("ThresholdValidator", {"metrics": {"f1_threshold": 1}}, "f1_threshold names no metric"),
        ("ThresholdValidator", {"label_col": "nope"}, "no column 'nope'"),
        ("ThresholdValidator", {"holdout": "/nowhere/h.parquet"}, "h.parquet"),
        ("ThresholdValidator", {"output": ""}, "output is ''"),
        ("hooks.StrictValidator", {"model_dir": "/nowhere"}, "no MLflow model directory"),
    ],
)
def test_no_verdict(name, changes, message, trained, tmp_path, capsys):
    assert ask(trained, tmp_path, name, **changes) == (10, None)
    assert message in capsys.readouterr().err.splitlines()[-1]


BATCH = pa.record_batch({"account_id": pa.array([1, 2]), "churn_score": pa.array([0.5, 1.0])})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LosingInference", "returned 1 rows for 2"),
        ("WideningInference", "adds 'more'"),
        ("TextInference", "'churn_score' is no longer double"),
    ],
)
def test_post_processing_keeps_rows_and_columns(name, message):
    with pytest.raises(DataError, match=message):
        apply(resolve(f"hooks.{name}", Inference, [HOOKS])(), BATCH)


def test_a_cut_stream_is_an_error():
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, BATCH.schema) as writer:
        writer.write_batch(BATCH)
    cut = sink.getvalue().to_pybytes()[:-40]
    with pytest.raises(DataError, match="not readable"):
        stream(resolve("hooks.HalvingInference", Inference, [HOOKS])(), io.BytesIO(cut), io.BytesIO())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "RandomForrestTrainer",
            "did you mean RandomForestTrainer.*Trainer classes there: CatBoostTrainer, DecisionTree",
        ),
        ("treeline.training.NoSuch", "treeline.training has no class NoSuch"),
        ("hooks.NoSuchTrainer", "hooks has no class NoSuchTrainer.*BadDataTrainer, BrokenTrainer"),
        ("hoks.BadDataTrainer", "no module 'hoks'.*modules there: hooks"),
        ("hooks.NoTrainer", r"does not inherit.*class NoTrainer\(Trainer\)"),
        ("hooks.StrictValidator", "does not inherit"),
        ("hooks.HalfTrainer", "lacks importance, load, predict, raw"),
        ("sklearn.ensemble.RandomForestClassifier", "does not inherit"),
        ("no class", "is not a class name"),
        ("", "is not a class name"),
    ],
)
def test_names_that_lead_nowhere(name, message):
    with pytest.raises(ConfigError, match=message):
        resolve(name, Trainer, [HOOKS], "trainer_class")


def test_a_module_that_cannot_be_imported(tmp_path):
    (tmp_path / "broken_module.py").write_text("import no_such_package_at_all\n")
    (tmp_path / "failing_module.py").write_text("raise ValueError('no way')\n")
    with pytest.raises(ConfigError, match="imports 'no_such_package_at_all', which is not installed"):
        resolve("broken_module.T", Trainer, [str(tmp_path)])
    with pytest.raises(ConfigError, match="importing failing_module fails: ValueError: no way"):
        resolve("failing_module.T", Trainer, [str(tmp_path)])


def test_names_that_work():
    assert resolve("LightGBMTrainer", Trainer) is resolve("treeline.training.LightGBMTrainer", Trainer)
    assert resolve("hooks.StrictValidator", Validator, [HOOKS]).__name__ == "StrictValidator"


def test_check_reports_every_class(tmp_path, capsys):
    (tmp_path / "my.py").write_text(
        "print('noise')\nfrom treeline.training import Inference\n"
        "class Cap(Inference):\n    def process(self, rows):\n        return rows\n"
    )
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text("model_key: a\ntrainer_class: RandomForestTrainer\ninference_class: my.Cap\n")
    bad.write_text("model_key: b\ntrainer_class: XGBTrainer\nvalidator_class: ThresholdValidator\n")
    assert check.main([str(good)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] and [c["resolved"] for c in report["configs"][0]["classes"]] == [
        "treeline.training.sklearn_trees.RandomForestTrainer",
        "my.Cap",
    ]
    assert check.main([str(good), str(bad), str(tmp_path / "absent.yml")]) == 10
    report = json.loads(capsys.readouterr().out)
    assert [c["ok"] for c in report["configs"]] == [True, False, False]
    assert "XGBoostTrainer" in report["configs"][1]["classes"][0]["error"]
    assert report["configs"][1]["classes"][1]["ok"]


def test_importing_the_package_imports_no_library():
    code = "import sys, treeline.training, treeline.spec; print({'numpy', 'mlflow', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"
