"""What a caller passes to XGBoost at prediction and the model file does not hold: missing, base_margin, iteration_range;
and the early stopping that scikit-learn's wrapper heeds and Booster.predict does not.

Writes binary.json, multi.json, early.json and rows of both with the library's own results for each setting. Run it in the venv of the
Python tests: python cmd/ctl/testdata/xgboost/generate.py
"""

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(20240601)
rows, features, classes = 400, 4, 3
names = [f"f{i}" for i in range(features)]
x = rng.normal(size=(rows, features)).astype(np.float64)
x[rng.random(x.shape) < 0.15] = -999.0
x[rng.random(x.shape) < 0.05] = np.nan
clean = np.where(x == -999.0, np.nan, x)
label = (np.nansum(clean, axis=1) > 0).astype(int)
kind = np.digitize(np.nansum(clean, axis=1), [-1.0, 1.0])
margin = rng.normal(size=rows).astype(np.float32)
margins = rng.normal(size=(rows, classes)).astype(np.float32)


def data(target=None, base=None, missing=-999.0):
    return xgb.DMatrix(x, label=target, feature_names=names, missing=missing, base_margin=base)


def write(name, booster, base_columns, raw_pred):
    columns = {n: x[:, i] for i, n in enumerate(names)} | base_columns
    for prefix, values in zip(("raw", "pred"), raw_pred):
        if values.ndim == 1:
            columns[prefix] = values
        else:
            columns |= {f"{prefix}_{k}": values[:, k] for k in range(values.shape[1])}
    pq.write_table(pa.table(columns), here / f"{name}.parquet", compression="zstd")


def both(booster, matrix, **options):
    return booster.predict(matrix, output_margin=True, **options), booster.predict(matrix, **options)


common = {"max_depth": 3, "tree_method": "hist", "nthread": 1, "seed": 1}
binary = xgb.train(common | {"objective": "binary:logistic"}, data(label), 8)
multi = xgb.train(common | {"objective": "multi:softprob", "num_class": classes}, data(kind), 6)
binary.save_model(here / "binary.json")
multi.save_model(here / "multi.json")
write("missing", binary, {}, both(binary, data()))
write("not_missing", binary, {}, both(binary, data(missing=np.nan)))
write("margin", binary, {"offset": margin}, both(binary, data(base=margin)))
write("rounds", binary, {}, both(binary, data(), iteration_range=(0, 3)))
write("margins", multi, {f"offset_{k}": margins[:, k] for k in range(classes)}, both(multi, data(base=margins)))

noisy = np.where(rng.random(rows) < 0.2, 1 - label, label)
wrapper = xgb.XGBClassifier(**common, n_estimators=40, learning_rate=0.2, early_stopping_rounds=4, missing=-999.0)
wrapper.fit(x[:200], label[:200], eval_set=[(x[200:], noisy[200:])], verbose=False)
early = wrapper.get_booster()
early.feature_names = names
assert early.best_iteration + 1 < early.num_boosted_rounds(), "training did not stop early"
print("early.json: best iteration", early.best_iteration, "of", early.num_boosted_rounds())
early.save_model(here / "early.json")
write("early_all", early, {}, both(early, data()))
early.feature_names = None
write("early_wrapper", early, {}, (wrapper.predict(x, output_margin=True), wrapper.predict_proba(x)[:, 1]))
