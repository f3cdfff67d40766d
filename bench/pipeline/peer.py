"""The flights job in Python, as fast as we know how to write it. Reads "run VARIANT OUTPUT" lines, answers one JSON line
per run: {"seconds": ..., "rows": ...}. Imports and the model load happen before the first run and are not counted.

Variants (all: Parquet in, LightGBM on all cores, the same eleven columns out as Parquet):
  pandas   pyarrow -> pandas with category columns -> booster.predict
  numpy    pyarrow -> dictionary codes -> one float64 matrix -> booster.predict (no pandas)
  duckdb   duckdb -> pandas with category columns -> booster.predict -> duckdb COPY to Parquet
"""

import datetime
import json
import sys
import time
import uuid

import duckdb
import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

MODEL, FEATURES, THREADS = sys.argv[1], sys.argv[2], int(sys.argv[3])
pa.set_cpu_count(THREADS)
booster = lgb.Booster(model_file=MODEL)
names = booster.feature_name()
vocabularies = dict(zip(["carrier", "origin", "dest"], booster.pandas_categorical))


def stamp(rows):
    constant = {
        "model_version": pa.array([1], pa.int64()),
        "run_id": pa.array(["flights-lightgbm"]),
        "scored_at": pa.array([datetime.datetime.now(datetime.timezone.utc)], pa.timestamp("us", "UTC")),
        "score_batch_id": pa.array([str(uuid.uuid4())]),
        "model_name": pa.array(["flights"]),
        "trained_at": pa.array([datetime.datetime.now(datetime.timezone.utc)], pa.timestamp("us", "UTC")),
        "git_sha": pa.array(["0" * 12]),
        "model_digest": pa.array(["sha256:" + "0" * 64]),
    }
    zero = pa.array(np.zeros(rows, np.int8))
    return {name: pa.DictionaryArray.from_arrays(zero, value) for name, value in constant.items()}


def write(keys, probability, output):
    columns = {
        "flight_id": keys,
        "flights_probability": pa.array(probability),
        "flights_predicted": pa.array((probability >= 0.5).astype(np.int32)),
    }
    columns.update(stamp(len(probability)))
    pq.write_table(pa.table(columns), output, compression="zstd", use_dictionary=True)


def category_frame(frame):
    for name, vocabulary in vocabularies.items():
        frame[name] = pd.Categorical(frame[name], categories=vocabulary)
    return frame[names]


def run_pandas(output):
    table = pq.read_table(FEATURES, columns=["flight_id", *names])
    keys = table["flight_id"]
    frame = category_frame(table.drop_columns(["flight_id"]).to_pandas())
    write(keys, booster.predict(frame, num_threads=THREADS), output)
    return table.num_rows


def run_numpy(output):
    table = pq.read_table(FEATURES, columns=["flight_id", *names], read_dictionary=list(vocabularies))
    matrix = np.empty((table.num_rows, len(names)))
    for column, name in enumerate(names):
        values = table[name]
        if name in vocabularies:
            values = values.combine_chunks() if values.num_chunks > 1 else values.chunk(0)
            place = {text: float(code) for code, text in enumerate(vocabularies[name])}
            codes = np.array([place.get(text, np.nan) for text in values.dictionary.to_pylist()])
            matrix[:, column] = codes[values.indices.to_numpy(zero_copy_only=False)]
        else:
            matrix[:, column] = values.to_numpy()
    write(table["flight_id"], booster.predict(matrix, num_threads=THREADS), output)
    return table.num_rows


def run_duckdb(output):
    con = duckdb.connect(config={"threads": THREADS})
    frame = con.execute(f"SELECT flight_id, {', '.join(names)} FROM '{FEATURES}'").df()
    probability = booster.predict(category_frame(frame), num_threads=THREADS)
    scored = pd.DataFrame(
        {
            "flight_id": frame["flight_id"],
            "flights_probability": probability,
            "flights_predicted": (probability >= 0.5).astype(np.int32),
        }
    )
    con.execute(
        f"""COPY (SELECT *, 1 AS model_version, 'flights-lightgbm' AS run_id, now() AS scored_at,
        '{uuid.uuid4()}' AS score_batch_id, 'flights' AS model_name, now() AS trained_at,
        '{'0' * 12}' AS git_sha, 'sha256:{'0' * 64}' AS model_digest FROM scored)
        TO '{output}' (FORMAT parquet, COMPRESSION zstd)"""
    )
    return len(scored)


VARIANTS = {"pandas": run_pandas, "numpy": run_numpy, "duckdb": run_duckdb}


def main():
    versions = {"lightgbm": lgb.__version__, "pyarrow": pa.__version__, "duckdb": duckdb.__version__, "pandas": pd.__version__}
    print(json.dumps({"variants": list(VARIANTS), "versions": versions}), flush=True)
    for line in sys.stdin:
        _, variant, output = line.split()
        start = time.perf_counter()
        rows = VARIANTS[variant](output)
        print(json.dumps({"seconds": time.perf_counter() - start, "rows": rows}), flush=True)


if __name__ == "__main__":
    main()
