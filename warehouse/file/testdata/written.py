"""written.py rewritten (ORIGINAL REWRITTEN)... | twin ARROW PARQUET: do pyarrow and DuckDB read the same?"""

import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq


def plain(column):
    """Values without dictionaries, chunks and views; NaN as text, so that it equals itself."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type):  # of the old 96-bit times pyarrow forgets the zone
        column = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
    if pa.types.is_duration(column.type):  # our reader delivers them as numbers
        column = column.cast(pa.int64())
    out = []
    for value in column.to_pylist():
        out.append("NaN" if value != value else value)
    return out


def compare(name, want, got):
    assert want.num_rows == got.num_rows, f"{name}: {got.num_rows} rows, want {want.num_rows}"
    for column in got.column_names:
        a, b = plain(want[column]), plain(got[column])
        if a != b:
            row = next(i for i, (x, y) in enumerate(zip(a, b)) if x != y)
            sys.exit(f"{name}, column {column}, row {row}: {b[row]!r}, want {a[row]!r}")


def with_duckdb(path, table):
    """DuckDB delivers other types (dictionaries as texts): it is compared by sums of hashes of texts where it can."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for name in table.column_names:
        rows = [r[0] for r in con.execute(f"SELECT \"{name}\" IS NULL FROM read_parquet('{path}')").fetchall()]
        assert rows == table[name].is_null().to_pylist(), f"{path}, column {name}: DuckDB sees other nulls"
        kind = table[name].type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind) or kind == pa.float64():
            values = [r[0] for r in con.execute(f"SELECT \"{name}\" FROM read_parquet('{path}')").fetchall()]
            values = ["NaN" if v != v else v for v in values]
            assert values == plain(table[name]), f"{path}, column {name}: DuckDB sees other values"


def main():
    mode, paths = sys.argv[1], sys.argv[2:]
    for first, second in zip(paths[::2], paths[1::2]):
        if mode == "twin":
            want = pa.ipc.open_file(first).read_all()
        else:
            want = pq.read_table(first)
        got = pq.read_table(second)
        pq.ParquetFile(second).metadata.row_group(0)
        compare(second, want, got)
        with_duckdb(second, got)
    print(f"{len(paths) // 2} files are equal")


if __name__ == "__main__":
    main()
