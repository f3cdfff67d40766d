"""Forests and trees of scikit-learn, and the scikit-learn wrappers of LightGBM and XGBoost, in every serialisation.

The cases lie beside those of models.py. A model may be a directory, which MLflow wrote.
"""

import pathlib
import pickle
import zipfile

import joblib
import numpy as np
import pandas as pd
import scipy.sparse
import sklearn
import sklearn.datasets
from sklearn import ensemble, tree

import corpus
import models
from models import N

RELEASE = tuple(int(n) for n in sklearn.__version__.split(".")[:2])


# ---------------------------------------------------------------------------------------------------------------------
# Serialisations: name of the file or directory -> how it is written


def write_pickle(protocol):
    return lambda m, path, _: path.write_bytes(pickle.dumps(m, protocol=protocol))


def write_cloudpickle(m, path, _):
    import cloudpickle
    path.write_bytes(cloudpickle.dumps(m))


def write_joblib(compress):
    return lambda m, path, _: joblib.dump(m, path, compress=compress)


def write_unaligned(m, path, _):
    """As joblib before 1.2: no padding before arrays. joblib reads such files still."""
    init = joblib.numpy_pickle.NumpyArrayWrapper.__init__

    def old(self, *args, **kwargs):
        init(self, *args, **kwargs)
        del self.numpy_array_alignment_bytes

    joblib.numpy_pickle.NumpyArrayWrapper.__init__ = old
    try:
        joblib.dump(m, path)
    finally:
        joblib.numpy_pickle.NumpyArrayWrapper.__init__ = init


def write_skops(compression):
    def write(m, path, _):
        import skops.io
        skops.io.dump(m, path, compression=compression, compresslevel=9)
    return write


def write_mlflow(serialization=None, signature=True, trusted=("sklearn.tree._tree.Tree",), **more):
    """MLflow's flavour of the model; signature: the columns of the training table, under their own names."""

    def write(m, path, x):
        import mlflow
        module = type(m).__module__.split(".")[0]
        kwargs = dict(more, pip_requirements=[module])  # finding them out would start another Python
        if signature:
            frame = x if isinstance(x, pd.DataFrame) else pd.DataFrame(x, columns=[f"c{i} µ" for i in range(x.shape[1])])
            kwargs["signature"] = mlflow.models.infer_signature(frame)
        if module == "sklearn":
            kwargs["serialization_format"] = serialization
            if serialization == "skops":
                kwargs["skops_trusted_types"] = list(trusted)
            mlflow.sklearn.save_model(m, str(path), **kwargs)
        else:
            getattr(mlflow, module).save_model(m, str(path), **kwargs)
        for name in ("conda.yaml", "python_env.yaml", "requirements.txt"):
            (path / name).unlink()
    return write


FORMS = {
    "protocol2.pkl": write_pickle(2), "protocol3.pkl": write_pickle(3), "model.pkl": write_pickle(4),
    "protocol5.pkl": write_pickle(5), "cloud.pkl": write_cloudpickle,
    "model.joblib": write_joblib(0), "unaligned.joblib": write_unaligned, "zlib.joblib": write_joblib(("zlib", 9)), "gzip.joblib": write_joblib(("gzip", 6)),
    "bz2.joblib": write_joblib(("bz2", 9)), "lzma.joblib": write_joblib(("lzma", 6)), "xz.joblib": write_joblib(("xz", 6)),
    "model.skops": write_skops(zipfile.ZIP_STORED), "deflated.skops": write_skops(zipfile.ZIP_DEFLATED),
    "mlflow-skops": write_mlflow("skops"), "mlflow-cloudpickle": write_mlflow("cloudpickle"),
    "mlflow-pickle": write_mlflow("pickle", signature=False), "mlflow": write_mlflow(), "mlflow-plain": write_mlflow(signature=False),
}


def load(path):
    """What the library itself reads from the file: the golden scores come from this."""
    if path.suffix == ".skops":
        import skops.io
        return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    if path.suffix == ".joblib":
        return joblib.load(path)
    return pickle.loads(path.read_bytes())


