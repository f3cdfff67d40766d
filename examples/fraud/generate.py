"""Makes the table of the fraud example: card transactions, one in twenty of them fraudulent.

The transactions are SYNTHETIC: drawn from a fixed seed, with a probability of fraud that follows amount, distance,
country and the recent use of the card.

    .venv/bin/python examples/fraud/generate.py        # writes features.parquet beside this file
"""

import datetime
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
ROWS_PER_DAY = 8_000
DAYS = [datetime.date(2026, 11, 1), datetime.date(2026, 11, 2)]
MERCHANTS = ["airline", "electronics", "fuel", "gambling", "grocery", "hotel", "jewellery", "restaurant", "streaming"]
CHANNELS = ["chip", "contactless", "online", "swipe"]
RISK = {"electronics": 0.8, "gambling": 1.1, "jewellery": 1.0, "airline": 0.4}
SCHEMA = pa.schema(
    [
        ("transaction_id", pa.int64()),
        ("transaction_date", pa.date32()),
        ("amount", pa.float64()),
        ("hour", pa.int8()),
        ("merchant", pa.string()),
        ("channel", pa.string()),
        ("abroad", pa.bool_()),
        ("distance_km", pa.float64()),
        ("card_age_days", pa.int32()),
        ("uses_24h", pa.int16()),
        ("mean_amount_30d", pa.float64()),
        ("declined_7d", pa.int8()),
        ("fraud", pa.int8()),
    ]
)


def transactions(rng, first_id, rows, day, amounts=1.0, abroad=0.06):
    """Rows of one day. amounts scales all amounts, abroad is the share of transactions abroad."""
    mean = rng.gamma(2.5, 18, rows)
    columns = {
        "transaction_id": np.arange(first_id, first_id + rows, dtype=np.int64),
        "transaction_date": np.full(rows, np.datetime64(day)),
        "amount": np.round(mean * rng.lognormal(-0.2, 0.9, rows) * amounts, 2),
        "hour": rng.choice(24, rows, p=_hours()).astype(np.int8),
        "merchant": rng.choice(MERCHANTS, rows, p=[0.04, 0.08, 0.12, 0.02, 0.34, 0.05, 0.02, 0.23, 0.10]),
        "channel": rng.choice(CHANNELS, rows, p=[0.25, 0.40, 0.30, 0.05]),
        "abroad": rng.random(rows) < abroad,
        "distance_km": np.round(rng.exponential(14, rows), 1),
        "card_age_days": rng.integers(1, 2200, rows).astype(np.int32),
        "uses_24h": rng.poisson(2.2, rows).astype(np.int16),
        "mean_amount_30d": np.round(mean, 2),
        "declined_7d": rng.binomial(4, 0.04, rows).astype(np.int8),
    }
    logit = (
        -5.6
        + 0.9 * np.log1p(columns["amount"] / (columns["mean_amount_30d"] + 1))
        + 1.5 * columns["abroad"]
        + 0.02 * columns["distance_km"]
        + 0.25 * np.maximum(columns["uses_24h"] - 3, 0)
        + 0.8 * columns["declined_7d"]
        + np.array([RISK.get(m, 0.0) for m in columns["merchant"]])
        + 0.7 * (columns["channel"] == "online")
        + 0.6 * (columns["hour"] < 5)
        - 0.0004 * columns["card_age_days"]
    )
    columns["fraud"] = (rng.random(rows) < 1 / (1 + np.exp(-1.7 * logit - 3.9))).astype(np.int8)
    unknown = rng.random(rows) < 0.05  # no position for these
    arrays = [pa.array(columns[f.name], f.type) for f in SCHEMA]
    at = SCHEMA.get_field_index("distance_km")
    arrays[at] = pa.array(columns["distance_km"], pa.float64(), mask=unknown)
    return pa.table(arrays, schema=SCHEMA)


def _hours():
    weight = np.array([2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 10, 11, 13, 12, 11, 10, 11, 13, 14, 12, 9, 7, 5, 3], dtype=float)
    return weight / weight.sum()


def main():
    rng = np.random.default_rng(20261107)
    table = pa.concat_tables(
        transactions(rng, 5_000_000 + i * ROWS_PER_DAY, ROWS_PER_DAY, day) for i, day in enumerate(DAYS)
    )
    pq.write_table(table, HERE / "features.parquet", compression="zstd", compression_level=12)
    share = np.mean(table["fraud"].to_numpy())
    print(f"{table.num_rows} transactions, {share:.1%} of them fraud -> {HERE / 'features.parquet'}")


if __name__ == "__main__":
    main()
