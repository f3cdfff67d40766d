"""Writes the fixtures of this folder and expected.json: what pyarrow itself reads from each of them."""

import datetime
import decimal
import json
import random
import struct
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq

HERE = Path(__file__).parent
random.seed(11)


def normal(column):
    """Values in a form that does not depend on how a library prints them."""
    t = column.type
    if pa.types.is_dictionary(t):
        column, t = column.cast(t.value_type), t.value_type
    if pa.types.is_temporal(t):
        width = 32 if t.bit_width == 32 else 64
        column = column.cast(pa.int32() if width == 32 else pa.int64())
        t = column.type
    out = []
    for v in column.to_pylist():
        if v is None:
            out.append(None)
        elif isinstance(v, float):
            out.append(str(struct.unpack("<Q", struct.pack("<d", v))[0]))
        elif isinstance(v, bytes):
            out.append(v.hex())
        elif isinstance(v, bool):
            out.append("true" if v else "false")
        elif isinstance(v, decimal.Decimal):
            out.append(str(int(v.scaleb(t.scale))))
        else:
            out.append(str(v))
    return out


def nulled(values, every=5):
    return [None if i % every == 3 else v for i, v in enumerate(values)]


def table(n, nulls=True):
    f = nulled if nulls else list
    wide = decimal.Context(prec=60)
    day = datetime.date(2020, 1, 1)
    columns = {
        "bool": pa.array(f([i % 3 == 0 for i in range(n)]), pa.bool_()),
        "i8": pa.array(f([i % 256 - 128 for i in range(n)]), pa.int8()),
        "i16": pa.array(f([i * 37 % 65536 - 32768 for i in range(n)]), pa.int16()),
        "i32": pa.array(f([i * 12345 - 2**20 for i in range(n)]), pa.int32()),
        "i64": pa.array(f([i * 2**40 - 2**50 for i in range(n)]), pa.int64()),
        "u8": pa.array(f([i % 256 for i in range(n)]), pa.uint8()),
        "u16": pa.array(f([65535 - i for i in range(n)]), pa.uint16()),
        "u32": pa.array(f([2**32 - 1 - i for i in range(n)]), pa.uint32()),
        "u64": pa.array(f([2**64 - 1 - i for i in range(n)]), pa.uint64()),
        "f32": pa.array(f([struct.unpack("<f", struct.pack("<f", random.gauss(0, 1)))[0] for _ in range(n)]), pa.float32()),
        "f64": pa.array(f([random.gauss(0, 1) for _ in range(n)]), pa.float64()),
        "few": pa.array(f([float(i % 4) for i in range(n)]), pa.float64()),
        "s": pa.array(f(["wért-%d" % (i % 17) * (i % 3) for i in range(n)]), pa.string()),
        "ls": pa.array(f(["x" * (i % 7) for i in range(n)]), pa.large_string()),
        "b": pa.array(f([bytes([i % 256, 255]) for i in range(n)]), pa.binary()),
        "fsb": pa.array(f([struct.pack(">HB", i, 7) for i in range(n)]), pa.binary(3)),
        "d9": pa.array(f([decimal.Decimal(i * 7 - 900).scaleb(-2) for i in range(n)]), pa.decimal128(9, 2)),
        "d38": pa.array(f([wide.scaleb(decimal.Decimal(10**30 - i**7) * (-1) ** i, -10) for i in range(n)]), pa.decimal128(38, 10)),
        "d50": pa.array(f([wide.scaleb(decimal.Decimal(10**44 + i) * (-1) ** i, -5) for i in range(n)]), pa.decimal256(50, 5)),
        "date": pa.array(f([day + datetime.timedelta(i) for i in range(n)]), pa.date32()),
        "t32": pa.array(f(list(range(n))), pa.time32("ms")),
        "t64": pa.array(f([i * 1000 for i in range(n)]), pa.time64("us")),
        "tsms": pa.array(f([i * 10**9 for i in range(n)]), pa.timestamp("ms")),
        "tsus": pa.array(f([i * 10**12 - 5 for i in range(n)]), pa.timestamp("us", "UTC")),
        "tsns": pa.array(f([i * 10**15 + 7 for i in range(n)]), pa.timestamp("ns", "Europe/Budapest")),
        "dur": pa.array(f([i * 3 for i in range(n)]), pa.duration("us")),
        "cat": pa.array(f(["c%d" % (i % 6) for i in range(n)])).dictionary_encode(),
    }
    if nulls:
        return pa.table(columns)
    schema = pa.schema([pa.field(k, v.type, nullable=False) for k, v in columns.items()])
    return pa.table(list(columns.values()), schema=schema)


