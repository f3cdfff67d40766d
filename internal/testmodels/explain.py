"""Trains models as live.py does, and asks the libraries to explain them: explain.py DIR SEED COUNT.

Beside each case it writes, in native byte order and row-major:
  contributions.f64   rows x outputs x (features+1): LightGBM's pred_contrib, XGBoost's pred_contribs; none for scikit-learn
  leaves.i32          rows x trees: pred_leaf of both, scikit-learn's apply
"""

import sys

import numpy as np

import lightgbm as lgb
import xgboost as xgb

import corpus
import live
import sk

found = {}


def explained(write):
    def write_case(where, table, rows, *args, **facts):
        write(where, table, rows, *args, **facts)
        if "contributions" in found:
            np.ascontiguousarray(found["contributions"], dtype=np.float64).tofile(where / "contributions.f64")
        np.ascontiguousarray(found["leaves"], dtype=np.int32).tofile(where / "leaves.i32")
        found.clear()

    return write_case


def lightgbm(predict):
    def raw(self, x, **kwargs):
        if kwargs.get("raw_score"):
            found.update(contributions=predict(self, x, pred_contrib=True), leaves=predict(self, x, pred_leaf=True))
        return predict(self, x, **kwargs)

    return raw


def xgboost(predict):
    def raw(self, d, **kwargs):
        if kwargs.get("output_margin"):
            found.update(contributions=predict(self, d, pred_contribs=True), leaves=predict(self, d, pred_leaf=True))
        return predict(self, d, **kwargs)

    return raw


def scikit_learn(scores):
    def raw(m, x):
        found.update(leaves=m.apply(x))
        return scores(m, x)

    return raw


if __name__ == "__main__":
    corpus.write_case = explained(corpus.write_case)
    lgb.Booster.predict = lightgbm(lgb.Booster.predict)
    xgb.Booster.predict = xgboost(xgb.Booster.predict)
    sk.sk_scores = scikit_learn(sk.sk_scores)
    live.main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