# ---------------------------------------------------------------------------------------------------------------------
# scikit-learn


def target(rng, y, kind):
    """Labels: class<k>, strings, bools, floats, or what models.labels knows."""
    if kind == "strings":
        return np.array(["stays", "geht ß"])[(y > np.median(y)).astype(int)]
    if kind == "objects":
        return np.array(["no", "yes", "maybe 日本"], dtype=object)[models.labels(rng, y, "class3").astype(int)]
    if kind == "bools":
        return y > np.median(y)
    if kind == "floats":
        return (y > np.median(y)).astype(float)
    if kind == "negative":
        return models.labels(rng, y, "class4").astype(int) * 5 - 7
    if kind.startswith("class"):
        return models.labels(rng, y, kind).astype(int)
    return models.labels(rng, y, kind)


FEW = ("model.pkl", "deflated.skops")

# name: (estimator, table, label, parameters, serialisations); "fit" says how it is trained
SK = {
    "formats": ("RandomForestClassifier", "names", "strings", dict(n_estimators=3, max_depth=3), tuple(FORMS)[:17]),
    "formats-nameless": ("RandomForestClassifier", "dense", "class3", dict(n_estimators=2, max_depth=3),
                         ("model.pkl", "model.joblib", "mlflow-skops", "mlflow-cloudpickle")),
    "rf-binary": ("RandomForestClassifier", "dense", "binary", dict(n_estimators=20, max_depth=8), ("zlib.joblib",)),
    "rf-objects": ("RandomForestClassifier", "names", "objects", dict(n_estimators=7, max_depth=4), ("model.joblib", "deflated.skops")),
    "rf-bools": ("RandomForestClassifier", "ints", "bools", dict(n_estimators=7, max_depth=4), FEW),
    "rf-floats": ("RandomForestClassifier", "dense", "floats", dict(n_estimators=7, max_depth=4), FEW),
    "rf-negative": ("RandomForestClassifier", "dense", "negative", dict(n_estimators=7, max_depth=4), ("protocol5.pkl",)),
    "rf-12": ("RandomForestClassifier", "dense", "class12", dict(n_estimators=5, max_depth=5), ("cloud.pkl",)),
    "rf-20": ("ExtraTreesClassifier", "dense", "class20", dict(n_estimators=4, max_depth=5, class_weight="balanced"), ("zlib.joblib",)),
    "rf-weights": ("RandomForestClassifier", "dense", "class3", dict(n_estimators=9, max_depth=6, class_weight="balanced_subsample"),
                   ("xz.joblib",)),
    "rf-row-weights": ("RandomForestClassifier", "dense", "class12", dict(n_estimators=6, max_depth=5, fit="weights"), ("zlib.joblib",)),
    "rf-entropy": ("RandomForestClassifier", "f32", "binary", dict(n_estimators=6, criterion="entropy"), ("gzip.joblib",)),
    "rf-unlimited": ("RandomForestClassifier", "dense", "binary", dict(n_estimators=12), ("zlib.joblib",)),
    "rf-leaves": ("RandomForestClassifier", "dense", "class3", dict(n_estimators=8, max_leaf_nodes=17), FEW),
    "rf-no-bootstrap": ("RandomForestClassifier", "dense", "binary", dict(n_estimators=6, bootstrap=False, max_depth=5), ("protocol2.pkl",)),
    "rf-oob": ("RandomForestClassifier", "dense", "binary", dict(n_estimators=15, oob_score=True, max_depth=4), ("zlib.joblib",)),
    "rf-sparse": ("RandomForestClassifier", "dense", "binary", dict(n_estimators=6, max_depth=5, fit="sparse"), ("model.joblib",)),
    "rf-state": ("RandomForestClassifier", "dense", "binary", dict(n_estimators=3, max_depth=3, random_state=np.random.RandomState(5)), FEW),
    "rf-pruned": ("RandomForestClassifier", "dense", "class3", dict(n_estimators=5, ccp_alpha=0.01), FEW),
    "rf-extremes": ("RandomForestClassifier", "extremes", "binary", dict(n_estimators=10, max_depth=6), ("zlib.joblib",)),
    "rf-tiny-values": ("ExtraTreesRegressor", "tiny-values", "", dict(n_estimators=6, max_depth=6), ("zlib.joblib",)),
    "rf-regression": ("RandomForestRegressor", "dense", "", dict(n_estimators=9, max_depth=6), ("xz.joblib", "model.pkl")),
    "rf-regression-names": ("RandomForestRegressor", "names", "", dict(n_estimators=5, max_depth=5), ("model.pkl", "deflated.skops")),
    "rf-poisson": ("RandomForestRegressor", "dense", "count", dict(n_estimators=5, max_depth=5, criterion="poisson"), FEW),
    "rf-friedman": ("RandomForestRegressor", "dense", "", dict(n_estimators=4, max_depth=5, criterion="friedman_mse"), ("zlib.joblib",)),
    "rf-absolute": ("RandomForestRegressor", "dense", "", dict(n_estimators=4, max_depth=5, criterion="absolute_error"), ("zlib.joblib",)),
    "et-binary": ("ExtraTreesClassifier", "dense", "binary", dict(n_estimators=8, max_depth=7), ("zlib.joblib",)),
    "et-multiclass": ("ExtraTreesClassifier", "dense", "class4", dict(n_estimators=6, max_depth=5), ("bz2.joblib",)),
    "et-regression": ("ExtraTreesRegressor", "dense", "", dict(n_estimators=6, max_depth=6), ("lzma.joblib",)),
    "dt-binary": ("DecisionTreeClassifier", "dense", "strings", dict(max_depth=6), ("model.pkl", "model.joblib", "model.skops")),
    "dt-multiclass": ("DecisionTreeClassifier", "ints", "class4", dict(), FEW),
    "dt-regression": ("DecisionTreeRegressor", "dense", "", dict(), ("zlib.joblib",)),
    "dt-leaves": ("DecisionTreeRegressor", "dense", "", dict(max_leaf_nodes=40), FEW),
    "dt-random": ("DecisionTreeClassifier", "dense", "class3", dict(splitter="random", max_depth=6), FEW),
    "dt-leaf": ("DecisionTreeClassifier", "dense", "binary", dict(max_depth=5, min_samples_leaf=400), ("model.pkl", "model.skops")),
    "dt-stump": ("DecisionTreeRegressor", "dense", "", dict(max_depth=1), ("model.pkl", "model.skops")),
    "dt-weights": ("DecisionTreeClassifier", "dense", "class4", dict(max_depth=5, class_weight={0: 0.1, 1: 3.7, 2: 1, 3: 0.3}), FEW),
    "extra-tree": ("ExtraTreeClassifier", "dense", "class3", dict(max_depth=6), FEW),
    "extra-tree-regression": ("ExtraTreeRegressor", "dense", "", dict(max_depth=6), FEW),
}

