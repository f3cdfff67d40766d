"""Trains small models and writes what the importer's test compares: python train.py DIRECTORY."""

import pathlib
import sys

import numpy as np
from catboost import CatBoostClassifier, CatBoostRegressor
from sklearn.ensemble import HistGradientBoostingClassifier

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "peers"))
import models  # noqa: E402

out = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(1)
x = rng.standard_normal((4000, 5))
x[:, 2] = np.round(x[:, 2])
y = (x[:, 0] * x[:, 1] + x[:, 2] > 0).astype(np.int32)
x[rng.random(x.shape) < 0.1] = np.nan
x[0], x[1] = -np.inf, np.inf
x.T.astype(np.float64).tofile(out / "columns")

hist = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=15, random_state=1).fit(x[2:], y[2:])
models.export_histogram(hist, out / "hist.json")
hist.predict_proba(x)[:, 1].tofile(out / "hist.expected")

single = x.astype(np.float32)
classifier = CatBoostClassifier(iterations=40, depth=5, random_seed=1, verbose=False, allow_writing_files=False)
classifier.fit(single[2:], y[2:])
classifier.save_model(str(out / "catboost.json"), format="json")
classifier.predict(single, prediction_type="RawFormulaVal").tofile(out / "catboost.expected")

regressor = CatBoostRegressor(iterations=20, depth=3, nan_mode="Max", random_seed=1, verbose=False, allow_writing_files=False)
regressor.fit(single[2:], y[2:] * 3.0)
regressor.set_scale_and_bias(1.7, 0.3)
regressor.save_model(str(out / "catboost-scaled.json"), format="json")
regressor.predict(single).tofile(out / "catboost-scaled.expected")
