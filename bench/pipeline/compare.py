"""compare.py KEY NAME WAREHOUSE.duckdb TABLE FILE...: are all outputs equal, bit for bit, and have they the same columns?"""

import sys

import duckdb

key, name, warehouse, table, first, *others = sys.argv[1:]
con = duckdb.connect()
con.execute(f"ATTACH '{warehouse}' AS w (READ_ONLY)")


def columns(source):
    return [row[0] for row in con.execute(f"SELECT column_name FROM (DESCRIBE SELECT * FROM {source})").fetchall()]


ours = f"'{first}'"
sources = [f"w.{table}"] + [f"'{path}'" for path in others]
for other in sources:
    if columns(other) != columns(ours):
        print(f"DIFFERENT columns: {columns(other)} of {other}, {columns(ours)} of {ours}")
        sys.exit(0)
    rows, joined, different = con.execute(
        f"""SELECT (SELECT count(*) FROM {ours}), count(*),
        count(*) FILTER (WHERE o.{name}_probability IS DISTINCT FROM p.{name}_probability
                            OR o.{name}_predicted IS DISTINCT FROM p.{name}_predicted)
        FROM {ours} o JOIN {other} p USING ({key})"""
    ).fetchone()
    total = con.execute(f"SELECT count(*) FROM {other}").fetchone()[0]
    if not (rows == joined == total) or different:
        print(f"DIFFERENT from {other}: {rows} rows here, {total} there, {joined} joined, {different} differ")
        sys.exit(0)
print(f"equal: {rows} rows, bit for bit, against {len(sources)} others")
