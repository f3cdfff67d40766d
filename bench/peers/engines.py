"""The peers, each through its fastest documented call for rows in memory.

An engine's load(model) takes a model or raises Refused with the reason; rows(model) is the memory that it likes best;
wrap(piece) makes its own kind of table of a batch, outside the measured time; predictor(threads, batch) returns the
function that scores one such table.
"""

import ctypes
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import numpy as np
from refused import Refused

HERE = pathlib.Path(__file__).resolve().parent


def margins(y):
    """The native CatBoost is measured by its raw value; these peers give its probability."""
    p = np.asarray(y, dtype=np.float64)[:, 1]
    return np.log(p / (1 - p))


class Engine:
    packages = ()
    kind = "f64"  # what the engine reads; None: what the model was trained on
    limit = 0.0  # seconds that a compilation may take
    cache = None
    compile_seconds = None  # what the last load's compilation took, now or earlier

    def versions(self):
        return {p: version(p) for p in self.packages}

    def rows(self, model):
        if getattr(self, "_rows", (None, None))[0] is not model:
            self._rows = (model, model.rows(self.kind or model.meta["input"]))
        return self._rows[1]

    def wrap(self, piece):
        return piece

    def length(self, wrapped):
        return len(wrapped)

    def columns(self, y):
        """What the check compares, from what the engine gives."""
        return y

    def compiled(self, model, suffix, *arguments):
        """The compiled form of a model, from the cache or by compile.py within the limit."""
        path = self.cache / f"{'-'.join(f'{p}-{version(p)}' for p in self.packages)}-{model.digest()}{suffix}"
        failed = path.with_suffix(".failed")
        seconds = path.with_suffix(".seconds")
        if path.exists():
            self.compile_seconds = float(seconds.read_text()) if seconds.exists() else None
            return path
        if failed.exists() and float(failed.read_text().split()[0]) >= self.limit:
            raise Refused(f"did not compile in {float(failed.read_text().split()[0]):.0f} s")
        self.cache.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        command = [sys.executable, str(HERE / "compile.py"), *arguments, str(model.directory), model.name, str(path)]
        process = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)
        try:
            process.wait(timeout=self.limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            failed.write_text(f"{self.limit}\n")
            raise Refused(f"did not compile in {self.limit:.0f} s") from None
        if process.returncode != 0 or not path.exists():
            raise Refused(f"its compilation ended with status {process.returncode}")
        self.compile_seconds = time.monotonic() - start
        seconds.write_text(f"{self.compile_seconds:.1f}\n")
        return path


class LightGBM(Engine):
    packages = ("lightgbm",)

    def load(self, model):
        import lightgbm as lgb

        if model.library != "lightgbm":
            raise Refused("not its model")
        self.booster = lgb.Booster(model_file=str(model.file))
        self.width = model.meta["width"]
        self.features = model.meta["features"]

    def predictor(self, threads, batch):
        booster = self.booster
        if batch == 1:
            return self.single(threads)
        return lambda x: booster.predict(x, num_threads=threads)

    def single(self, threads):
        """LGBM_BoosterPredictForMatSingleRowFast, which the Python package does not wrap."""
        from lightgbm.basic import _LIB, _safe_call

        config = ctypes.c_void_p()
        _safe_call(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                self.booster._handle, ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(-1), ctypes.c_int(1),
                ctypes.c_int32(self.features), ctypes.c_char_p(f"num_threads={threads}".encode()), ctypes.byref(config),
            )
        )
        out = np.zeros(self.width)
        length = ctypes.c_int64()
        call, pointer, size = _LIB.LGBM_BoosterPredictForMatSingleRowFast, ctypes.c_void_p(out.ctypes.data), ctypes.byref(length)
        answer = out.reshape(1, -1)

        def predict(x):
            if call(config, x[1], size, pointer) != 0:
                raise RuntimeError("LGBM_BoosterPredictForMatSingleRowFast failed")
            return answer

        return predict

    def wrap(self, piece):
        # A row and its address: a C caller has the pointer anyway.
        return (piece, ctypes.c_void_p(piece.ctypes.data)) if len(piece) == 1 else piece

    def length(self, wrapped):
        return 1 if isinstance(wrapped, tuple) else len(wrapped)


