"""make_features.py DIR [--first-day DAY]: writes the history that the lifecycle story plays on, the same bytes each time.

    DIR/churn_features.parquet   6 days x 4,000 accounts     uat.features.churn_features
    DIR/fraud_features.parquet   6 days x 4,000 transactions uat.features.fraud_features
    DIR/churn_worse.yml          churn/lifecycle.yml with hyperparameters that cannot work

Days 1 to 4 (2026-11-01 to 04) are alike. On day 5 the input drifts: a campaign brings in young accounts with high
charges that call support, and cards are used abroad for larger amounts. Labels follow the same rules on all days, so
a model that is trained with the drifted day is right about it. Day 6 is like day 5.

All rows are SYNTHETIC; their columns are those of examples/churn and examples/fraud, whose generators draw them.
"""

import argparse
import datetime
import importlib.util
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent
FIRST_DAY = datetime.date(2026, 11, 1)
DAYS = 6
DRIFTED = {5, 6}
ROWS = 4_000


def load(path):
    """A Python file of another example, as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drift_accounts(rng, rows):
    """Draws ROWS of more rows, so that young, expensive accounts with many calls are over-represented."""
    pull = (
        -0.06 * rows.tenure_months
        + 0.03 * (rows.monthly_charges - 84)
        + 0.5 * rows.support_calls_90d
        - 0.02 * rows.days_since_login.fillna(12)
    )
    weight = np.exp(np.clip(pull, -6, 6))
    chosen = rng.choice(len(rows), ROWS, replace=False, p=weight / weight.sum())
    return rows.iloc[np.sort(chosen)].reset_index(drop=True)


def churn(day, number):
    """The accounts of one day; the same accounts on every day."""
    draw = load(EXAMPLES / "churn" / "train.py").accounts
    rng = np.random.default_rng([20261101, number])
    first = 200_000
    if number not in DRIFTED:
        return draw(rng, first, ROWS, day)
    rows = drift_accounts(rng, draw(rng, first, 6 * ROWS, day))
    return rows.assign(account_id=np.arange(first, first + ROWS, dtype=np.int64))


def fraud(day, number):
    """The transactions of one day."""
    draw = load(EXAMPLES / "fraud" / "generate.py").transactions
    rng = np.random.default_rng([20261107, number])
    changed = {"amounts": 2.2, "abroad": 0.3} if number in DRIFTED else {}
    return draw(rng, 6_000_000 + number * ROWS, ROWS, day, **changed)


def worse():
    """The churn model's config with three trees of one split each: what it trains is worse than any Champion."""
    text = (EXAMPLES / "churn" / "lifecycle.yml").read_text(encoding="utf-8")
    for old, new in {"  n_estimators: 100\n": "  n_estimators: 3\n", "  max_depth: 10\n": "  max_depth: 1\n"}.items():
        if text.count(old) != 1:
            raise SystemExit(f"examples/churn/lifecycle.yml does not have the line {old.strip()!r} once")
        text = text.replace(old, new)
    return "# Made by make_features.py: too few and too small trees.\n" + text


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path, metavar="DIR")
    parser.add_argument(
        "--first-day", type=datetime.date.fromisoformat, default=FIRST_DAY, metavar="DAY", help=f"default {FIRST_DAY}"
    )
    given = parser.parse_args(arguments)
    where = given.directory
    where.mkdir(parents=True, exist_ok=True)
    days = [(given.first_day + datetime.timedelta(n - 1), n) for n in range(1, DAYS + 1)]
    schema = pq.read_schema(EXAMPLES / "churn" / "features.parquet").remove_metadata()
    accounts = pd.concat([churn(day, n) for day, n in days], ignore_index=True)
    tables = {
        "churn": pa.Table.from_pandas(accounts, schema=schema, preserve_index=False).replace_schema_metadata(),
        "fraud": pa.concat_tables(fraud(day, n) for day, n in days),
    }
    (where / "churn_worse.yml").write_text(worse(), encoding="utf-8")
    for name, table in tables.items():
        path = where / f"{name}_features.parquet"
        pq.write_table(table, path, compression="zstd")
        share = np.mean(table[name].to_numpy())
        print(f"{path}: {table.num_rows} rows of {DAYS} days, {name} {share:.1%}")


if __name__ == "__main__":
    main()