# since 1.4, with missing values in training, and constraints
SK_NEW = {
    "rf-nan": ("RandomForestClassifier", "f64", "binary", dict(n_estimators=9, max_depth=7), ("zlib.joblib",)),
    "rf-nan-multiclass": ("RandomForestClassifier", "f64", "class4", dict(n_estimators=6, max_depth=5), ("zlib.joblib",)),
    "rf-nan-regression": ("RandomForestRegressor", "f64", "", dict(n_estimators=6, max_depth=6), ("zlib.joblib",)),
    "dt-nan": ("DecisionTreeClassifier", "f64", "class3", dict(max_depth=7), FEW),
    "dt-nan-regression": ("DecisionTreeRegressor", "f32", "", dict(max_depth=7), FEW),
    "rf-monotonic": ("RandomForestClassifier", "dense", "binary", dict(n_estimators=6, max_depth=6,
                                                                      monotonic_cst=[1, -1, 0, 1, -1, 0]), FEW),
    "rf-monotonic-regression": ("RandomForestRegressor", "dense", "", dict(n_estimators=5, max_depth=5,
                                                                          monotonic_cst=[-1, 1, 0, 0, -1, 0]), FEW),
}
SK_NEWER = {  # since 1.6
    "et-nan": ("ExtraTreesClassifier", "f64", "binary", dict(n_estimators=8, max_depth=7), ("zlib.joblib",)),
    "et-nan-regression": ("ExtraTreesRegressor", "f64", "", dict(n_estimators=6, max_depth=6), ("zlib.joblib",)),
    "dt-random-nan": ("DecisionTreeRegressor", "f64", "", dict(splitter="random", max_depth=6), FEW),
    "extra-tree-nan": ("ExtraTreeClassifier", "f64", "class3", dict(max_depth=6), FEW),
}
SK_LEGACY = ["formats", "rf-12", "rf-20", "rf-weights", "rf-row-weights", "rf-unlimited", "rf-leaves", "rf-objects",
             "rf-bools", "rf-regression", "rf-poisson", "et-multiclass", "et-regression", "dt-multiclass", "dt-binary",
             "dt-regression", "dt-weights", "extra-tree", "extra-tree-regression", "dt-leaf"]
