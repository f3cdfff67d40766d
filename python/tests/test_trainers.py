"""Every ready trainer, end to end without a registry: files, determinism, and the library's own scores in them."""

import hashlib
import json
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import table

from treeline.training.validation import load_model

TREES = ["RandomForestTrainer", "ExtraTreesTrainer", "DecisionTreeTrainer"]
BOOSTERS = ["LightGBMTrainer", "XGBoostTrainer", "CatBoostTrainer"]
FILES = {
    "LightGBMTrainer": "model.lgb",
    "XGBoostTrainer": "model.ubj",
    "CatBoostTrainer": "model.cb",
    **dict.fromkeys(TREES, "model.skops"),
}


def small(trainer):
    return {"max_depth": 4} if trainer == "DecisionTreeTrainer" else {"n_estimators": 8, "max_depth": 4}


@pytest.mark.parametrize("trainer", TREES + BOOSTERS)
def test_a_training_leaves_every_file_and_the_same_bytes_again(trainer, make_spec, run):
    data = table(text=trainer in ("LightGBMTrainer", "XGBoostTrainer"))
    first, second = (make_spec(trainer, data, hyperparameters=small(trainer)) for _ in range(2))
    result = run(first)
    run(second)
    out, again = pathlib.Path(first["output_dir"]), pathlib.Path(second["output_dir"])

    stored = json.loads((out / "result.json").read_text())
    assert stored["format"] == 1 and stored["model"] == "model/MLmodel" and stored["run_id"] == ""
    assert stored["registry_version"] is None
    assert stored["rows"]["train"] + stored["rows"]["holdout"] == data.num_rows
    for name in (stored["model"], stored["golden"], stored["holdout"], stored["importance"]):
        assert (out / name).stat().st_size > 0
    assert 0.6 < stored["metrics"]["auc"] <= 1
    assert all(isinstance(value, str) for value in stored["params"].values())
    beat = json.loads((out / "heartbeat.json").read_text())
    assert beat["step"] == "done" and beat["fraction"] == 1

    native = FILES[trainer]
    digests = {hashlib.sha256((d / "model" / native).read_bytes()).hexdigest() for d in (out, again)}
    assert len(digests) == 1, "two trainings with one spec differ"
    for name in ("golden.parquet", "holdout.parquet"):
        assert pq.read_table(out / name).equals(pq.read_table(again / name)), name

    share = json.loads((out / "importance.json").read_text())
    assert list(share) == result.features and sum(share.values()) == pytest.approx(1)


@pytest.mark.parametrize("trainer", TREES + BOOSTERS)
def test_golden_and_holdout_hold_what_the_library_says(trainer, make_spec, run):
    """The oracle loads the stored model with the library alone and scores the stored rows."""
    data = table(text=trainer in ("LightGBMTrainer", "XGBoostTrainer"))
    spec = make_spec(trainer, data, hyperparameters=small(trainer), exclude_cols=["count"])
    result = run(spec)
    out = pathlib.Path(spec["output_dir"])
    model = load_model(out / "model")
    holdout = pq.read_table(out / "holdout.parquet")
    assert holdout.column_names[:3] == ["account_id", "compute_date", "count"]
    assert holdout.schema.field("count").type == data.schema.field("count").type
    assert "count" not in result.features
    assert set(holdout["churn"].to_pylist()) == {0, 1}

    golden = pq.read_table(out / "golden.parquet")
    assert golden.num_rows >= 1000 and golden.column_names == [*result.features, "raw", "pred"]
    for rows in (holdout, golden):
        kept = rows.filter(np.array([v is not None for v in rows["raw"].to_pylist()]))
        x = kept.select(result.features).to_pandas()
        raw, pred = oracle(trainer, model, x, out)
        np.testing.assert_array_equal(kept["raw"].to_numpy(), raw)
        np.testing.assert_array_equal(kept["pred"].to_numpy(), pred)
        assert kept["raw"].to_numpy().dtype == raw.dtype