class XGBoost(Engine):
    packages = ("xgboost",)
    kind = "f32"

    def load(self, model):
        import xgboost as xgb

        if model.library != "xgboost":
            raise Refused("not its model")
        self.booster = xgb.Booster(model_file=str(model.file))

    def predictor(self, threads, batch):
        self.booster.set_param({"nthread": threads})
        return self.booster.inplace_predict


class ScikitLearn(Engine):
    packages = ("scikit-learn",)
    kind = None

    def load(self, model):
        if model.library != "sklearn":
            raise Refused("not its model")
        import sklearn.ensemble  # noqa: F401
        from threadpoolctl import ThreadpoolController

        with open(model.file, "rb") as f:
            self.model = pickle.load(f)
        self.pools = ThreadpoolController()

    def predictor(self, threads, batch):
        if hasattr(self.model, "n_jobs"):
            self.model.n_jobs = threads
        self.pools.limit(limits=threads)
        return self.model.predict_proba


class CatBoost(Engine):
    packages = ("catboost",)
    kind = "f32"

    def load(self, model):
        from catboost import CatBoostClassifier

        if model.library != "catboost":
            raise Refused("not its model")
        self.model = CatBoostClassifier()
        self.model.load_model(str(model.file))

    def wrap(self, piece):
        from catboost import Pool

        return Pool(piece)

    def length(self, wrapped):
        return wrapped.num_row()

    def predictor(self, threads, batch):
        model = self.model
        return lambda pool: model.predict(pool, prediction_type="RawFormulaVal", thread_count=threads)


class Lleaves(Engine):
    packages = ("lleaves", "llvmlite")

    def load(self, model):
        import lleaves

        if model.library != "lightgbm":
            raise Refused("reads LightGBM models only")
        path = self.compiled(model, ".bin", "lleaves")
        self.model = lleaves.Model(model_file=str(model.file))
        self.model.compile(cache=str(path))

    def predictor(self, threads, batch):
        model = self.model
        return lambda x: model.predict(x, n_jobs=threads)


class TL2cgen(Engine):
    packages = ("tl2cgen", "treelite")
    kind = None

    def load(self, model):
        if model.library == "catboost":
            raise Refused("Treelite does not read CatBoost's models")
        self.path = self.compiled(model, ".so", "tl2cgen")
        self.predictors = {}

    def wrap(self, piece):
        import tl2cgen

        return (tl2cgen.DMatrix(piece), len(piece))

    def length(self, wrapped):
        return wrapped[1]

    def predictor(self, threads, batch):
        import tl2cgen

        if threads not in self.predictors:
            self.predictors[threads] = tl2cgen.Predictor(str(self.path), nthread=threads)
        predict = self.predictors[threads].predict
        return lambda x: predict(x[0])


class OnnxRuntime(Engine):
    packages = ("onnxruntime", "onnxmltools", "skl2onnx")
    kind = "f32"

    def load(self, model):
        from convert import onnx_of

        self.columns = margins if model.library == "catboost" else super().columns

        self.bytes = onnx_of(model, self.cache)
        self.sessions = {}
        self.session(1)

    def session(self, threads):
        import onnxruntime as ort

        if threads not in self.sessions:
            options = ort.SessionOptions()
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            # Waiting threads would take the core from whoever runs next.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self.sessions[threads] = ort.InferenceSession(self.bytes, options, providers=["CPUExecutionProvider"])
        return self.sessions[threads]

    def predictor(self, threads, batch):
        session = self.session(threads)
        name = session.get_inputs()[0].name
        outputs = [o.name for o in session.get_outputs()][-1:]
        return lambda x: session.run(outputs, {name: x})[0]