SK_MIDDLE = ["rf-12", "rf-row-weights", "dt-weights", "rf-regression", "dt-multiclass", "et-regression"]


def table_of(rng, spec):
    if spec == "extremes":  # around the ends of float32
        t = corpus.Table(models.columns_numeric("f64", 4), frame=False)
        data = {n: rng.choice([3.4028234663852886e38, -3.4028234663852886e38, 3.40282346e38, 1e38, -1e38, 2e38, 0.0, 1e-45], N)
                for n in t.columns}
        return t, data
    if spec == "tiny-values":  # denormals of float32, and thresholds between them
        t = corpus.Table(models.columns_numeric("f64", 4), frame=False)
        data = {n: rng.integers(-6, 7, N) * float(np.float32(1e-45)) * (1 if i % 2 else 7) for i, n in enumerate(t.columns)}
        return t, data
    return models.table_of(rng, spec)


def trees_of(m):
    return [e.tree_ for e in getattr(m, "estimators_", [m])]


def accepts_missing(m, x):
    x = np.array(np.asarray(x, dtype=np.float64)[:3])
    x[:, 0] = np.nan
    try:
        m.predict(x)
    except ValueError:
        return False
    return True


def sk_train(name, spec):
    cls, columns, label, params, _ = spec
    params = dict(params)
    fit = params.pop("fit", "")
    rng = models.rng_of("scikit-learn", sklearn.__version__, name)
    table, data = table_of(rng, columns)
    if RELEASE < (1, 4):  # nothing missing
        data = {n: np.nan_to_num(v, nan=-0.7) if np.asarray(v).dtype.kind == "f" else v for n, v in data.items()}
    scaled = {n: np.asarray(v, dtype=float) for n, v in data.items()}
    if columns in ("extremes", "tiny-values"):
        scaled = {n: v / np.abs(v).max() for n, v in scaled.items()}
    y = models.signal(rng, table, scaled)
    if columns == "names" or columns == "ints":  # the library refuses NaN in some of them before 1.4, and keeps ints
        data = {n: np.where(np.isnan(v), 0.3, v) if np.asarray(v).dtype.kind == "f" else v for n, v in data.items()}
    module = ensemble if hasattr(ensemble, cls) else tree
    if not any(k == "random_state" for k in params):
        params["random_state"] = 11
    if params.get("criterion") == "friedman_mse" and RELEASE >= (1, 9):
        params["criterion"] = "squared_error"
    m = getattr(module, cls)(**params)
    x = table.build(data)
    t = target(rng, y, label)
    if fit == "weights":
        m.fit(x, t, sample_weight=rng.exponential(size=N) + 0.01)
    elif fit == "sparse":
        m.fit(scipy.sparse.csr_matrix(np.where(np.abs(x) < 0.5, 0, x)), t)
    else:
        m.fit(x, t)
    return table, data, x, m


