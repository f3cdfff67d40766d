"""Models, golden rows, holdout rows and oracles of the gates' tests.

    .venv/bin/python lifecycle/gate/testdata/generate.py

Trains small LightGBM models on the churn example: good, worse (fewer trees, without contract), twin (another seed), a
regression pair and a model of three classes. figures.json holds what scikit-learn, scipy and the definitions below say
about their predictions on the holdout rows; predictions are LightGBM's own.
"""

import json
import pathlib
import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import false_discovery_control, norm
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, root_mean_squared_error

warnings.simplefilter("error")
here = pathlib.Path(__file__).parent
ROWS, GOLDEN = 4000, 150
CATEGORIES = ["contract", "payment_method", "internet_service"]


def load():
    table = pq.read_table(here.parents[2] / "examples" / "churn" / "features.parquet").to_pandas()
    for name in CATEGORIES:
        table[name] = table[name].astype("category")
    for name in table.columns:
        if name not in [*CATEGORIES, "account_id", "compute_date", "churn"]:
            table[name] = table[name].astype(np.float64)
    table["region"] = np.where(table.account_id % 7 < 3, "north", np.where(table.account_id % 7 < 6, "south", None))
    return table


def train(table, columns, label, objective, **more):
    params = {"objective": objective, "num_leaves": 8, "verbosity": -1, "seed": 1, "num_threads": 1, "deterministic": True}
    rounds = more.pop("rounds", 30)
    return lgb.train(params | more, lgb.Dataset(table[columns], table[label]), num_boost_round=rounds)


def plain(frame):
    """Feature columns as the files hold them: float64 and text."""
    return {n: pa.array(frame[n].astype(str) if n in CATEGORIES else frame[n], from_pandas=True) for n in frame.columns}


def scores(prefix, values):
    if values.ndim == 1:
        return {prefix: values}
    return {f"{prefix}_{k}": values[:, k] for k in range(values.shape[1])}


def save(name, model, table, columns):
    rows = table[columns].iloc[:GOLDEN]
    model.save_model(here / f"{name}.txt")
    golden = plain(rows) | scores("raw", model.predict(rows, raw_score=True)) | scores("pred", model.predict(rows))
    pq.write_table(pa.table(golden), here / f"{name}.golden.parquet", compression="zstd")


def pairs(scores, labels):
    x, y = scores[labels == 1], scores[labels == 0]
    return (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])


def delong(a, b, labels):
    pa_, pb = pairs(a, labels), pairs(b, labels)
    m, n = pa_.shape
    s10 = np.cov(np.stack([pa_.mean(1), pb.mean(1)]))
    s01 = np.cov(np.stack([pa_.mean(0), pb.mean(0)]))
    s = s10 / m + s01 / n
    delta, se = pa_.mean() - pb.mean(), float(np.sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1]))
    z = norm.ppf(0.975)
    return {"delta": delta, "se": se, "lower": delta - z * se, "upper": delta + z * se, "p": 2 * norm.sf(abs(delta) / se)}


def interval(a, labels):
    p = pairs(a, labels)
    auc = p.mean()
    se = np.sqrt(np.var(p.mean(1), ddof=1) / p.shape[0] + np.var(p.mean(0), ddof=1) / p.shape[1])
    logit, half = np.log(auc / (1 - auc)), norm.ppf(0.975) * se / (auc * (1 - auc))
    return {"se": se, "lower": 1 / (1 + np.exp(half - logit)), "upper": 1 / (1 + np.exp(-half - logit))}


def calibration(p, labels):
    true, predicted = calibration_curve(labels, p, n_bins=10, strategy="uniform")
    count = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], p), minlength=10)
    q = np.clip(p, 1e-6, 1 - 1e-6)
    fit = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10000, solver="newton-cholesky").fit(
        np.log(q / (1 - q))[:, None], labels
    )
    return {
        "ece": np.sum(np.abs(true - predicted) * count[count > 0]) / len(p), "brier": brier_score_loss(labels, p),
        "log_loss": log_loss(labels, p), "slope": fit.coef_[0, 0], "intercept": fit.intercept_[0],
    }