class Daal4py(Engine):
    packages = ("scikit-learn-intelex", "daal")
    kind = None

    def load(self, model):
        import daal4py
        from convert import daal_of

        self.columns = margins if model.library == "catboost" else super().columns

        self.daal = daal4py
        self.model = daal_of(model)
        self.threads = 0

    def predictor(self, threads, batch):
        if self.threads != threads:
            self.daal.daalinit(threads)
            self.threads = threads
        return self.model


class Sklearnex(Engine):
    """Intel's random forests: trees of its own of the same depth, missing values replaced by medians (it takes none)."""

    packages = ("scikit-learn-intelex", "daal")
    kind = "f32"

    def load(self, model):
        if not model.name.startswith("rf_"):
            raise Refused("its trees are random forests of its own")
        from sklearnex.ensemble import RandomForestClassifier

        path = self.cache / f"sklearnex-{version('scikit-learn-intelex')}-{model.digest()}.pkl"
        if not path.exists():
            x = np.fromfile(model.directory / "train.f32", dtype=np.float32).reshape(-1, model.meta["features"])
            y = np.fromfile(model.directory / "train.label", dtype=np.int32)
            n = len(x) if model.name == "rf_d10" else 65_000
            depth = 10 if model.name == "rf_d10" else None
            self.model = RandomForestClassifier(100, max_depth=depth, random_state=1, n_jobs=2)
            self.model.fit(self.imputed(x[:n]), y[:n])
            self.cache.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps(self.model))
        else:
            self.model = pickle.loads(path.read_bytes())
        return "trees of its own, medians for missing values"

    def imputed(self, x):
        return np.ascontiguousarray(np.where(np.isnan(x), np.nanmedian(x, axis=0), x), dtype=np.float32)

    def rows(self, model):
        if getattr(self, "_rows", (None, None))[0] is not model:
            self._rows = (model, self.imputed(model.rows("f32")))
        return self._rows[1]

    def predictor(self, threads, batch):
        self.model.n_jobs = threads
        return self.model.predict_proba


class Ydf(Engine):
    """ydf learns trees of its own of the same size and takes the mean for missing values: a bar for speed only."""

    packages = ("ydf",)
    kind = "f32"

    def load(self, model):
        import ydf

        if model.name != "lgb_100x31":
            raise Refused("its trees are its own; one model of 100 x 31 leaves is measured")
        self.names = [f"f{i}" for i in range(model.meta["features"])]
        path = self.cache / f"ydf-{version('ydf')}-{model.digest()}"
        if not (path / "done").exists():
            x = np.fromfile(model.directory / "train.f32", dtype=np.float32).reshape(-1, len(self.names))
            y = np.fromfile(model.directory / "train.label", dtype=np.int32)
            learner = ydf.GradientBoostedTreesLearner(
                label="label", num_trees=100, max_depth=-1, growing_strategy="BEST_FIRST_GLOBAL", max_num_nodes=31,
                validation_ratio=0.0, early_stopping="NONE", num_threads=2,
            )
            trained = learner.train({n: x[:, i] for i, n in enumerate(self.names)} | {"label": y}, verbose=0)
            trained.save(str(path))
            (path / "done").touch()
        self.model = ydf.load_model(str(path))
        self.ydf = ydf
        return f"{self.model.num_trees()} trees of its own"

    def wrap(self, piece):
        table = {n: np.ascontiguousarray(piece[:, i]) for i, n in enumerate(self.names)}
        table["label"] = np.zeros(len(piece), dtype=np.int32)  # the data specification asks for it; prediction does not
        return (self.ydf.create_vertical_dataset(table, data_spec=self.model.data_spec()), len(piece))

    def length(self, wrapped):
        return wrapped[1]

    def predictor(self, threads, batch):
        predict = self.model.predict
        return lambda x: predict(x[0], num_threads=threads)


ENGINES = {
    "lightgbm": LightGBM,
    "xgboost": XGBoost,
    "sklearn": ScikitLearn,
    "catboost": CatBoost,
    "lleaves": Lleaves,
    "tl2cgen": TL2cgen,
    "onnxruntime": OnnxRuntime,
    "daal4py": Daal4py,
    "sklearnex": Sklearnex,
    "ydf": Ydf,
}
