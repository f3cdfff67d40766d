"""The models of the corpus: what is trained, and how rows are made for it. Shared by both generators."""

import json
import shutil
import sys

import numpy as np
import pandas as pd

import corpus
from corpus import Table

N = 600  # training rows


def numeric(rng, columns, nan=0.1):
    """Ordinary values: a few distributions, ties and missing values."""
    data = {}
    for i, (name, kind) in enumerate(columns.items()):
        if kind in ("f64", "f32"):
            v = [rng.normal(size=N), rng.exponential(size=N), np.round(rng.normal(size=N), 1),
                 rng.integers(-3, 4, N).astype(float)][i % 4]
            if nan and i % 3 != 2:
                v = np.where(rng.random(N) < nan, np.nan, v)
            data[name] = v.astype(np.float32) if kind == "f32" else v
        elif kind == "i64":
            data[name] = rng.integers(-20, 50, N)
        elif kind == "bool":
            data[name] = rng.random(N) < 0.4
    return data


def signal(rng, table, data):
    """A target that depends on every column."""
    y = np.zeros(N)
    for i, (name, kind) in enumerate(table.columns.items()):
        v = data[name]
        if kind == "cat":
            codes = {c: k for k, c in enumerate(table.categories[name])}
            v = np.array([-1 if x is None else (codes[x] * 7919) % 13 for x in v], dtype=float) / 6
        elif kind == "code":
            v = np.where(np.isnan(v), -1, (np.nan_to_num(v) * 7919) % 13) / 6
        else:
            v = np.nan_to_num(np.asarray(v, dtype=float), nan=-0.7)
        y += (1 if i % 2 else -1) * v / (1 + i / 3) + 0.3 * (v > 0.4)
    return y + 0.2 * rng.normal(size=N)


def columns_numeric(kind="f64", n=6, prefix="x"):
    return {f"{prefix}{i}": kind for i in range(n)}


