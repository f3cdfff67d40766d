"""Makes the churn example: a synthetic feature table, two trained versions, and their golden rows.

The accounts are SYNTHETIC: drawn from a fixed seed, with a churn probability that follows tenure, contract, charges and
support calls. Run with the project's Python environment:

    .venv/bin/python examples/churn/train.py

Writes beside this file: features.parquet, v1/ (LightGBM) and v2/ (LightGBM, more trees), each with model.txt,
golden.parquet, holdout.parquet (rows that the training did not see, with keys, label, raw and pred) and version.json.
"""

import datetime
import pathlib
import sys

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import edge_rows, write_golden, write_version  # noqa: E402

ROWS_PER_DAY = 10_000
DAYS = [datetime.date(2026, 11, 1), datetime.date(2026, 11, 2)]
CATEGORIES = {
    "contract": ["month-to-month", "one-year", "two-year"],
    "payment_method": ["bank transfer", "credit card", "electronic check", "mailed check"],
    "internet_service": ["dsl", "fiber", "none"],
}


def accounts(rng, first_id, rows, day):
    tenure = rng.integers(0, 73, rows)
    monthly = np.round(rng.gamma(6.0, 11.0, rows) + 18, 2)
    table = pd.DataFrame(
        {
            "account_id": np.arange(first_id, first_id + rows, dtype=np.int64),
            "compute_date": [day] * rows,
            "tenure_months": tenure.astype(np.int32),
            "monthly_charges": monthly,
            "total_charges": np.where(rng.random(rows) < 0.03, np.nan, np.round(monthly * tenure, 2)),
            "support_calls_90d": rng.poisson(1.4, rows).astype(np.int16),
            "days_since_login": np.where(rng.random(rows) < 0.08, np.nan, rng.exponential(12, rows).round(1)),
            "usage_gb_30d": rng.lognormal(3.1, 0.9, rows).astype(np.float32),
            "paperless_billing": rng.random(rows) < 0.6,
            "seats": rng.integers(1, 40, rows).astype(np.int32),
        }
    )
    for name, values in CATEGORIES.items():
        table[name] = rng.choice(values, rows, p=None if name != "contract" else [0.55, 0.25, 0.20])
    logit = (
        -1.1
        - 0.035 * table.tenure_months
        + 0.012 * (table.monthly_charges - 80)
        + 0.33 * table.support_calls_90d
        + 0.02 * table.days_since_login.fillna(20)
        - 0.4 * np.log1p(table.usage_gb_30d / 20)
        + table.contract.map({"month-to-month": 0.9, "one-year": -0.5, "two-year": -1.4}).astype(float)
        + table.payment_method.map(lambda p: 0.4 if p == "electronic check" else 0.0).astype(float)
        + np.where((table.internet_service == "fiber") & (table.monthly_charges > 100), 0.6, 0.0)
    )
    table["churn"] = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    return table


def main():
    rng = np.random.default_rng(20261101)
    table = pd.concat(
        [accounts(rng, 100_000, ROWS_PER_DAY, day) for day in DAYS], ignore_index=True
    )
    schema = pa.schema(
        [
            ("account_id", pa.int64()),
            ("compute_date", pa.date32()),
            ("tenure_months", pa.int32()),
            ("monthly_charges", pa.float64()),
            ("total_charges", pa.float64()),
            ("support_calls_90d", pa.int16()),
            ("days_since_login", pa.float64()),
            ("usage_gb_30d", pa.float32()),
            ("paperless_billing", pa.bool_()),
            ("seats", pa.int32()),
            ("contract", pa.string()),
            ("payment_method", pa.string()),
            ("internet_service", pa.string()),
            ("churn", pa.int8()),
        ]
    )
    arrow = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
    pq.write_table(arrow, HERE / "features.parquet", compression="zstd")

    features = table.drop(columns=["account_id", "compute_date", "churn"]).copy()
    features["paperless_billing"] = features.paperless_billing.astype(np.int8)
    for name, values in CATEGORIES.items():
        features[name] = pd.Categorical(features[name], categories=values)
    label = table.churn.to_numpy()
    train = rng.random(len(table)) < 0.8

    versions = {
        "v1": {"num_leaves": 31, "learning_rate": 0.08, "rounds": 60},
        "v2": {"num_leaves": 8, "learning_rate": 0.08, "rounds": 150},
    }
    for version, spec in versions.items():
        params = {
            "objective": "binary",
            "num_leaves": spec["num_leaves"],
            "learning_rate": spec["learning_rate"],
            "min_data_in_leaf": 40,
            "cat_smooth": 1.0,
            "min_data_per_group": 20,
            "max_cat_to_onehot": 2,
            "seed": 7,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }
        data = lgb.Dataset(features[train], label[train], free_raw_data=False)
        booster = lgb.train(params, data, num_boost_round=spec["rounds"])
        out = HERE / version
        out.mkdir(exist_ok=True)
        booster.save_model(str(out / "model.txt"))
        booster = lgb.Booster(model_file=str(out / "model.txt"))
        rows = edge_rows(features, booster, "lightgbm", 2000, seed=int(version[1:]))
        for name, values in CATEGORIES.items():
            text = rows[name].astype(object)
            text.iloc[::97] = None
            rows[name] = pd.Categorical(text, categories=values)
        write_golden(out / "golden.parquet", rows, booster.predict(rows, raw_score=True), booster.predict(rows))
        write_version(out, f"churn-{version}", __file__, f"lightgbm {lgb.__version__}")
        unseen = features[~train].reset_index(drop=True)
        holdout = booster.predict(unseen)
        keys = table.loc[~train, ["account_id", "compute_date", "churn"]].reset_index(drop=True)
        write_golden(
            out / "holdout.parquet", pd.concat([keys, unseen], axis=1), booster.predict(unseen, raw_score=True), holdout
        )
        order = np.argsort(holdout)
        ranks = np.empty(len(order))
        ranks[order] = np.arange(1, len(order) + 1)
        positives = label[~train] == 1
        auc = (ranks[positives].sum() - positives.sum() * (positives.sum() + 1) / 2) / (
            positives.sum() * (~positives).sum()
        )
        print(f"churn {version}: {booster.num_trees()} trees, holdout AUC {auc:.4f}, {len(rows)} golden rows")


if __name__ == "__main__":
    main()
