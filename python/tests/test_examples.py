"""The examples of the lifecycle: their classes exist, their history drifts when it should, their models are good and bad."""

import argparse
import datetime
import importlib.util
import pathlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from treeline import check, config, sources, train
from treeline.drift import DriftDetector
from treeline.errors import DataError

EXAMPLES = ROOT / "examples"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def history(tmp_path_factory):
    where = tmp_path_factory.mktemp("history")
    load(EXAMPLES / "lifecycle" / "make_features.py").main([str(where)])
    (where / "scorer.yml").write_text(
        "warehouse:\n  seed:\n"
        "    - {table: uat.features.churn_features, file: churn_features.parquet}\n"
        "    - {table: uat.features.fraud_features, file: fraud_features.parquet}\n"
    )
    return where


@pytest.mark.parametrize("path", ["churn/lifecycle.yml", "fraud/config.yml", "lifecycle/failing.yml"])
def test_the_classes_exist(path):
    report = check.check(str(EXAMPLES / path))
    assert report["ok"] and report["classes"], report


def test_the_committed_table_is_what_the_generator_makes(tmp_path, monkeypatch):
    module = load(EXAMPLES / "fraud" / "generate.py")
    monkeypatch.setattr(module, "HERE", tmp_path)
    module.main()
    committed = EXAMPLES / "fraud" / "features.parquet"
    assert pq.read_table(tmp_path / "features.parquet").equals(pq.read_table(committed))
    assert committed.stat().st_size < 1_500_000


@pytest.mark.parametrize("name", ["churn", "fraud"])
def test_the_input_drifts_on_day_five(history, name):
    table = pq.read_table(history / f"{name}_features.parquet")
    date = {"churn": "compute_date", "fraud": "transaction_date"}[name]
    features = [c for c in table.column_names if c not in (date, name, "account_id", "transaction_id")]

    def days(first, last):
        low, high = (pa.scalar(datetime.date(2026, 11, d)) for d in (first, last))
        return table.filter(pc.and_(pc.greater_equal(table[date], low), pc.less_equal(table[date], high)))

    detector = DriftDetector(p_threshold=0.001)
    assert detector.detect(days(1, 3), days(4, 4), features).drifted == []
    drifted = detector.detect(days(1, 4), days(5, 5), features).drifted
    assert len(drifted) >= 2 and set(drifted) <= set(features) - {"seats", "hour"}


def trained(where: pathlib.Path, history: pathlib.Path, file: pathlib.Path, day: str, run):
    """Trains as python -m treeline.train does, with the seeds of the history."""
    model = config.ModelConfig(history / "config.yml", config.read(file).raw)
    options = argparse.Namespace(output=str(where), tracking_uri="", git_sha="abc", compute_date=day, environment="")
    value = train.make_spec(model, options, datetime.datetime(2026, 11, 7))
    where.mkdir()
    pq.write_table(sources.load(model, None, day, history), value["features"]["path"])
    value["module_path"] = [str(file.parent)]
    return run(value)


def test_the_story_s_models(history, tmp_path, run):
    first = trained(tmp_path / "first", history, EXAMPLES / "churn" / "lifecycle.yml", "2026-11-03", run)
    assert first.metrics["auc"] > 0.76 and first.rows["train"] + first.rows["holdout"] == 12_000
    assert "contract" in pq.read_schema(tmp_path / "first" / "holdout.parquet").names, "no column for the slices"
    worse = trained(tmp_path / "worse", history, history / "churn_worse.yml", "2026-11-06", run)
    assert worse.metrics["auc"] < 0.72, "the gates would let it pass"
    fraud = trained(tmp_path / "fraud", history, EXAMPLES / "fraud" / "config.yml", "2026-11-04", run)
    assert fraud.metrics["auc"] > 0.8
    with pytest.raises(DataError, match="no label newer than 90 days"):
        trained(tmp_path / "winback", history, EXAMPLES / "lifecycle" / "failing.yml", "2026-11-04", run)