def sk_scores(m, x):
    if not hasattr(m, "predict_proba"):
        p = m.predict(x)
    else:
        p = m.predict_proba(x)
        p = p[:, 1] if p.shape[1] == 2 else p
    return np.ascontiguousarray(p, dtype=np.float64)


def sk_rows(rng, table, data, m):
    pool = models.pool_lists(data)
    thresholds = {(int(f), float(t)) for tr in trees_of(m) for f, t, l in zip(tr.feature, tr.threshold, tr.children_left) if l >= 0}
    limit = 200 if len(table.columns) < 6 else 260
    edges = corpus.edge_rows(rng, table, pool, sorted(thresholds), single=True, infinite=False, limit=limit)
    names = list(table.columns)
    exact = sorted(thresholds)
    for i in rng.permutation(len(exact))[:40]:  # the double itself
        f, t = exact[i]
        if table.columns[names[f]] != "f64":
            continue
        pick = int(rng.integers(N))
        for n in names:
            edges[n].append(pool[n][pick])
        edges[names[f]][-1] = t
    plain = rng.permutation(N)[:max(120, 330 - len(next(iter(edges.values()))))]
    rows = {n: [pool[n][i] for i in plain] + list(edges[n]) for n in names}
    if not accepts_missing(m, table.build({n: v[:3] for n, v in data.items()})):
        rows = {n: [0.3 if isinstance(v, float) and np.isnan(v) else v for v in column] for n, column in rows.items()}
    return {n: [float(np.clip(v, -3.4028234e38, 3.4028234e38)) if isinstance(v, float) else v for v in column]
            for n, column in rows.items()}


def sk_case(name, spec):
    version = sklearn.__version__
    table, data, x, m = sk_train(name, spec)
    where = corpus.case_dir("scikit-learn", version, name)
    forms = [f for f in spec[4] if RELEASE >= (1, 9) or not ("skops" in f or "mlflow" in f or "cloud" in f)] or ["model.pkl"]
    if RELEASE not in ((1, 2), (1, 9)):
        forms = ["zlib.joblib"]  # the other serialisations are those of 1.2 and 1.9
    for form in forms:
        FORMS[form](m, where / form, x)
    rows = sk_rows(models.rng_of("rows", "scikit-learn", version, name), table, data, m)
    built = table.build(rows)
    raw = sk_scores(m, built)
    for form in forms:
        if not (where / form).is_dir():
            assert np.array_equal(raw, sk_scores(load(where / form), built)), (name, form)
    criterion = m.criterion
    if not table.frame:
        table.columns = {f"x{i}": k for i, k in enumerate(table.columns.values())}
        rows = dict(zip(table.columns, rows.values()))
    corpus.write_case(where, table, rows, raw, raw, np.float64, library="scikit-learn", version=version,
                      objective=criterion, models=forms, accepts_missing=accepts_missing(m, np.zeros((3, len(table.columns)))),
                      classes=[class_text(c) for c in getattr(m, "classes_", [])])


def class_text(c):
    c = c.item() if isinstance(c, np.generic) else c
    return str(int(c)) if isinstance(c, float) and c.is_integer() else str(c)


def sk_refused():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 3))
    y = (x[:, 0] > 0).astype(int)
    rf = ensemble.RandomForestClassifier(2, max_depth=2, random_state=1)
    both = np.column_stack([y, 1 - y])
    for name, m, t, reason, forms in [
        ("pipeline", make_pipeline(StandardScaler(), rf), y, "sklearn.pipeline.Pipeline", FEW + ("mlflow-cloudpickle",)),
        ("search", GridSearchCV(rf, {"max_depth": [1]}, cv=2), y, "sklearn.model_selection._search.GridSearchCV", FEW),
        ("calibrated", CalibratedClassifierCV(rf, cv=2), y, "sklearn.calibration.CalibratedClassifierCV", FEW),
        ("two-outputs", rf, both, "multi-output models", FEW + ("model.joblib",)),
        ("two-targets", ensemble.ExtraTreesRegressor(2, max_depth=2), both, "multi-output models", FEW),
        ("one-class", tree.DecisionTreeClassifier(), np.zeros(60), "classifiers of a single class", FEW),
        ("boosting", ensemble.GradientBoostingClassifier(n_estimators=2), y,
         "sklearn.ensemble._gb.GradientBoostingClassifier", FEW),
        ("hist", ensemble.HistGradientBoostingRegressor(max_iter=2), y,
         "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor", FEW),
        ("isolation", ensemble.IsolationForest(n_estimators=2), None, "sklearn.ensemble._iforest.IsolationForest", ("model.pkl",)),
    ]:
        m.fit(x, t)
        write_refused("scikit-learn", sklearn.__version__, name, m, x, forms, reason)


