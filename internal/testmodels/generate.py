"""Trains the golden models with the current libraries: LightGBM 4.7.0, XGBoost 3.4.1, scikit-learn 1.9.1 (make golden)."""

import sys

import lightgbm as lgb
import xgboost as xgb

import models
import sk


def main(only):
    def chosen(names):
        return [n for n in names if not only or n in only]

    models.run(chosen(models.LGB), lambda n: models.lgb_case(lgb, n, lgb.__version__))
    models.run(chosen(models.XGB), lambda n: models.xgb_case(xgb, n, xgb.__version__))
    trees = {**sk.SK, **sk.SK_NEW, **sk.SK_NEWER}
    models.run(chosen(trees), lambda n: sk.sk_case(n, trees[n]))
    models.run(chosen(sk.LGB_WRAPPERS), lambda n: sk.wrapper_case(lgb, n, sk.LGB_WRAPPERS[n]))
    models.run(chosen(sk.XGB_WRAPPERS), lambda n: sk.wrapper_case(xgb, n, sk.XGB_WRAPPERS[n]))
    if not only or only == ["refused"]:
        sk.sk_refused()
        sk.mlflow_refused()
        sk.softmax_refused(xgb)
    if not only:
        models.lgb_linear(lgb, lgb.__version__)
        version = xgb.__version__
        models.xgb_refused(xgb, "gblinear", version, "gblinear", "dense", "",
                           dict(booster="gblinear", tree_method="auto"))
        models.xgb_refused(xgb, "vector-leaf", version, "vector leaves", "dense", "targets",
                           dict(multi_strategy="multi_output_tree"))
        models.xgb_refused(xgb, "expectile-3", version, "reg:expectileerror with several alphas", "dense", "",
                           dict(objective="reg:expectileerror", expectile_alpha=[0.1, 0.5, 0.9]))


if __name__ == "__main__":
    main(sys.argv[1:])
