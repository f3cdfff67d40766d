"""compare.py WAREHOUSE.duckdb PYTHON.parquet...: are the daemon's probabilities bit-equal to LightGBM's?"""

import sys

import duckdb

con = duckdb.connect()
con.execute(f"ATTACH '{sys.argv[1]}' AS nyc (READ_ONLY)")
ours = "nyc.predictions.flight_scores"
for path in sys.argv[2:]:
    rows, joined, different = con.execute(
        f"""SELECT (SELECT count(*) FROM {ours}), count(*),
        count(*) FILTER (WHERE o.flights_probability IS DISTINCT FROM p.flights_probability
                            OR o.flights_predicted IS DISTINCT FROM p.flights_predicted)
        FROM {ours} o JOIN '{path}' p USING (flight_id)"""
    ).fetchone()
    total = con.execute(f"SELECT count(*) FROM '{path}'").fetchone()[0]
    if not (rows == joined == total) or different:
        print(f"DIFFERENT from {path}: {rows} rows here, {total} there, {joined} joined, {different} differ")
        sys.exit(0)
print(f"equal: {rows} rows, bit for bit, against {len(sys.argv) - 2} Python variants")
