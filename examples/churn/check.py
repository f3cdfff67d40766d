"""check.py DATA_DIR: reads what run.sh left behind with Python's own DuckDB, and fails unless every account of the day has one
row a batch, each batch one model version, and the user's audit query tells the story."""

import sys

import duckdb

data = sys.argv[1]
con = duckdb.connect()
con.execute(f"ATTACH '{data}/warehouse/uat.duckdb' AS uat (READ_ONLY)")
con.execute(f"ATTACH '{data}/warehouse/mlflow.duckdb' AS mlflow (READ_ONLY)")

batches = con.execute(
    """SELECT score_batch_id, count(*), count(DISTINCT account_id), min(model_version), max(model_version),
              count(DISTINCT run_id), count(DISTINCT scored_at)
       FROM uat.predictions.churn_scores GROUP BY 1 ORDER BY 4"""
).fetchall()
print("score_batch_id                        rows    keys    version")
for batch in batches:
    print(f"{batch[0]}  {batch[1]:6}  {batch[2]:6}  {batch[3]}")
assert [b[3] for b in batches] == [1, 2], batches
for _, rows, keys, low, high, runs, times in batches:
    assert rows == keys == 10_000 and low == high and runs == times == 1, batches

history = con.execute(
    """SELECT model_name, version, promotion_timestamp, promoted_by, from_stage, to_stage
       FROM mlflow.model.promotions WHERE model_name = 'churn' ORDER BY promotion_timestamp DESC"""
).fetchall()
print("\nmlflow.model.promotions")
for row in history:
    print(*row, sep="  ")
entered = [row[1] for row in reversed(history) if row[5] == "Champion"]
assert entered == [1, 2, 1], history