def oracle(trainer, model, x, out):
    if trainer in TREES:
        share = model.predict_proba(x)[:, 1]
        return share, share
    if trainer == "CatBoostTrainer":
        import catboost

        model = catboost.CatBoostClassifier().load_model(str(out / "model" / "model.cb"))
        return model.predict(x, prediction_type="RawFormulaVal"), model.predict_proba(x)[:, 1]
    x["plan"] = x["plan"].astype("category").cat.set_categories(["basic", "gold", "silber ü"])
    if trainer == "LightGBMTrainer":
        return model.predict(x, raw_score=True), model.predict(x)
    import xgboost

    matrix = xgboost.DMatrix(x, enable_categorical=True)
    return model.predict(matrix, output_margin=True), model.predict(matrix)


@pytest.mark.parametrize("trainer", ["RandomForestTrainer", "LightGBMTrainer", "XGBoostTrainer"])
def test_golden_rows_are_awkward(trainer, make_spec, run):
    spec = make_spec(trainer, hyperparameters=small(trainer))
    run(spec)
    golden = pq.read_table(pathlib.Path(spec["output_dir"]) / "golden.parquet").to_pandas()
    x = golden["x"].to_numpy()
    assert np.isnan(x).sum() > 20
    numeric = golden[["x", "single", "count", "price", "flag"]].to_numpy()
    assert ((numeric == 0) & np.signbit(numeric)).any(), "no minus zero"
    infinite = golden[np.isinf(numeric).any(axis=1)]
    if trainer == "LightGBMTrainer":
        assert len(infinite) > 5 and infinite["raw"].notna().all()
    else:
        assert len(infinite) >= 2 and infinite["raw"].isna().all(), "refused rows have no scores"
    if trainer != "RandomForestTrainer":
        unseen = golden[golden["plan"] == "never seen in training"]
        assert len(unseen) > 0
        assert unseen["raw"].isna().all() if trainer == "XGBoostTrainer" else unseen["raw"].notna().all()


def test_the_model_directory_has_signature_and_example(make_spec, run):
    spec = make_spec("RandomForestTrainer", hyperparameters=small("RandomForestTrainer"))
    run(spec)
    directory = pathlib.Path(spec["output_dir"]) / "model"
    record = yaml.safe_load((directory / "MLmodel").read_text())
    inputs = json.loads(record["signature"]["inputs"])
    assert [c["name"] for c in inputs] == ["x", "single", "count", "price", "flag"]
    assert {c["type"] for c in inputs} == {"double"} and not any(c["required"] for c in inputs)
    assert record["flavors"]["sklearn"]["skops_trusted_types"] == ["sklearn.tree._tree.Tree"]
    assert (directory / "input_example.json").exists()
    assert "scikit-learn==" in (directory / "requirements.txt").read_text()

    import mlflow.pyfunc

    loaded = mlflow.pyfunc.load_model(str(directory))
    holdout = pq.read_table(directory.parent / "holdout.parquet").to_pandas()
    share = np.asarray(loaded.predict(holdout[["x", "single", "count", "price", "flag"]]))
    np.testing.assert_array_equal(share[:, 1], holdout["pred"].to_numpy())


@pytest.mark.parametrize("trainer", ["RandomForestTrainer", *BOOSTERS])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks(trainer, task, make_spec, run):
    data = table(text=False)
    x = np.nan_to_num(data["x"].to_numpy())
    if task == "multiclass":
        label, objective = np.digitize(x, [-0.6, 0.5]) * 10, {}
    else:
        names = {
            "RandomForestTrainer": "regression",
            "LightGBMTrainer": "poisson",
            "XGBoostTrainer": "reg:squarederror",
            "CatBoostTrainer": "RMSE",
        }
        label, objective = np.exp(x), {"objective": names[trainer]}
    data = data.drop_columns(["churn"]).append_column("churn", [label])
    spec = make_spec(trainer, data, hyperparameters={**small(trainer), **objective})
    result = run(spec)
    golden = pq.read_table(pathlib.Path(spec["output_dir"]) / "golden.parquet")
    if task == "multiclass":
        assert result.metrics["auc"] > 0.9 and result.params["classes"] == "[0, 10, 20]"
        assert golden.column_names[-6:] == ["raw_0", "raw_1", "raw_2", "pred_0", "pred_1", "pred_2"]
        holdout = pq.read_table(pathlib.Path(spec["output_dir"]) / "holdout.parquet")
        assert set(holdout["churn"].to_pylist()) == {0, 1, 2}
    else:
        assert result.metrics["r2"] > 0.3
        assert golden.column_names[-2:] == ["raw", "pred"]
