"""promotions.py DATA_DIR MODEL: the user's audit query on the warehouse of a daemon that has stopped."""

import sys

import duckdb

QUERY = """SELECT model_name, version, promotion_timestamp, promoted_by, from_stage, to_stage
FROM mlflow.model.promotions WHERE model_name = ? ORDER BY promotion_timestamp DESC"""


def promotions(data_dir, model):
    """The rows of the query, newest first."""
    with duckdb.connect() as con:
        path = f"{data_dir}/warehouse/mlflow.duckdb".replace("'", "''")
        con.execute(f"ATTACH '{path}' AS mlflow (READ_ONLY)")
        return con.execute(QUERY, [model]).fetchall()


if __name__ == "__main__":
    print(QUERY.replace("?", f"'{sys.argv[2]}'"))
    for row in promotions(sys.argv[1], sys.argv[2]):
        print(*row, sep="  ")
