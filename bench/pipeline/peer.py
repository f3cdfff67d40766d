"""peer.py VARIANT MODEL FEATURES KEY NAME THREADS: one way to write the job in Python, as fast as we know how.

Reads "run OUTPUT" lines, answers one JSON line per run: {"seconds", "rows", "share"}. Imports and the
model load happen before the first run and are not counted; each variant is a process of its own, so that its peak memory
is its own.

Variants (all: Parquet in, LightGBM on all cores, key, scores and lineage out as Parquet: the columns of Treeline's
own file with its settings, see WRITE; DuckDB has one codec for all columns and gets none, which it is fastest with):
  duckdb   duckdb -> pandas -> booster.predict -> duckdb COPY
  pandas   pyarrow -> pandas -> booster.predict -> pyarrow
  numpy    pyarrow -> dictionary codes -> one float64 matrix -> booster.predict -> pyarrow, no pandas
  lean     numpy, one row group after the other, so that memory is bounded
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

VARIANT, MODEL, FEATURES, KEY, NAME, THREADS = *sys.argv[1:6], int(sys.argv[6])
GROUP = 128 * 1024
LINEAGE = [
    "model_version",
    "run_id",
    "scored_at",
    "score_batch_id",
    "model_name",
    "trained_at",
    "git_sha",
    "model_digest",
]
# As Treeline writes: the probabilities, which do not shrink, as they are, the rest with the fastest zstd.
CODECS = dict.fromkeys([KEY, f"{NAME}_predicted", *LINEAGE], "zstd") | {f"{NAME}_probability": "none"}
WRITE = {"compression": CODECS, "use_dictionary": LINEAGE}
pa.set_cpu_count(THREADS)
booster = lgb.Booster(model_file=MODEL)
names = booster.feature_name()
text = [f.name for f in pq.read_schema(FEATURES) if f.name in names and f.type == pa.string()]
vocabularies = dict(zip(text, booster.pandas_categorical or []))
share = {}


class Step:
    """Adds the time of a block to the share of a step."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        share[self.name] = share.get(self.name, 0) + time.perf_counter() - self.start


def lineage():
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "model_version": pa.array([1], pa.int64()),
        "run_id": pa.array([f"{NAME}-lightgbm"]),
        "scored_at": pa.array([now], pa.timestamp("us", "UTC")),
        "score_batch_id": pa.array([str(uuid.uuid4())]),
        "model_name": pa.array([NAME]),
        "trained_at": pa.array([now], pa.timestamp("us", "UTC")),
        "git_sha": pa.array(["0" * 12]),
        "model_digest": pa.array(["sha256:" + "0" * 64]),
    }


def stamp(keys, probability, constants):
    """Constant columns are dictionary arrays of one entry: a row is one byte."""
    zero = pa.array(np.zeros(len(probability), np.int8))
    columns = {
        KEY: keys,
        f"{NAME}_probability": pa.array(probability),
        f"{NAME}_predicted": pa.array((probability >= 0.5).astype(np.int32)),
    }
    columns.update({name: pa.DictionaryArray.from_arrays(zero, value) for name, value in constants.items()})
    return pa.table(columns)


def category_frame(frame):
    for name, vocabulary in vocabularies.items():
        frame[name] = pd.Categorical(frame[name], categories=vocabulary)
    return frame[names]


def matrix_of(table):
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
    return matrix


def predict(data):
    with Step("score"):
        return booster.predict(data, num_threads=THREADS)


def write(keys, probability, output):
    with Step("write"):
        pq.write_table(stamp(keys, probability, lineage()), output, row_group_size=GROUP, **WRITE)
    return len(probability)


def run_pandas(output):
    with Step("read"):
        table = pq.read_table(FEATURES, columns=[KEY, *names])
        keys = table[KEY]
        frame = category_frame(table.drop_columns([KEY]).to_pandas())
    return write(keys, predict(frame), output)


def run_numpy(output):
    with Step("read"):
        table = pq.read_table(FEATURES, columns=[KEY, *names], read_dictionary=list(vocabularies))
        matrix = matrix_of(table)
    return write(table[KEY], predict(matrix), output)


def run_lean(output):
    source = pq.ParquetFile(FEATURES, read_dictionary=list(vocabularies))
    constants, rows, sink = lineage(), 0, None
    for group in range(source.num_row_groups):
        with Step("read"):
            table = source.read_row_group(group, columns=[KEY, *names])
            matrix = matrix_of(table)
        probability = predict(matrix)
        with Step("write"):
            out = stamp(table[KEY], probability, constants)
            if sink is None:
                sink = pq.ParquetWriter(output, out.schema, **WRITE)
            sink.write_table(out, row_group_size=GROUP)
        rows += len(probability)
    with Step("write"):
        sink.close()
    return rows


def run_duckdb(output):
    with Step("read"):
        con = duckdb.connect(config={"threads": THREADS})
        frame = con.execute(f"SELECT {KEY}, {', '.join(names)} FROM '{FEATURES}'").df()
        keys = frame[KEY]
        features = category_frame(frame)
    probability = predict(features)
    with Step("write"):
        scored = pd.DataFrame(  # noqa: F841 (DuckDB finds it by its name)
            {KEY: keys, f"{NAME}_probability": probability, f"{NAME}_predicted": (probability >= 0.5).astype(np.int32)}
        )
        con.execute(
            f"""COPY (SELECT *, 1::BIGINT AS model_version, '{NAME}-lightgbm' AS run_id, now() AS scored_at,
            '{uuid.uuid4()}' AS score_batch_id, '{NAME}' AS model_name, now() AS trained_at,
            '{"0" * 12}' AS git_sha, 'sha256:{"0" * 64}' AS model_digest FROM scored)
            TO '{output}' (FORMAT parquet, COMPRESSION uncompressed, ROW_GROUP_SIZE {GROUP})"""
        )
    return len(scored)


RUN = {"pandas": run_pandas, "numpy": run_numpy, "lean": run_lean, "duckdb": run_duckdb}


def main():
    versions = {"lightgbm": lgb.__version__, "pyarrow": pa.__version__, "duckdb": duckdb.__version__, "pandas": pd.__version__}
    print(json.dumps({"versions": versions}), flush=True)
    for line in sys.stdin:
        _, output = line.split(maxsplit=1)
        share.clear()
        start = time.perf_counter()
        rows = RUN[VARIANT](output.strip())
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "rows": rows, "share": share}), flush=True)


if __name__ == "__main__":
    main()