def slices(own, champion, labels, table, columns):
    out = []
    for column in columns:
        for value in sorted({str(v) for v in table[column].dropna()}) + ([None] if table[column].isna().any() else []):
            rows = (table[column].isna() if value is None else table[column].astype(str) == value).to_numpy()
            d = delong(champion[rows], own[rows], labels[rows])
            out.append({
                "name": f"{column}={'(missing)' if value is None else value}", "rows": int(rows.sum()),
                "auc": roc_auc_score(labels[rows], own[rows]), "reference_auc": roc_auc_score(labels[rows], champion[rows]),
                "drop": d["delta"], "p_value": norm.sf(d["delta"] / d["se"]),
            })
    for one, p in zip(out, false_discovery_control([s["p_value"] for s in out])):
        one["p_value_corrected"] = p
    return out


def main():
    table = load()
    features = [n for n in table.columns if n not in ("account_id", "compute_date", "churn", "region")]
    fewer = [n for n in features if n not in ("contract", "support_calls_90d")]
    held = table.account_id % 5 == 0
    learn, holdout = table[~held], table[held].iloc[:ROWS].reset_index(drop=True)
    y = holdout.churn.to_numpy()

    models = {
        "good": (train(learn, features, "churn", "binary"), features),
        "worse": (train(learn, fewer, "churn", "binary", rounds=8), fewer),
        "twin": (train(learn, features, "churn", "binary", seed=2, bagging_fraction=0.9, bagging_freq=1), features),
    }
    figures = {"rows": len(y), "models": {}}
    for name, (model, columns) in models.items():
        save(name, model, holdout, columns)
        p = model.predict(holdout[columns])
        figures["models"][name] = {"auc": roc_auc_score(y, p)} | interval(p, y) | calibration(p, y)
    predicted = {name: model.predict(holdout[columns]) for name, (model, columns) in models.items()}
    figures["pairs"] = {
        f"{a} against {b}": delong(predicted[a], predicted[b], y)
        for a, b in (("worse", "good"), ("good", "worse"), ("twin", "good"))
    }
    figures["slices"] = slices(predicted["worse"], predicted["good"], y, holdout, ["contract", "region"])
    values = {n: holdout[n].fillna(-1e300) for n in features if n not in CATEGORIES}
    for n in CATEGORIES:  # by the share of positive rows of each category
        values[n] = holdout.churn.groupby(holdout[n], observed=True).transform("mean")
    figures["single"] = {n: max(a, 1 - a) for n, v in values.items() for a in [roc_auc_score(y, v)]}
    good = models["good"][0]
    rows = {"account_id": holdout.account_id, "region": holdout.region, "compute_date": pa.array(holdout.compute_date, pa.date32())}
    rows |= plain(holdout[features]) | {"churn": pa.array(y, pa.int64())}
    rows |= {"raw": good.predict(holdout[features], raw_score=True), "pred": predicted["good"]}
    pq.write_table(pa.table(rows), here / "holdout.parquet", compression="zstd")

    inputs = ["tenure_months", "monthly_charges", "support_calls_90d", "days_since_login", "contract"]
    target, kind = holdout.total_charges.fillna(0), holdout.contract.cat.codes.to_numpy()
    learn = learn.assign(spent=learn.total_charges.fillna(0), kind=learn.contract.cat.codes)
    for name, rounds in (("spent_good", 40), ("spent_worse", 25)):
        model = train(learn, inputs[:4], "spent", "regression", rounds=rounds)
        save(name, model, holdout, inputs[:4])
        figures["models"][name] = {"rmse": root_mean_squared_error(target, model.predict(holdout[inputs[:4]]))}
    pq.write_table(
        pa.table({"account_id": holdout.account_id} | plain(holdout[inputs[:4]]) | {"spent": target}),
        here / "spent.holdout.parquet", compression="zstd",
    )
    columns = ["tenure_months", "churn", "monthly_charges"]
    learn, wide = learn.assign(churn=learn.churn.astype(float)), holdout.assign(churn=holdout.churn.astype(float))
    for name, rounds in (("kind_good", 10), ("kind_worse", 1)):
        model = train(learn, columns, "kind", "multiclass", num_class=3, rounds=rounds)
        save(name, model, wide, columns)
        p = model.predict(wide[columns])
        p = p / p.sum(axis=1, keepdims=True)
        figures["models"][name] = {"auc": roc_auc_score(kind, p, multi_class="ovr"), "log_loss": log_loss(kind, p)}
    pq.write_table(
        pa.table({"account_id": holdout.account_id} | plain(wide[columns]) | {"kind": pa.array(kind, pa.int64())}),
        here / "kind.holdout.parquet", compression="zstd",
    )
    (here / "figures.json").write_text(json.dumps(figures, indent=1, allow_nan=False, default=float) + "\n")


main()