def write_refused(library, version, name, m, x, forms, reason):
    where = corpus.case_dir(library, version, "refused-" + name)
    for form in forms:
        FORMS[form](m, where / form, x)
    corpus.write_json(where, library=library, version=version, models=list(forms), refused=reason)


def mlflow_refused():
    """Flavours that are not read: their names decide, whatever is in the directory."""
    import mlflow
    from catboost import CatBoostClassifier

    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 3))
    where = corpus.case_dir("mlflow", mlflow.__version__, "refused-catboost")
    m = CatBoostClassifier(iterations=1, depth=1, verbose=False, allow_writing_files=False).fit(x, x[:, 0] > 0)
    mlflow.catboost.save_model(m, str(where / "mlflow"))
    corpus.write_json(where, library="mlflow", version=mlflow.__version__, models=["mlflow"],
                      refused="MLflow models of the flavour catboost")

    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[str]:
            return model_input

    where = corpus.case_dir("mlflow", mlflow.__version__, "refused-pyfunc")
    mlflow.pyfunc.save_model(str(where / "mlflow"), python_model=Model())
    # cloudpickle writes down where the code of the class lies; the same number of bytes keeps the pickle readable.
    pickled = where / "mlflow" / "python_model.pkl"
    root = str(pathlib.Path(__file__).resolve().parents[2]).encode()
    pickled.write_bytes(pickled.read_bytes().replace(root, b"/" + b"x" * (len(root) - 1)))
    corpus.write_json(where, library="mlflow", version=mlflow.__version__, models=["mlflow"],
                      refused="MLflow models of the flavour python_function alone")
    for d in corpus.CORPUS.glob("mlflow-*/*/mlflow"):
        for name in ("conda.yaml", "python_env.yaml", "requirements.txt"):
            (d / name).unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------------------------------
# Wrappers of LightGBM and XGBoost

LGB_FORMS = ("model.pkl", "protocol5.pkl", "deflated.skops", "mlflow")

