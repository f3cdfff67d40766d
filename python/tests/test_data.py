"""Bad tables are refused with a sentence that names column and count; good ones of every type are taken."""

import datetime
import decimal
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pytest
from conftest import table

from treeline.errors import ConfigError, DataError
from treeline.training.columns import numbers, read_table, texts


def replaced(data, name, column):
    return data.set_column(data.column_names.index(name), name, column)


def with_nulls(data, name, count):
    values = data[name].to_pylist()
    return replaced(data, name, pa.array([None] * count + values[count:], data[name].type))


def with_infinity(data, name, count):
    values = data[name].to_numpy().astype(float)
    values[:count] = np.inf
    return replaced(data, name, pa.array(values))


BAD = {
    "no rows": (lambda d: d.slice(0, 0), "no rows up to 2026-11-02"),
    "label absent": (lambda d: d.drop_columns(["churn"]), "label_col 'churn' is no column"),
    "label null": (
        lambda d: with_nulls(d, "churn", 3),
        "label column 'churn' is null in 3 of 1200 rows",
    ),
    "one class": (
        lambda d: replaced(d, "churn", pa.array([1] * d.num_rows)),
        "'churn' has one class only.*1200",
    ),
    "label of two numbers": (
        lambda d: replaced(d, "churn", pa.array([3, 4] * 600)),
        "holds 3 and 4, want 0 and 1",
    ),
    "label of fractions": (
        lambda d: replaced(d, "churn", pa.array(np.linspace(0, 1, 1200))),
        "regression objective",
    ),
    "label of three texts": (
        lambda d: replaced(d, "churn", pa.array(["a", "b", "c"] * 400)),
        "3 texts",
    ),
    "key absent": (lambda d: d.drop_columns(["account_id"]), "key_cols 'account_id' is no column"),
    "key null": (
        lambda d: with_nulls(d, "account_id", 2),
        "'account_id' is null in 2 of 1200 rows",
    ),
    "key twice": (
        lambda d: replaced(d, "account_id", pa.array([7] * 3 + d["account_id"].to_pylist()[3:])),
        r"more than once on one compute_date: 3 rows too many",
    ),
    "date null": (
        lambda d: with_nulls(d, "compute_date", 1),
        "'compute_date' is null in 1 of 1200",
    ),
    "infinite": (
        lambda d: with_infinity(d, "x", 5),
        "'x' is infinite, or beyond float32, in 5 of 1200 rows",
    ),
    "later days": (
        lambda d: replaced(
            d, "compute_date", pa.array([datetime.date(2026, 11, 2)] * 600 + [datetime.date(2026, 11, 3)] * 600)
        ),
        r"rows of 1 days after 2026-11-02 \(up to 2026-11-03\)",
    ),
    "timestamp": (
        lambda d: d.append_column("seen", pa.array([datetime.datetime(2026, 1, 1)] * d.num_rows)),
        "'seen' is timestamp.*exclude_cols",
    ),
    "all null": (
        lambda d: d.append_column("empty", pa.nulls(d.num_rows, pa.float64())),
        "'empty' is null in all 1200 rows",
    ),
    "reserved name": (
        lambda d: d.append_column("raw_1", d["x"]),
        "'raw_1' has a name that is kept",
    ),
    "text": (
        lambda d: table(),
        r"takes numbers only, but 1 columns are text: 'plan'.*exclude_cols.*features_sql",
    ),
    "nothing left": (
        lambda d: d.select(["account_id", "compute_date", "churn"]),
        "no feature column is left",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_refused_by_a_forest(name, make_spec, run):
    change, message = BAD[name]
    spec = make_spec("RandomForestTrainer", change(table(text=False)))
    with pytest.raises(DataError, match=message):
        run(spec)
    assert not (pathlib.Path(spec["output_dir"]) / "result.json").exists()


def test_trainers_differ_in_what_they_take(make_spec, run):
    infinite = with_infinity(table(text=False), "x", 5)
    run(make_spec("LightGBMTrainer", infinite))
    with pytest.raises(DataError, match="'x' is infinite.*5 of 1200"):
        run(make_spec("XGBoostTrainer", infinite))
    with pytest.raises(DataError, match="'plan' is null in .* CatBoostTrainer does not take"):
        run(make_spec("CatBoostTrainer", table()))
    whole = table()
    whole = replaced(whole, "plan", pa.array([v or "none" for v in whole["plan"].to_pylist()]))
    assert "plan" in run(make_spec("CatBoostTrainer", whole)).features


def test_names_with_spaces(make_spec, run):
    """LightGBM writes them with underscores."""
    data = table()
    data = data.rename_columns(["mean x" if name == "x" else name for name in data.column_names])
    result = run(make_spec("LightGBMTrainer", data))
    out = pathlib.Path(run.last["output_dir"])
    assert "mean x" in result.features
    share = json.loads((out / "importance.json").read_text())
    assert list(share) == result.features and share["mean x"] > 0.2


@pytest.mark.parametrize("trainer", ["LightGBMTrainer", "XGBoostTrainer"])
def test_names_that_a_library_refuses(trainer, make_spec, run):
    data = table(text=False)
    data = data.rename_columns(['a["b"]' if name == "x" else name for name in data.column_names])
    with pytest.raises(DataError, match="refuses the training"):
        run(make_spec(trainer, data))


def test_a_cut_file_is_seen(make_spec, run):
    spec = make_spec()
    spec["features"]["rows"] = 1300
    with pytest.raises(DataError, match="has 1200 rows, but 1300 were pinned"):
        run(spec)
    spec = make_spec()
    path = pathlib.Path(spec["features"]["path"])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="features-1.parquet"):
        run(spec)


@pytest.mark.parametrize(
    ("trainer", "hyperparameters", "message"),
    [
        (
            "RandomForestTrainer",
            {"n_estimator": 5},
            "n_estimator is no parameter.*did you mean n_estimators",
        ),
        ("RandomForestTrainer", {"max_depth": -3}, "max_depth"),
        ("RandomForestTrainer", {"objective": "gini"}, "objective is 'gini'"),
        ("DecisionTreeTrainer", {"n_estimators": 5}, "n_estimators is no parameter"),
        ("LightGBMTrainer", {"num_leavs": 5}, "Unknown parameter: num_leavs"),
        ("XGBoostTrainer", {"max_dept": 5}, "max_dept"),
        ("XGBoostTrainer", {"n_estimators": "many"}, "n_estimators is 'many'"),
        ("XGBoostTrainer", {"objective": "multi:softmax"}, "multi:softprob"),
        ("CatBoostTrainer", {"dept": 5}, "dept is no parameter.*did you mean depth"),
        ("LightGBMTrainer", {"threads": 1, "n_jobs": 2}, "threads and n_jobs mean the same"),
        ("LightGBMTrainer", {"threads": 0}, "want 1 to 1024"),
        (
            "LightGBMTrainer",
            {"n_estimators": 5, "num_trees": 6},
            "n_estimators and num_trees mean the same",
        ),
        ("LightGBMTrainer", {"positive_class": 5}, "positive_class is 5"),
    ],
)
def test_hyperparameters_that_no_library_knows(trainer, hyperparameters, message, make_spec, run):
    with pytest.raises(ConfigError, match=message):
        run(make_spec(trainer, table(text=False), hyperparameters=hyperparameters))


@pytest.mark.parametrize("make", ["bool", "text", "chosen", "number"])
def test_binary_labels(make, make_spec, run):
    data = table(text=False)
    truth = np.array(data["churn"].to_pylist())
    column, extra = {
        "bool": (pa.array(truth == 1), {}),
        "text": (pa.array(np.where(truth == 1, "yes", "no").tolist()), {}),
        "chosen": (
            pa.array(np.where(truth == 1, "bad", "good").tolist()),
            {"positive_class": "bad"},
        ),
        "number": (pa.array(truth + 1), {"positive_class": 2}),
    }[make]
    spec = make_spec(
        "LightGBMTrainer",
        replaced(data, "churn", column),
        hyperparameters={"n_estimators": 8, **extra},
    )
    same = make_spec("LightGBMTrainer", data)
    assert run(spec).metrics == run(same).metrics


def test_numbers_go_to_the_nearest_double():
    wide = [2**53 + 1, -(2**63), 2**63 - 1, None]
    np.testing.assert_array_equal(
        numbers(pa.chunked_array([pa.array(wide, pa.int64())])),
        [float(v) if v is not None else np.nan for v in wide],
    )
    money = [decimal.Decimal("0.1"), decimal.Decimal("12345678901234.567"), None]
    column = pa.chunked_array([pa.array(money, pa.decimal128(20, 3))])
    np.testing.assert_array_equal(numbers(column), [0.1, 12345678901234.567, np.nan])
    bools = pa.chunked_array([pa.array([True]), pa.array([None, False])])
    np.testing.assert_array_equal(numbers(bools), [1, np.nan, 0])
    floats = pa.chunked_array([pa.array([1.5, None, float("nan")], pa.float32())])
    np.testing.assert_array_equal(numbers(floats), [1.5, np.nan, np.nan])


def test_texts_are_sorted_categories():
    column = pa.chunked_array([pa.array(["b", None, "a"]), pa.array(["ä", "b", ""])])
    made = texts(column)
    assert list(made.categories) == ["", "a", "b", "ä"]
    assert list(made.codes) == [2, -1, 1, 3, 2, 0]
    assert list(texts(pa.chunked_array([], pa.string())).codes) == []


@pytest.mark.parametrize("kind", ["csv", "arrow", "stream.arrow"])
def test_other_files(kind, tmp_path):
    data = pa.table({"a": [1, 2], "b": ["x", "y"]})
    path = tmp_path / f"f.{kind}"
    if kind == "csv":
        pyarrow.csv.write_csv(data, path)
    elif kind == "arrow":
        pyarrow.feather.write_feather(data, path)
    else:
        with pa.ipc.new_stream(str(path), data.schema) as writer:
            writer.write_table(data)
    assert read_table(str(path)).equals(data)
    with pytest.raises(DataError, match="end in .parquet"):
        read_table(str(tmp_path / "f.xlsx"))
    with pytest.raises(DataError, match="absent.parquet"):
        read_table(str(tmp_path / "absent.parquet"))
