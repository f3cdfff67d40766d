"""Trains the golden models with old libraries: LightGBM 3.3.5 and XGBoost 1.7.6 (make golden).

With another release first on the path it writes fewer models, for what only that release does:

    pip install --no-deps --target DIR xgboost==2.1.4 && PYTHONPATH=DIR python generate_legacy.py

for lightgbm 2.2.3 (files of version v2), xgboost 1.7.1, 2.1.4, 3.1.3, 3.2.0 and scikit-learn 1.0.2, 1.3.2, 1.4.2, 1.6.1.
"""

import sys
import warnings

import lightgbm as lgb

import models
import sk


def main(only):
    warnings.filterwarnings("ignore")

    def chosen(names):
        return [n for n in names if not only or n in only]

    if lgb.__version__.startswith("2."):
        models.LGB_BASE.pop("deterministic")
        models.run(chosen(models.LGB_V2), lambda n: models.lgb_case(lgb, n, lgb.__version__))
        return
    if sk.RELEASE != (1, 2):
        trees = {**sk.SK, **sk.SK_NEW, **sk.SK_NEWER}
        names = sk.SK_MIDDLE + list(sk.SK_NEW if sk.RELEASE >= (1, 4) else []) + list(sk.SK_NEWER if sk.RELEASE >= (1, 6) else [])
        models.run(chosen(names), lambda n: sk.sk_case(n, trees[n]))
        return
    import xgboost as xgb

    version = tuple(int(n) for n in xgb.__version__.split("."))
    if version != (1, 7, 6):
        models.run(chosen(models.XGB_MIDDLE), lambda n: models.xgb_case(xgb, n, xgb.__version__))
        if version > (3, 1):
            models.run(chosen(["pandas-numbers"]), lambda n: models.xgb_case(xgb, n, xgb.__version__))
            models.xgb_cut_names(xgb, xgb.__version__)
        return
    models.run(chosen(sk.SK_LEGACY), lambda n: sk.sk_case(n, sk.SK[n]))
    models.run(chosen(sk.LGB_WRAPPERS_LEGACY), lambda n: sk.wrapper_case(lgb, n, sk.LGB_WRAPPERS[n]))
    models.run(chosen(sk.XGB_WRAPPERS_LEGACY), lambda n: sk.wrapper_case(xgb, n, sk.XGB_WRAPPERS[n]))
    models.run(chosen(models.LGB_LEGACY), lambda n: models.lgb_case(lgb, n, lgb.__version__))
    models.run(chosen(models.XGB_LEGACY), lambda n: models.xgb_case(xgb, n, xgb.__version__, binary=True))
    if not only:
        models.lgb_linear(lgb, lgb.__version__)
        models.xgb_refused(xgb, "gblinear", xgb.__version__, "gblinear", "dense", "",
                           dict(booster="gblinear", tree_method="auto"), binary=True)


if __name__ == "__main__":
    main(sys.argv[1:])
