"""synthetic.py DIRECTORY: makes the 2 M-row job of the pipeline benchmark.

Writes, all from one seed:
  features.parquet  2,000,000 rows: id (int64) and f00 ... f27 (double), 5 % null, zstd, row groups of 131,072 rows
  sample.parquet    its first 20,000 rows, the features table that the gates look at
  model.txt         LightGBM, binary, 100 trees of 31 leaves, trained on 200,000 of the rows
  golden.parquet    rows with LightGBM's own answers, for ctl model register
  config.yml        the model's configuration, scorer.yml the daemon's

The columns are those of a feature table rather than of a random generator: twelve measurements (24 significant bits,
stored as doubles), nine amounts with two decimals and seven counts. zstd then halves the file: 221 MB for 464 MB
of values.
"""

import pathlib
import sys

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples"))
from golden import edge_rows, write_golden  # noqa: E402

ROWS, FEATURES, GROUP = 2_000_000, 28, 128 * 1024
NAMES = [f"f{i:02d}" for i in range(FEATURES)]
CONFIG = """\
model_key: synthetic
registered_model_name: synthetic
data:
  features_table: bench.features.synthetic
  key_cols: [id]
output: {catalog: bench, schema: predictions, table: synthetic_scores}
decision_threshold: 0.5
"""
SCORER = """\
data_dir: data
warehouse:
  seed:
    - {table: bench.features.synthetic, file: sample.parquet}
models: [config.yml]
"""


def feature_table(rng):
    columns = {"id": pa.array(np.arange(ROWS, dtype=np.int64))}
    for i, name in enumerate(NAMES):
        values = rng.standard_normal(ROWS, dtype=np.float32).astype(np.float64)
        if i % 7 in (1, 4):
            values = np.round(values * 40 + 120, 2)  # an amount
        elif i % 7 == 6 or i in (2, 9, 16):
            values = np.floor(np.exp(values + 1))  # a count
        elif i == 5:
            values = np.round(np.exp(values) * 20, 2)
        missing = rng.random(ROWS) < 0.05
        columns[name] = pa.array(values, mask=missing)
    return pa.table(columns)


def train(table, rng, directory):
    rows = np.sort(rng.choice(ROWS, 200_000, replace=False))
    frame = table.take(pa.array(rows)).drop_columns(["id"]).to_pandas()
    filled = frame.fillna(0).to_numpy()
    signal = filled[:, 0] * filled[:, 3] + filled[:, 1] / 120 + np.sin(filled[:, 4]) * filled[:, 8] + filled[:, 7] - 0.9
    label = (signal + rng.standard_normal(len(signal)) > 0).astype(np.float32)
    params = {
        "objective": "binary",
        "num_leaves": 31,
        "learning_rate": 0.1,
        "seed": 28,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "verbose": -1,
    }
    lgb.train(params, lgb.Dataset(frame, label), num_boost_round=100).save_model(str(directory / "model.txt"))
    booster = lgb.Booster(model_file=str(directory / "model.txt"))
    golden = edge_rows(frame, booster, "lightgbm", 2000, seed=3)
    write_golden(directory / "golden.parquet", golden, booster.predict(golden, raw_score=True), booster.predict(golden))


def main():
    directory = pathlib.Path(sys.argv[1])
    rng = np.random.default_rng(20_260_301)
    table = feature_table(rng)
    train(table, rng, directory)
    for name, part in [("sample.parquet", table.slice(0, 20_000)), ("features.parquet", table)]:
        pq.write_table(part, directory / name, compression="zstd", row_group_size=GROUP)
    (directory / "config.yml").write_text(CONFIG)
    (directory / "scorer.yml").write_text(SCORER)
    print(f"{ROWS} rows x {FEATURES} -> {directory}: {(directory / 'features.parquet').stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