expected = {}


def record(name, read, columns=None):
    t = read(str(HERE / name))
    expected[name] = {
        "rows": t.num_rows,
        "columns": [{"name": n, "values": normal(c)} for n, c in zip(t.column_names, t.columns) if columns is None or n in columns],
    }


def parquet(name, t, columns=None, **kw):
    pq.write_table(t, HERE / name, **kw)
    record(name, pq.read_table, columns)


def main():
    t = table(60)
    small = t.slice(0, 40)
    parquet("snappy.parquet", t)
    parquet("required.parquet", table(40, nulls=False), compression="none")
    parquet("plain.parquet", small, use_dictionary=False, compression="none")
    parquet("v2.parquet", small, data_page_version="2.0", compression="zstd")
    parquet("v2plain.parquet", small, data_page_version="2.0", compression="none", use_dictionary=False)
    for codec in ("gzip", "brotli", "lz4"):
        parquet(codec + ".parquet", small.select(["i64", "f64", "s", "bool", "cat"]), compression=codec)
        parquet(codec + "v2.parquet", small.select(["i64", "f64", "s"]), compression=codec, data_page_version="2.0")
    parquet("int96.parquet", small.select(["tsus", "tsns"]), use_deprecated_int96_timestamps=True)
    parquet("decimalints.parquet", small.select(["d9"]), store_decimal_as_integer=True)
    parquet("noschema.parquet", small, store_schema=False)
    parquet("empty.parquet", t.slice(0, 0))

    n = 1500
    big = pa.table({
        "id": pa.array(range(n), pa.int64()),
        "x": pa.array(nulled([random.gauss(0, 1) for _ in range(n)], 7)),
        "runs": pa.array([None if (i // 200) % 2 else float(i // 400) for i in range(n)]),
        "s": pa.array(nulled(["text %d" % (i if i > n // 2 else i % 50) for i in range(n)], 11)),
        "cat": pa.array(nulled(["cat %d" % (i // 3 if i > n // 2 else i % 50) for i in range(n)], 13)).dictionary_encode(),
        "allnull": pa.array([None] * n, pa.float64()),
    })
    # Small pages and groups; the dictionary overflows half-way, so pages fall back to plain values.
    parquet("pages.parquet", big, row_group_size=600, data_page_size=512, dictionary_pagesize_limit=600, write_batch_size=64)
    parquet("pagesv2.parquet", big, row_group_size=600, data_page_size=512, dictionary_pagesize_limit=600, write_batch_size=64, data_page_version="2.0")
    encodings = {
        "i32": "DELTA_BINARY_PACKED", "i64": "DELTA_BINARY_PACKED", "s": "DELTA_BYTE_ARRAY", "b": "DELTA_LENGTH_BYTE_ARRAY",
        "f32": "BYTE_STREAM_SPLIT", "f64": "BYTE_STREAM_SPLIT", "fsb": "DELTA_BYTE_ARRAY", "bool": "RLE",
    }
    for v in ("1.0", "2.0"):
        parquet("delta%s.parquet" % v[0], table(400).select(list(encodings)), use_dictionary=False, column_encoding=encodings, data_page_version=v, data_page_size=700, write_batch_size=50)
    frame = pa.table({"id": range(40), "x": pa.array([1.5, None] * 20), "none": pa.nulls(40)})
    parquet("nulls.parquet", frame, row_group_size=30)
    parquet("nullsv2.parquet", frame, data_page_version="2.0", compression="none", use_dictionary=False)
    nested = pa.table({
        "x": pa.array([1.5, None, 2.5]),
        "l": pa.array([[1, 2], [], None], pa.list_(pa.int64())),
        "st": pa.array([{"a": 1, "b": "x"}, None, {"a": 2, "b": "y"}]),
        "y": pa.array(["a", "b", None]),
    })
    parquet("nested.parquet", nested, columns=["x", "y"])

    con = duckdb.connect()
    con.register("t", small.drop_columns(["tsns", "dur", "d50", "t32"]))
    for version in ("V1", "V2"):
        name = "duckdb%s.parquet" % version.lower()
        # pyarrow cannot read the uint32 column that DuckDB writes in version 2.
        what = "*" if version == "V1" else "* EXCLUDE (u32)"
        con.execute("COPY (SELECT " + what + " FROM t) TO '%s' (FORMAT parquet, PARQUET_VERSION %s, COMPRESSION zstd)" % (HERE / name, version))
        record(name, pq.read_table)

    def read_arrow(path):
        with pa.OSFile(path) as f:
            try:
                return pa.ipc.open_file(f).read_all()
            except pa.ArrowInvalid:
                f.seek(0)
                return pa.ipc.open_stream(f).read_all()

    def arrow(name, writer, t, **kw):
        with pa.OSFile(str(HERE / name), "wb") as f, writer(f, t.schema, options=pa.ipc.IpcWriteOptions(**kw)) as w:
            w.write_table(t, max_chunksize=17)
        record(name, read_arrow)

    arrow("file.arrow", pa.ipc.new_file, t)
    arrow("zstd.arrow", pa.ipc.new_file, t, compression="zstd")
    arrow("stream.arrow", pa.ipc.new_stream, t)
    pa.feather.write_feather(t, str(HERE / "lz4.feather"))
    record("lz4.feather", read_arrow)
    words = ["a", "b", "c", "d", "e"]
    batches = []
    for k in (2, 4, 5):
        d = pa.DictionaryArray.from_arrays(pa.array([k - 1, 0, None], pa.int8()), pa.array(words[:k]))
        batches.append(pa.record_batch([d], names=["cat"]))
    for name, writer in (("deltas.arrow", pa.ipc.new_file), ("deltastream.arrow", pa.ipc.new_stream)):
        with pa.OSFile(str(HERE / name), "wb") as f, writer(f, batches[0].schema, options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)) as w:
            for b in batches:
                w.write_batch(b)
        record(name, read_arrow)

    c = pa.table({
        "id": pa.array(["007", "12", "13"]),
        "n": pa.array([1, None, 3], pa.int64()),
        "x": pa.array([0.1, 1e300, None]),
        "flag": pa.array([True, None, False]),
        "text": pa.array(["plain", 'with "quotes", commas\nand lines', None]),
    })
    pa.csv.write_csv(c, str(HERE / "simple.csv"), pa.csv.WriteOptions(quoting_style="needed"))
    options = pa.csv.ConvertOptions(column_types=c.schema, strings_can_be_null=True, null_values=[""])
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    record("simple.csv", lambda p: pa.csv.read_csv(p, convert_options=options, parse_options=parse))

    # Views are not supported, and the error says so: no expectation.
    views = pa.table({"x": [1.0, 2.0], "s": pa.array(["a", None], pa.string_view()), "b": pa.array([b"a", None], pa.binary_view())})
    for name in ("s", "b"):
        t = views.select(["x", name])
        with pa.ipc.new_file(str(HERE / ("view%s.arrow" % name)), t.schema) as w:
            w.write_table(t)
    parquet("views.parquet", views)

    # Written without quotes a field is null, "" is an empty text: pyarrow's own writer and its reader agree on that.
    e = pa.table({
        "id": pa.array([1, 2, 3, 4]),
        "text": pa.array(["", None, "a", ""]),
        "codes": pa.array(["1", "", "2", None]),
        "empty": pa.array(["", "", None, ""]),
        "x": pa.array([0.5, None, 1.5, None]),
    })
    pa.csv.write_csv(e, str(HERE / "quoted.csv"), pa.csv.WriteOptions(quoting_style="needed"))
    inferred = pa.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""])
    record("quoted.csv", lambda p: pa.csv.read_csv(p, convert_options=inferred))
    (HERE / "lone.csv").write_text('text\na\n""\n\nb\n')
    record("lone.csv", lambda p: pa.csv.read_csv(p, convert_options=inferred))

    lines = [json.dumps(k) + ":" + json.dumps(v, separators=(",", ":"), ensure_ascii=False) for k, v in expected.items()]
    (HERE / "expected.json").write_text("{" + ",\n".join(lines) + "}\n")


main()