# name: (class, table, label, parameters, fit, serialisations)
LGB_WRAPPERS = {
    "wrapper-binary": ("LGBMClassifier", "names", "strings", dict(), "", LGB_FORMS),
    "wrapper-multiclass": ("LGBMClassifier", "f64", "objects", dict(), "", LGB_FORMS),
    "wrapper-ints": ("LGBMClassifier", "f64", "negative", dict(), "", ("model.joblib",)),
    "wrapper-early": ("LGBMClassifier", "f64", "binary", dict(n_estimators=60, learning_rate=0.3), "early", LGB_FORMS),
    "wrapper-rf": ("LGBMClassifier", "f64", "class3", dict(boosting_type="rf", bagging_freq=1, bagging_fraction=0.6,
                                                          n_estimators=5), "", ("model.pkl",)),
    "wrapper-regression": ("LGBMRegressor", "names", "", dict(), "", ("model.pkl", "mlflow", "zlib.joblib")),
    "wrapper-tweedie": ("LGBMRegressor", "f64", "tweedie", dict(objective="tweedie"), "", ("model.pkl",)),
    "wrapper-categories": ("LGBMClassifier", "strings", "binary", dict(min_child_samples=5), "", ("model.pkl", "mlflow-plain")),
    "booster-pickle": ("LGBMClassifier", "f64", "binary", dict(n_estimators=60, learning_rate=0.3), "early booster",
                       ("model.pkl", "protocol2.pkl")),
    "booster-mlflow": ("LGBMRegressor", "names", "", dict(), "booster", ("mlflow",)),
    "booster-mlflow-nameless": ("LGBMRegressor", "f64", "", dict(), "booster", ("mlflow", "mlflow-plain")),
}
XGB_FORMS = ("model.pkl", "protocol2.pkl", "deflated.skops", "mlflow")
XGB_WRAPPERS = {
    "wrapper-binary": ("XGBClassifier", "names", "binary", dict(), "", XGB_FORMS),
    "wrapper-multiclass": ("XGBClassifier", "f64", "class4", dict(), "", ("model.pkl", "mlflow")),
    "wrapper-early": ("XGBClassifier", "f64", "binary", dict(n_estimators=60, learning_rate=0.3, early_stopping_rounds=3), "early",
                      XGB_FORMS),
    "wrapper-early-multiclass": ("XGBClassifier", "f64", "class3", dict(n_estimators=60, learning_rate=0.3,
                                                                       early_stopping_rounds=2), "early", ("model.pkl", "mlflow")),
    "wrapper-missing": ("XGBClassifier", "dense", "binary", dict(missing=0.0), "missing", ("model.pkl", "deflated.skops")),
    "wrapper-hinge": ("XGBClassifier", "f64", "binary", dict(objective="binary:hinge"), "", ("model.pkl",)),
    "wrapper-regression": ("XGBRegressor", "names", "", dict(), "", ("zlib.joblib", "mlflow")),
    "wrapper-early-regression": ("XGBRegressor", "f64", "", dict(n_estimators=60, learning_rate=0.3, early_stopping_rounds=2), "early",
                                 ("model.pkl", "mlflow")),
    "wrapper-forest": ("XGBRFClassifier", "f64", "binary", dict(n_estimators=7), "", ("model.pkl", "mlflow")),
    "booster-pickle": ("XGBRegressor", "f64", "", dict(n_estimators=60, learning_rate=0.3, early_stopping_rounds=2), "early booster",
                       ("model.pkl", "cloud.pkl")),
    "booster-mlflow": ("XGBRegressor", "f64", "", dict(), "booster", ("mlflow",)),
}
LGB_WRAPPERS_LEGACY = ["wrapper-binary", "wrapper-multiclass", "wrapper-early", "wrapper-regression", "booster-pickle"]
XGB_WRAPPERS_LEGACY = ["wrapper-binary", "wrapper-multiclass", "wrapper-early", "wrapper-missing", "wrapper-early-regression"]


