"""Trains random models with the installed LightGBM, XGBoost and scikit-learn: live.py DIR SEED COUNT. Writes cases as corpus.py does.

The loaders' live test runs it: a new seed each time, so that parity does not rest on the committed corpus alone.
"""

import logging
import pathlib
import sys
import warnings

import numpy as np

import lightgbm as lgb
import xgboost as xgb

import corpus
import models
import sk


def choose(rng, values):
    return values[rng.integers(len(values))]


def spec(rng):
    return choose(rng, ["f64", "f64:3", "f32", "dense", "ints", "codes:6", f"codes:{rng.integers(33, 300)}",
                        f"strings:{rng.integers(3, 90)}", "numbers"])


def lightgbm_model(rng):
    objective, label = choose(rng, [
        ("binary", "binary"), ("regression", ""), ("multiclass", "class3"), ("multiclassova", "class4"),
        ("poisson", "count"), ("tweedie", "tweedie"), ("gamma", "positive"), ("cross_entropy", "unit"),
        ("cross_entropy_lambda", "unit"), ("quantile", ""), ("lambdarank", "rank")])
    params = dict(objective=objective, num_leaves=int(rng.integers(2, 64)), min_data_in_leaf=int(rng.integers(1, 20)),
                  min_data_per_group=int(rng.integers(1, 20)), cat_smooth=float(rng.integers(0, 10)),
                  learning_rate=float(rng.uniform(0.05, 0.6)), max_cat_to_onehot=int(rng.integers(1, 10)))
    if objective.startswith("multiclass"):
        params["num_class"] = int(label[5:])
    if objective in ("binary", "multiclassova"):
        params["sigmoid"] = float(round(rng.uniform(0.3, 3), 3))
    boosting = choose(rng, ["gbdt", "gbdt", "dart", "rf"])
    if boosting == "dart":
        params.update(boosting="dart", drop_rate=0.4, skip_drop=0.2)
    elif boosting == "rf":
        params.update(boosting="rf", bagging_freq=1, bagging_fraction=0.6)
    params.update(choose(rng, [{}, {}, dict(zero_as_missing=True), dict(use_missing=False)]))
    return spec(rng), label, int(rng.integers(1, 20)), params


def xgboost_model(rng):
    objective, label = choose(rng, [
        ("binary:logistic", "binary"), ("reg:squarederror", ""), ("multi:softprob", "class3"),
        ("multi:softmax", "class4"), ("count:poisson", "count"), ("reg:gamma", "positive"),
        ("reg:tweedie", "tweedie"), ("reg:logistic", "unit"), ("rank:ndcg", "rank"), ("reg:absoluteerror", ""),
        ("binary:hinge", "binary"), ("reg:pseudohubererror", ""), ("reg:quantileerror", "")])
    params = dict(objective=objective, max_depth=int(rng.integers(1, 9)), eta=float(rng.uniform(0.05, 1)),
                  min_child_weight=float(choose(rng, [0, 1, 5])), max_cat_to_onehot=int(rng.integers(1, 60)),
                  tree_method=choose(rng, ["hist", "hist", "approx"]), gamma=float(choose(rng, [0, 0, 0.3])))
    if objective.startswith("multi:"):
        params["num_class"] = int(label[5:])
    if objective == "reg:quantileerror":
        params["quantile_alpha"] = choose(rng, [0.4, [0.1, 0.9], [0.05, 0.25, 0.5, 0.75, 0.95]])
    if rng.random() < 0.3:
        params.update(booster="dart", rate_drop=0.4)
    if rng.random() < 0.3:
        params.update(num_parallel_tree=int(rng.integers(2, 5)), subsample=0.6)
    if objective in ("binary:logistic", "count:poisson") and rng.random() < 0.5:
        params["base_score"] = float(rng.uniform(0.01, 0.99))
    return spec(rng), label, int(rng.integers(1, 12)), params


def sklearn_model(rng, first):
    cls = choose(rng, ["RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor",
                       "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"])
    params = dict(random_state=int(rng.integers(1 << 30)))
    if "Forest" in cls or "Trees" in cls:
        params.update(n_estimators=int(rng.integers(1, 25)), bootstrap=bool(rng.integers(2)))
    params.update(choose(rng, [{}, dict(max_depth=int(rng.integers(1, 12))), dict(max_leaf_nodes=int(rng.integers(2, 60))),
                               dict(min_samples_leaf=int(rng.integers(1, 30)))]))
    params.update(choose(rng, [{}, {}, dict(ccp_alpha=0.003), dict(max_features=int(rng.integers(1, 4)))]))
    if cls.endswith("Classifier"):
        label = choose(rng, ["binary", "strings", "objects", "bools", "floats", "negative", "class3", f"class{rng.integers(4, 30)}"])
        params["criterion"] = choose(rng, ["gini", "entropy", "log_loss"])
        params["class_weight"] = choose(rng, [None, "balanced"])
    else:
        params["criterion"], label = choose(rng, [("squared_error", ""), ("poisson", "count"), ("absolute_error", "")])
    spec = choose(rng, ["f64", "f64:3", "f32", "dense", "ints", "names"])
    if spec in ("f64", "f64:3", "f32") and params["criterion"] == "absolute_error":
        spec = "dense"  # slow otherwise
    forms = [f for f in sk.FORMS if "mlflow" not in f]
    forms = [forms[i] for i in rng.permutation(len(forms))[:2]]
    if first:
        forms.append(choose(rng, ["mlflow-skops", "mlflow-cloudpickle"]))
    return cls, spec, label, params, tuple(forms)


def main(where, seed, count):
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    corpus.CORPUS = pathlib.Path(where)
    models.SEED = [seed]
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        name = f"live-{i}"
        if i % 3 == 2:
            sk.sk_case(name, sklearn_model(rng, i == 2))
        elif i % 2 == 0:
            models.LGB[name] = lightgbm_model(rng)
            models.lgb_case(lgb, name, lgb.__version__)
        else:
            models.XGB[name] = xgboost_model(rng)
            models.xgb_case(xgb, name, xgb.__version__)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
