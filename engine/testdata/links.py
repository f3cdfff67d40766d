"""Writes links.json: margins and predictions of LightGBM and XGBoost for every link, over a wide range of margins.

    python links.py

LightGBM gets a hand-written model whose leaves are the margins; XGBoost gets them as base margins.
"""
import json
import os
import random

import lightgbm as lgb
import numpy as np
import xgboost as xgb

rng = random.Random(7)
N = 200


def margins(k, reach):
    out = [0.0, -0.0, 1.0, -1.0, 1e-300, 1e-17, reach, -reach, reach / 2, 30.0, -30.0, 36.7, -36.7]
    while len(out) < N:
        out.append(rng.uniform(-reach, reach) if len(out) % 2 else rng.gauss(0, 2))
    rng.shuffle(out)
    return out[:N]


def tree(i, values):
    n = len(values) - 1
    left = [~j for j in range(n)]
    right = [j + 1 for j in range(n - 1)] + [~n]
    row = lambda v: " ".join(map(str, v))
    return "\n".join([
        "Tree=%d" % i, "num_leaves=%d" % (n + 1), "num_cat=0", "split_feature=" + row([0] * n),
        "split_gain=" + row([1] * n), "threshold=" + row([j + 0.5 for j in range(n)]),
        "decision_type=" + row([2] * n), "left_child=" + row(left), "right_child=" + row(right),
        "leaf_value=" + " ".join("%.17g" % v for v in values), "leaf_weight=" + row([1] * (n + 1)),
        "leaf_count=" + row([1] * (n + 1)), "internal_value=" + row([0] * n), "internal_weight=" + row([1] * n),
        "internal_count=" + row([1] * n), "is_linear=0", "shrinkage=1", "", "", ""])


def lightgbm(objective, k, rounds=1, average=False, reach=800.0):
    trees = [tree(i, margins(k, reach)) for i in range(k * rounds)]
    head = ["tree", "version=v4", "num_class=%d" % k, "num_tree_per_iteration=%d" % k, "label_index=0",
            "max_feature_idx=0", "objective=" + objective] + (["average_output"] if average else []) + [
            "feature_names=x", "feature_infos=[0:%d]" % N, "tree_sizes=" + " ".join(str(len(t)) for t in trees), "", ""]
    text = "\n".join(head) + "".join(trees) + "end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n\npandas_categorical:null\n"
    b = lgb.Booster(model_str=text)
    x = np.arange(N, dtype=float).reshape(-1, 1)
    return b.predict(x, raw_score=True).ravel().tolist(), b.predict(x).ravel().tolist()


def xgboost(objective, k, reach=200.0, **more):
    x = np.zeros((N, 1), dtype=np.float32)
    x[::2] = 1
    y = np.arange(N) % max(k, 2)
    params = {"objective": objective, "max_depth": 1, "eta": 1e-30}
    params.update(more)
    if k > 1 and not more:
        params["num_class"] = k
    b = xgb.train(params, xgb.DMatrix(x, label=y), 0)
    base = np.array([margins(k, reach) for _ in range(k)], dtype=np.float32).T.copy()
    d = xgb.DMatrix(x, base_margin=base if k > 1 else base.ravel())
    raw = b.predict(d, output_margin=True)
    return raw.ravel().astype(float).tolist(), b.predict(d).ravel().astype(float).tolist()


cases = []


def add(library, link, outputs, pair, slope=1.0, divisor=1.0):
    raw, pred = pair
    assert np.isfinite(raw).all(), link
    cases.append({"Library": library, "Link": link, "Outputs": outputs, "Slope": slope, "Divisor": divisor,
                  "Margins": raw, "Predictions": [repr(v) for v in pred]})


add("lightgbm", "Identity", 1, lightgbm("regression", 1))
add("lightgbm", "SignedSquare", 1, lightgbm("regression sqrt", 1))
add("lightgbm", "Sigmoid", 1, lightgbm("binary sigmoid:1", 1))
add("lightgbm", "Sigmoid", 1, lightgbm("binary sigmoid:0.7", 1), slope=0.7)
add("lightgbm", "Sigmoid", 1, lightgbm("binary sigmoid:1", 1, rounds=3, average=True), divisor=3.0)
add("lightgbm", "Softmax", 3, lightgbm("multiclass num_class:3", 3))
add("lightgbm", "Softmax", 3, lightgbm("multiclass num_class:3", 3, rounds=3, average=True, reach=5.0), divisor=3.0)
add("lightgbm", "OneVsAll", 3, lightgbm("multiclassova num_class:3 sigmoid:1.7", 3), slope=1.7)
add("lightgbm", "Exp", 1, lightgbm("poisson", 1))
add("lightgbm", "Log1pExp", 1, lightgbm("cross_entropy_lambda", 1))
add("xgboost", "Identity", 1, xgboost("reg:squarederror", 1))
add("xgboost", "Sigmoid", 1, xgboost("binary:logistic", 1))
add("xgboost", "Exp", 1, xgboost("count:poisson", 1))
add("xgboost", "Hinge", 1, xgboost("binary:hinge", 1))
add("xgboost", "Softmax", 4, xgboost("multi:softprob", 4))
add("xgboost", "ArgMax", 4, xgboost("multi:softmax", 4))
add("xgboost", "Ascending", 5, xgboost("reg:quantileerror", 5, quantile_alpha=[0.1, 0.3, 0.5, 0.7, 0.9]))
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "links.json")
with open(path, "w") as f:
    json.dump(cases, f, separators=(",", ":"))
    f.write("\n")