def categories(rng, table, data, name, values, missing=0.05):
    table.categories[name] = list(values)
    picks = [values[i] for i in rng.zipf(1.3, N) % len(values)]
    data[name] = [None if rng.random() < missing else v for v in picks]
    for i, v in enumerate(values[: N // 2]):  # all of them occur
        data[name][i] = v


def codes(rng, data, name, n, missing=0.05):
    v = rng.integers(0, n, N).astype(float)
    v[: min(n, N)] = np.arange(min(n, N))
    data[name] = np.where(rng.random(N) < missing, np.nan, v)


def table_of(rng, spec):
    """spec: 'f64', 'f32', 'ints', 'names', 'codes:<n>', 'pandas:<what>'."""
    what, _, arg = spec.partition(":")
    if what in ("f64", "f32"):
        t = Table(columns_numeric(what, int(arg or 6)), frame=False)
        return t, numeric(rng, t.columns)
    if what == "dense":  # nothing missing
        t = Table(columns_numeric("f64", 6), frame=False)
        return t, numeric(rng, t.columns, nan=0)
    if what == "ints":
        t = Table({"count": "i64", "flag": "bool", "ratio": "f64", "small": "i64", "single": "f32"}, frame=True)
        return t, numeric(rng, t.columns)
    if what == "names":
        t = Table({"with space": "f64", "a=b": "f64", "größe µ": "f64", "100%+(x)": "f32", "日本": "i64"}, frame=True)
        return t, numeric(rng, t.columns)
    if what == "codes":
        n = int(arg)
        t = Table({"x0": "f64", "k": "code", "x2": "f64", "j": "code"}, frame=False)
        data = numeric(rng, {"x0": "f64", "x2": "f64"})
        codes(rng, data, "k", n)
        codes(rng, data, "j", 5)
        return t, data
    t = Table({}, frame=True)
    t.categories = {}
    if what == "strings":
        t.columns = {"city": "cat", "x": "f64", "größe": "cat", "n": "i64"}
        data = numeric(rng, {"x": "f64", "n": "i64"})
        n = int(arg or 12)
        categories(rng, t, data, "city", [f"city {i}" for i in range(n)])
        categories(rng, t, data, "größe", ["klein", "größer", "", "日本", "a\"b\\c,[d]"])
    elif what == "numbers":
        t.columns = {"x": "f64", "year": "cat", "y": "f32", "level": "cat"}
        data = numeric(rng, {"x": "f64", "y": "f32"})
        categories(rng, t, data, "year", list(range(1990, 2025)))
        categories(rng, t, data, "level", [-7, 0, 3, 40])
    elif what == "bools":
        t.columns = {"x": "f64", "member": "cat", "price": "cat"}
        data = numeric(rng, {"x": "f64"})
        categories(rng, t, data, "member", [False, True])
        categories(rng, t, data, "price", [-0.5, 0.0, 1.25, 1e300])
    elif what == "ordered":
        t.columns = {"size": "cat", "x": "f64", "city": "cat"}
        t.ordered = ("size",)
        data = numeric(rng, {"x": "f64"})
        data["x"] = data["x"] * 10 - 3.25
        categories(rng, t, data, "size", ["xs", "s", "m", "l", "xl"])
        categories(rng, t, data, "city", [f"c{i}" for i in range(9)])
    else:
        raise ValueError(spec)
    return t, data


def labels(rng, y, kind):
    """The target of an objective: 0/1, counts, classes, ..."""
    lo, hi = np.quantile(y, [0.02, 0.98])
    unit = np.clip((y - lo) / (hi - lo), 0, 1)
    if kind == "binary":
        return (y > np.median(y)).astype(float)
    if kind == "unit":
        return unit
    if kind == "count":
        return rng.poisson(np.exp(2 * unit)).astype(float)
    if kind == "positive":
        return np.exp(2 * unit) + 0.1
    if kind == "tweedie":
        return np.where(rng.random(N) < 0.3, 0, np.exp(2 * unit))
    if kind == "rank":
        return np.floor(unit * 3.99)
    if kind.startswith("class"):
        k = int(kind[5:])
        return np.minimum(np.floor(unit * k), k - 1)
    if kind == "constant":
        return np.full(N, 0.75)
    if kind == "large":
        return 50 + 30 * y
    return y


def pool_lists(data):
    return {n: list(v) for n, v in data.items()}


SEED = []  # live.py sets it, so that each run draws other models


def rng_of(*names):
    return np.random.default_rng(SEED + [ord(c) for c in "/".join(names)])


# ---------------------------------------------------------------------------------------------------------------------
# LightGBM


def lgb_thresholds(text):
    """(feature, threshold) of the numeric splits, read from the model text."""
    out, fields = set(), {}
    for line in text.split("\n"):
        key, eq, value = line.partition("=")
        if eq and key in ("split_feature", "threshold", "decision_type"):
            fields[key] = value.split()
        if key == "shrinkage" and fields.get("split_feature"):
            for f, t, d in zip(fields["split_feature"], fields["threshold"], fields["decision_type"]):
                if int(d) & 1 == 0:
                    out.add((int(f), float(t)))
            fields = {}
    return sorted(out)


LGB_BASE = dict(verbose=-1, num_leaves=15, min_data_in_leaf=5, learning_rate=0.2, seed=7, deterministic=True,
                num_threads=1, force_row_wise=True)

# name: (table, label, rounds, parameters)
LGB = {
    "binary": ("f64", "binary", 12, dict(objective="binary")),
    "binary-sigmoid": ("f64", "binary", 10, dict(objective="binary", sigmoid=1.7)),
    "binary-f32": ("f32", "binary", 12, dict(objective="binary")),
    "regression": ("f64", "", 12, dict(objective="regression")),
    "regression-sqrt": ("f64", "large", 10, dict(objective="regression", reg_sqrt=True)),
    "regression-l1": ("f64", "", 8, dict(objective="regression_l1")),
    "regression-l1-sqrt": ("f64", "large", 6, dict(objective="regression_l1", reg_sqrt=True)),
    "huber": ("f64", "", 8, dict(objective="huber")),
    "fair": ("f64", "", 8, dict(objective="fair")),
    "quantile": ("f64", "", 8, dict(objective="quantile", alpha=0.3)),
    "mape": ("f64", "positive", 8, dict(objective="mape")),
    "poisson": ("f64", "count", 10, dict(objective="poisson")),
    "gamma": ("f64", "positive", 10, dict(objective="gamma")),
    "tweedie": ("f64", "tweedie", 10, dict(objective="tweedie", tweedie_variance_power=1.3)),
    "cross-entropy": ("f64", "unit", 10, dict(objective="cross_entropy")),
    "cross-entropy-lambda": ("f64", "unit", 10, dict(objective="cross_entropy_lambda")),
    "lambdarank": ("f64", "rank", 8, dict(objective="lambdarank")),
    "rank-xendcg": ("f64", "rank", 8, dict(objective="rank_xendcg")),
    "multiclass": ("f64", "class4", 6, dict(objective="multiclass", num_class=4)),
    "multiclassova": ("f64", "class4", 6, dict(objective="multiclassova", num_class=4, sigmoid=1.3)),
    "custom": ("f64", "", 6, dict(objective="custom")),
    "custom-multiclass": ("f64", "class3", 4, dict(objective="custom", num_class=3)),
    "zero-as-missing": ("f64", "binary", 10, dict(objective="binary", zero_as_missing=True)),
    "use-missing-false": ("f64", "binary", 10, dict(objective="binary", use_missing=False)),
    "no-missing": ("dense", "binary", 10, dict(objective="binary")),
    "rf-binary": ("f64", "binary", 8, dict(objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.7)),
    "rf-regression": ("f64", "", 8, dict(objective="regression", boosting="rf", bagging_freq=1, bagging_fraction=0.7)),
    "rf-multiclass": ("f64", "class3", 5, dict(objective="multiclass", num_class=3, boosting="rf", bagging_freq=1,
                                               bagging_fraction=0.7)),
    "dart": ("f64", "binary", 14, dict(objective="binary", boosting="dart", drop_rate=0.4, skip_drop=0.1)),
    "goss": ("f64", "", 10, dict(objective="regression", data_sample_strategy="goss")),
    "extra-trees": ("f64", "", 8, dict(objective="regression", extra_trees=True)),
    "monotone": ("dense", "", 8, dict(objective="regression", monotone_constraints=[1, -1, 0, 1, -1, 0])),
    "deep": ("f64", "", 4, dict(objective="regression", num_leaves=255, min_data_in_leaf=1)),
    "stump": ("f64", "binary", 30, dict(objective="binary", num_leaves=2)),
    "single-leaf": ("f64", "constant", 5, dict(objective="regression")),
    "early-stopping": ("f64", "binary", 60, dict(objective="binary", early_stopping_round=3, learning_rate=0.6)),
    "ints": ("ints", "binary", 10, dict(objective="binary")),
    "names": ("names", "binary", 8, dict(objective="binary")),
    "codes-small": ("codes:7", "binary", 10, dict(objective="binary", max_cat_to_onehot=4, min_data_per_group=5)),
    "codes-40": ("codes:40", "binary", 10, dict(objective="binary", min_data_per_group=3, cat_smooth=1)),
    "codes-onehot": ("codes:30", "binary", 8, dict(objective="binary", max_cat_to_onehot=64, min_data_per_group=3)),
    "codes-large": ("codes:500", "", 8, dict(objective="regression", min_data_per_group=1, min_data_in_leaf=1,
                                             cat_smooth=0, cat_l2=0, max_cat_threshold=200)),
    "codes-zero-missing": ("codes:12", "binary", 8, dict(objective="binary", zero_as_missing=True,
                                                         min_data_per_group=3)),
    "codes-no-missing": ("codes:12", "binary", 8, dict(objective="binary", use_missing=False, min_data_per_group=3)),
    "pandas-strings": ("strings", "binary", 10, dict(objective="binary", min_data_per_group=3, cat_smooth=1)),
    "pandas-1200": ("strings:1200", "", 6, dict(objective="regression", min_data_per_group=1, min_data_in_leaf=1,
                                                cat_smooth=0, max_cat_threshold=400)),
    "pandas-numbers": ("numbers", "class3", 4, dict(objective="multiclass", num_class=3, min_data_per_group=3)),
    "pandas-bools": ("bools", "", 8, dict(objective="regression", min_data_per_group=3)),
    "pandas-ordered": ("ordered", "binary", 8, dict(objective="binary", min_data_per_group=3)),
    "tiny": ("strings:3", "binary", 2, dict(objective="binary", num_leaves=4, min_data_per_group=3)),
}

LGB_LEGACY = ["binary", "binary-sigmoid", "regression", "regression-sqrt", "tweedie", "cross-entropy-lambda",
              "multiclass", "multiclassova", "custom", "zero-as-missing", "use-missing-false", "rf-binary",
              "rf-multiclass", "dart", "single-leaf", "names", "codes-40", "codes-no-missing", "pandas-strings",
              "pandas-numbers", "pandas-ordered", "ints"]
LGB_V2 = ["binary", "regression-sqrt", "multiclass", "zero-as-missing", "use-missing-false", "codes-40", "dart",
          "single-leaf", "tweedie"]


def lgb_train(lgb, name, version):
    spec, label, rounds, params = LGB[name]
    rng = rng_of("lightgbm", version, name)
    table, data = table_of(rng, spec)
    y = labels(rng, signal(rng, table, data), label)
    params = {**LGB_BASE, **params}
    custom = params["objective"] == "custom"
    k = params.get("num_class", 1)

    def gradients(score, dataset):
        t = dataset.get_label()
        score = np.asarray(score)
        if k == 1:
            return (score - t).astype(np.float64), np.ones(len(t))
        score = score.reshape(len(t), k) if score.ndim == 2 else score.reshape(k, len(t)).T
        grad = score - np.eye(k)[t.astype(int)]
        hess = np.ones_like(grad)
        if int(version.split(".")[0]) < 4:
            return grad.T.ravel(), hess.T.ravel()
        return grad, hess

    kwargs = {}
    if custom:
        if int(version.split(".")[0]) < 4:
            kwargs["fobj"] = gradients
            params["objective"] = "none"
        else:
            params["objective"] = gradients
    x = table.build(data)
    args = dict(free_raw_data=False)
    if spec.startswith("codes"):
        args["categorical_feature"] = [1, 3]
    if "rank" in params["objective"] if isinstance(params["objective"], str) else False:
        args["group"] = [20] * (N // 20)
    train = lgb.Dataset(x, y, **args)
    if name == "early-stopping":
        kwargs["valid_sets"] = [lgb.Dataset(table.build({n: v[::-1] for n, v in data.items()}), y[::-1] * 0.3 +
                                            0.7 * rng.integers(0, 2, N), reference=train)]
    booster = lgb.train(params, train, rounds, **kwargs)
    return table, data, booster


def lgb_case(lgb, name, version):
    table, data, trained = lgb_train(lgb, name, version)
    where = corpus.case_dir("lightgbm", version, name)
    trained.save_model(str(where / "model.txt"))
    booster = lgb.Booster(model_file=str(where / "model.txt"))
    rng = rng_of("rows", "lightgbm", version, name)
    pool = pool_lists(data)
    limit = 200 if len(table.columns) < 6 else 260
    edges = corpus.edge_rows(rng, table, pool, lgb_thresholds((where / "model.txt").read_text()), single=False,
                             infinite=True, limit=limit, unseen=[])
    plain = rng.permutation(N)[:max(120, 320 - len(next(iter(edges.values()))))]
    rows = {n: [pool[n][i] for i in plain] + edges[n] for n in table.columns}
    if table.frame and getattr(table, "categories", None):
        add_unseen(table, rows)
    x = build_for_predict(table, rows)
    raw = booster.predict(x, raw_score=True)
    pred = booster.predict(x)
    corpus.write_case(where, table, rows, raw, pred, np.float64, library="lightgbm", version=version,
                      objective=objective_text(where / "model.txt"), models=["model.txt"])
    return where


def add_unseen(table, rows):
    """LightGBM reads a category that was not trained as missing."""
    for name, kind in table.columns.items():
        if kind != "cat":
            continue
        known = table.categories[name]
        strange = "never seen" if isinstance(known[0], str) else None if isinstance(known[0], bool) else 999
        if strange is None:
            continue
        for i in range(3, len(rows[name]), 41):
            rows[name][i] = strange if isinstance(known[0], (str, int)) else float(strange)


def build_for_predict(table, rows):
    """As Table.build, but categories are what the rows hold: the library recodes them."""
    if not getattr(table, "categories", None):
        return table.build(rows)
    x = table.build({n: v for n, v in rows.items()})
    for name, kind in table.columns.items():
        if kind == "cat":
            known = table.categories[name]
            extra = sorted({v for v in rows[name] if v is not None and v not in known})
            x[name] = pd.Categorical(rows[name], categories=list(known) + extra,
                                     ordered=name in getattr(table, "ordered", ()))
    return x


def objective_text(path):
    for line in path.read_text().split("\n"):
        if line.startswith("objective="):
            return line[len("objective="):]
        if line.startswith("Tree="):
            break
    return ""


def lgb_linear(lgb, version):
    rng = rng_of("linear", version)
    table, data = table_of(rng, "dense")
    y = signal(rng, table, data)
    booster = lgb.train({**LGB_BASE, "objective": "regression", "linear_tree": True},
                        lgb.Dataset(table.build(data), y, params=dict(linear_tree=True)), 3)
    where = corpus.case_dir("lightgbm", version, "refused-linear")
    booster.save_model(str(where / "model.txt"))
    corpus.write_json(where, library="lightgbm", version=version, models=["model.txt"], refused="linear trees")
    return where


# ---------------------------------------------------------------------------------------------------------------------
# XGBoost

XGB_BASE = dict(max_depth=4, eta=0.3, seed=7, nthread=1, verbosity=0, tree_method="hist")

XGB = {
    "squarederror": ("f64", "", 10, dict(objective="reg:squarederror")),
    "squarederror-f32": ("f32", "", 10, dict(objective="reg:squarederror")),
    "squaredlogerror": ("f64", "positive", 8, dict(objective="reg:squaredlogerror")),
    "reg-logistic": ("f64", "unit", 8, dict(objective="reg:logistic")),
    "pseudohuber": ("f64", "", 8, dict(objective="reg:pseudohubererror")),
    "absoluteerror": ("f64", "", 8, dict(objective="reg:absoluteerror")),
    "quantile": ("f64", "", 8, dict(objective="reg:quantileerror", quantile_alpha=0.3)),
    "quantile-3": ("f64", "", 6, dict(objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9])),
    "quantile-crossing": ("f64", "", 4, dict(objective="reg:quantileerror", max_depth=5, eta=0.6, min_child_weight=0,
                                              quantile_alpha=[0.1, 0.3, 0.5, 0.7, 0.9])),
    "expectile": ("f64", "", 8, dict(objective="reg:expectileerror", expectile_alpha=0.3)),
    "logistic": ("f64", "binary", 10, dict(objective="binary:logistic")),
    "logistic-base": ("f64", "binary", 8, dict(objective="binary:logistic", base_score=0.137)),
    "logistic-extreme-base": ("f64", "binary", 4, dict(objective="binary:logistic", base_score=1e-7)),
    "logitraw": ("f64", "binary", 8, dict(objective="binary:logitraw")),
    "hinge": ("f64", "binary", 8, dict(objective="binary:hinge")),
    "softprob": ("f64", "class4", 5, dict(objective="multi:softprob", num_class=4)),
    "softmax": ("f64", "class4", 5, dict(objective="multi:softmax", num_class=4)),
    "softprob-12": ("dense", "class12", 3, dict(objective="multi:softprob", num_class=12, max_depth=3)),
    "poisson": ("f64", "count", 8, dict(objective="count:poisson")),
    "gamma": ("f64", "positive", 8, dict(objective="reg:gamma")),
    "tweedie": ("f64", "tweedie", 8, dict(objective="reg:tweedie", tweedie_variance_power=1.3)),
    "cox": ("f64", "cox", 8, dict(objective="survival:cox")),
    "aft": ("f64", "positive", 8, dict(objective="survival:aft")),
    "rank-pairwise": ("f64", "rank", 6, dict(objective="rank:pairwise")),
    "rank-ndcg": ("f64", "rank", 6, dict(objective="rank:ndcg")),
    "rank-map": ("f64", "rank01", 6, dict(objective="rank:map")),
    "custom": ("f64", "", 6, dict()),
    "multi-target": ("f64", "targets", 5, dict(objective="reg:squarederror")),
    "multi-label": ("f64", "labels", 5, dict(objective="binary:logistic")),
    "dart": ("f64", "", 12, dict(objective="reg:squarederror", booster="dart", rate_drop=0.4)),
    "dart-softprob": ("f64", "class3", 6, dict(objective="multi:softprob", num_class=3, booster="dart", rate_drop=0.5,
                                               one_drop=1)),
    "forest": ("f64", "binary", 1, dict(objective="binary:logistic", num_parallel_tree=8, subsample=0.6, eta=1)),
    "forest-softprob": ("f64", "class3", 3, dict(objective="multi:softprob", num_class=3, num_parallel_tree=3,
                                                 subsample=0.6)),
    "pruned": ("f64", "", 6, dict(objective="reg:squarederror", tree_method="exact", gamma=1.5, max_depth=7)),
    "approx": ("f64", "", 6, dict(objective="reg:squarederror", tree_method="approx")),
    "lossguide": ("f64", "binary", 5, dict(objective="binary:logistic", grow_policy="lossguide", max_leaves=40,
                                           max_depth=0)),
    "deep": ("f64", "", 3, dict(objective="reg:squarederror", max_depth=14, min_child_weight=0, reg_lambda=0)),
    "single-leaf": ("f64", "binary", 4, dict(objective="binary:logistic", gamma=1e9)),
    "constant": ("f64", "constant", 3, dict(objective="reg:squarederror")),
    "early-stopping": ("f64", "binary", 40, dict(objective="binary:logistic", eta=0.8)),
    "ints": ("ints", "binary", 8, dict(objective="binary:logistic")),
    "names": ("names", "", 6, dict(objective="reg:squarederror")),
    "codes-onehot": ("codes:7", "binary", 8, dict(objective="binary:logistic", max_cat_to_onehot=100)),
    "codes-partition": ("codes:40", "binary", 8, dict(objective="binary:logistic", max_cat_to_onehot=1)),
    "codes-approx": ("codes:40", "", 6, dict(objective="reg:squarederror", max_cat_to_onehot=1,
                                             tree_method="approx")),
    "codes-large": ("codes:500", "", 5, dict(objective="reg:squarederror", max_cat_to_onehot=1, max_cat_threshold=200,
                                             min_child_weight=0)),
    "codes-dart": ("codes:12", "class3", 4, dict(objective="multi:softprob", num_class=3, booster="dart",
                                                 rate_drop=0.5, max_cat_to_onehot=5)),
    "pandas-strings": ("strings", "binary", 8, dict(objective="binary:logistic", max_cat_to_onehot=4)),
    "pandas-1200": ("strings:1200", "", 4, dict(objective="reg:squarederror", max_cat_to_onehot=4,
                                                max_cat_threshold=1000, min_child_weight=0)),
    "pandas-numbers": ("numbers", "class3", 4, dict(objective="multi:softprob", num_class=3, max_cat_to_onehot=3)),
    "tiny": ("strings:3", "binary", 2, dict(objective="binary:logistic", max_depth=2, max_cat_to_onehot=2)),
    "tiny-dart": ("f64:2", "binary", 3, dict(objective="binary:logistic", max_depth=2, booster="dart", rate_drop=0.5,
                                             one_drop=1)),
}

XGB_LEGACY = ["squarederror", "squarederror-f32", "squaredlogerror", "reg-logistic", "pseudohuber", "absoluteerror",
              "logistic", "logistic-base", "logistic-extreme-base", "logitraw", "hinge", "softprob", "softmax",
              "poisson", "gamma", "tweedie", "cox", "aft", "rank-pairwise", "rank-ndcg", "custom", "multi-target",
              "multi-label", "dart", "dart-softprob", "forest", "forest-softprob", "pruned", "approx", "lossguide",
              "deep", "single-leaf", "early-stopping", "names", "codes-onehot", "codes-partition", "codes-dart", "tiny-dart"]


# What releases between the two differ in: base scores near 0 and 1, vectors of base scores, layouts of dart, the sides of
# stray categories, and the first two ways to write category names.
XGB_MIDDLE = ["logistic-extreme-base", "softprob", "multi-label", "dart-softprob", "forest", "codes-onehot",
              "codes-partition"]


def xgb_thresholds(path):
    out = set()
    learner = json.loads(path.read_text())["learner"]
    gb = learner["gradient_booster"]
    model = gb["gbtree"]["model"] if "gbtree" in gb else gb["model"]
    for tree in model["trees"]:
        for left, f, c, kind in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"],
                                    tree["split_type"]):
            if left != -1 and kind == 0 and f != 2147483647:
                out.add((f, c))
    return sorted(out)


def xgb_matrix(xgb, table, x, y=None, **kwargs):
    types = None
    categorical = False
    if not table.frame and "code" in table.columns.values():
        types = ["c" if k == "code" else "q" for k in table.columns.values()]
        categorical = True
    if getattr(table, "categories", None):
        categorical = True
    return xgb.DMatrix(x, label=y, feature_types=types, enable_categorical=categorical, **kwargs)


def xgb_train(xgb, name, version, extra=None):
    spec, label, rounds, params = XGB[name]
    rng = rng_of("xgboost", version, name)
    table, data = table_of(rng, spec)
    y = signal(rng, table, data)
    params = {**XGB_BASE, **params, **(extra or {})}
    if label == "cox":
        t = labels(rng, y, "positive") * np.where(rng.random(N) < 0.3, -1, 1)
    elif label == "rank01":
        t = (labels(rng, y, "rank") > 1).astype(float)
    elif label == "targets":
        t = np.column_stack([y, -2 * y + rng.normal(size=N), np.abs(y)])
    elif label == "labels":
        t = np.column_stack([y > 0, rng.random(N) < 0.3, np.abs(y) > 1]).astype(float)
    else:
        t = labels(rng, y, label)
    x = table.build(data)
    kwargs = {}
    if name == "aft":
        d = xgb_matrix(xgb, table, x)
        d.set_float_info("label_lower_bound", t)
        d.set_float_info("label_upper_bound", np.where(rng.random(N) < 0.3, np.inf, t * 1.1))
    else:
        d = xgb_matrix(xgb, table, x, t)
    if params.get("objective", "").startswith("rank:"):
        d.set_group([20] * (N // 20))
    if name == "custom":
        kwargs["obj"] = lambda p, dm: (p - dm.get_label(), np.ones(len(p)))
    if name == "early-stopping":
        noise = np.where(rng.random(N) < 0.4, 1 - t, t)
        kwargs.update(evals=[(xgb_matrix(xgb, table, x, noise), "valid")], early_stopping_rounds=3,
                      verbose_eval=False)
    return table, data, xgb.train(params, d, rounds, **kwargs)


def xgb_case(xgb, name, version, binary=False):
    table, data, trained = xgb_train(xgb, name, version)
    where = corpus.case_dir("xgboost", version, name)
    models = ["model.json", "model.ubj"]
    if binary and not name.startswith("codes"):
        models.append("model.bin")
    for m in models:
        trained.save_model(str(where / m))
    booster = xgb.Booster(model_file=str(where / "model.json"))
    rng = rng_of("rows", "xgboost", version, name)
    pool = pool_lists(data)
    limit = 200 if len(table.columns) < 6 else 260
    edges = corpus.edge_rows(rng, table, pool, xgb_thresholds(where / "model.json"), single=True, infinite=False,
                             limit=limit)
    plain = rng.permutation(N)[:max(120, 320 - len(next(iter(edges.values()))))]
    rows = {n: [pool[n][i] for i in plain] + edges[n] for n in table.columns}
    d = xgb_matrix(xgb, table, table.build(rows))
    raw = booster.predict(d, output_margin=True)
    pred = booster.predict(d)
    assert name != "quantile-crossing" or (np.diff(raw) < 0).any(1).sum() > len(raw) // 10, "no rows cross"
    for m in models[1:]:
        other = xgb.Booster(model_file=str(where / m))
        assert np.array_equal(raw, other.predict(d, output_margin=True), equal_nan=True), (name, m)
    if not table.frame:
        table.columns = {f"f{i}": k for i, k in enumerate(table.columns.values())}
        rows = dict(zip(table.columns, rows.values()))
    corpus.write_case(where, table, rows, raw, pred, np.float32, library="xgboost", version=version,
                      objective=json.loads((where / "model.json").read_text())["learner"]["objective"]["name"],
                      models=models)
    return where


def xgb_cut_names(xgb, version):
    """3.1 to 3.3 cut category names that are not ASCII at the wrong bytes: nobody can tell what they were."""
    where = xgb_case(xgb, "tiny", version)
    (where / "rows.parquet").unlink()
    refused = where.with_name("refused-cut-names")
    shutil.rmtree(refused, ignore_errors=True)
    where.rename(refused)
    corpus.write_json(refused, library="xgboost", version=version, models=["model.json", "model.ubj"],
                      refused="category names beyond ASCII")
    return refused


def xgb_refused(xgb, name, version, reason, spec, label, params, binary=False):
    rng = rng_of("refused", version, name)
    table, data = table_of(rng, spec)
    y = signal(rng, table, data)
    t = np.column_stack([y, -y, np.abs(y)]) if label == "targets" else labels(rng, y, label)
    booster = xgb.train({**XGB_BASE, **params}, xgb_matrix(xgb, table, table.build(data), t), 3)
    where = corpus.case_dir("xgboost", version, "refused-" + name)
    models = ["model.json", "model.ubj"] + (["model.bin"] if binary else [])
    for m in models:
        booster.save_model(str(where / m))
    corpus.write_json(where, library="xgboost", version=version, models=models, refused=reason)


def run(names, make):
    for name in names:
        try:
            make(name)
        except Exception:
            print("in case", name, file=sys.stderr)
            raise
        print(name)