def wrapper_case(library, name, spec):
    cls, columns, label, params, fit, forms = spec
    version = library.__version__
    short = library.__name__
    rng = models.rng_of(short, version, name)
    table, data = table_of(rng, columns)
    y = models.signal(rng, table, data)
    base = dict(n_estimators=8, random_state=3, n_jobs=1)
    base.update(dict(num_leaves=15, verbose=-1, deterministic=True, force_row_wise=True) if short == "lightgbm"
                else dict(max_depth=4, tree_method="hist"))
    t = target(rng, y, label)
    if fit == "missing":
        data = {n: np.where(np.abs(v) < 0.3, 0.0, v) for n, v in data.items()}
    x = table.build(data)
    kwargs = {}
    if "early" in fit:
        noise = rng.permutation(t)
        noisy = np.where(rng.random(N) < 0.3, noise, t)
        kwargs["eval_set"] = [(x, noisy)]
        if short == "lightgbm":
            kwargs["callbacks"] = [library.early_stopping(3, verbose=False)]
        else:
            kwargs["verbose"] = False
    m = getattr(library, cls)(**{**base, **params}).fit(x, t, **kwargs)
    if "early" in fit:
        best = m.best_iteration_ if short == "lightgbm" else m.best_iteration + 1
        trained = (m.booster_.current_iteration() if short == "lightgbm" else m.get_booster().num_boosted_rounds())
        assert 1 < best, (name, best)
        assert best < trained or short == "lightgbm", (name, best, trained)  # its wrapper drops the later trees
    where = corpus.case_dir(short, version, name)
    booster = m.booster_ if short == "lightgbm" else m.get_booster()
    if name == "booster-pickle" and short == "lightgbm":  # with the trees after the best iteration
        train = library.Dataset(x, t, free_raw_data=False)
        params = {**m.booster_.params, "objective": "binary", "num_leaves": 15, "learning_rate": 0.3, "verbose": -1}
        for extra in ("num_iterations", "early_stopping_round"):
            params.pop(extra, None)
        booster = library.train(params, train, 40, valid_sets=[library.Dataset(x, noisy, reference=train)],
                                callbacks=[library.early_stopping(3, verbose=False)], keep_training_booster=True)
        assert 1 < booster.best_iteration < booster.current_iteration()
    saved = booster if "booster" in fit else m
    forms = [f for f in forms if RELEASE >= (1, 9) or not ("skops" in f or "mlflow" in f or "cloud" in f)]
    for form in forms:
        FORMS[form](saved, where / form, x)
    rng = models.rng_of("rows", short, version, name)
    pool = models.pool_lists(data)
    if short == "lightgbm":
        booster.save_model(str(where / "all.txt"), num_iteration=-1)
        thresholds = models.lgb_thresholds((where / "all.txt").read_text())
        objective = models.objective_text(where / "all.txt")
        (where / "all.txt").unlink()
    else:
        booster.save_model(str(where / "all.json"))
        thresholds = models.xgb_thresholds(where / "all.json")
        objective = models.json.loads((where / "all.json").read_text())["learner"]["objective"]["name"]
        (where / "all.json").unlink()
    limit = 200 if len(table.columns) < 6 else 260
    edges = corpus.edge_rows(rng, table, pool, thresholds, single=short == "xgboost", infinite=short == "lightgbm", limit=limit)
    plain = rng.permutation(N)[:max(120, 320 - len(next(iter(edges.values()))))]
    rows = {n: [pool[n][i] for i in plain] + edges[n] for n in table.columns}
    if getattr(table, "categories", None):
        models.add_unseen(table, rows)
    built = models.build_for_predict(table, rows)
    dtype = np.float64 if short == "lightgbm" else np.float32
    if "booster" in fit:
        if short == "lightgbm":
            raw, pred = saved.predict(built, raw_score=True), saved.predict(built)
        else:
            d = models.xgb_matrix(library, table, built)
            raw, pred = saved.predict(d, output_margin=True), saved.predict(d)
    else:
        raw, pred = wrapper_scores(short, m, built)
        for form in forms:
            if not (where / form).is_dir():
                again = wrapper_scores(short, load(where / form), built)
                assert np.array_equal(raw, again[0]) and np.array_equal(pred, again[1]), (name, form)
    facts = {}
    if hasattr(m, "classes_") and "booster" not in fit:
        facts["classes"] = [class_text(c) for c in m.classes_]
    if not table.frame:
        stem = "Column_" if short == "lightgbm" else "f"
        table.columns = {f"{stem}{i}": k for i, k in enumerate(table.columns.values())}
        rows = dict(zip(table.columns, rows.values()))
    corpus.write_case(where, table, rows, raw, pred, dtype, library=short, version=version, objective=objective,
                      models=forms, **facts)


def wrapper_scores(short, m, x):
    raw = m.predict(x, **({"raw_score": True} if short == "lightgbm" else {"output_margin": True}))
    if not hasattr(m, "predict_proba"):
        return raw, m.predict(x)
    p = m.predict_proba(x)
    return raw, p[:, 1] if p.shape[1] == 2 else p


def softmax_refused(xgb):
    rng = np.random.default_rng(6)
    x = rng.normal(size=(60, 3))
    m = xgb.XGBClassifier(n_estimators=2, objective="multi:softmax").fit(x, rng.integers(0, 3, 60))
    write_refused("xgboost", xgb.__version__, "wrapper-softmax", m, x, ("model.pkl", "mlflow"),
                  "XGBClassifier with the objective multi:softmax")

