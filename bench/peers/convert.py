"""Brings the native models into the formats of the peers that have no reader of their own."""

import pickle
from importlib.metadata import version

from refused import Refused


def native(model):
    if model.library == "lightgbm":
        import lightgbm as lgb

        return lgb.Booster(model_file=str(model.file))
    if model.library == "xgboost":
        import xgboost as xgb

        return xgb.Booster(model_file=str(model.file))
    if model.library == "catboost":
        from catboost import CatBoostClassifier

        m = CatBoostClassifier()
        m.load_model(str(model.file))
        return m
    with open(model.file, "rb") as f:
        return pickle.load(f)


def onnx_of(model, cache):
    """The bytes of the ONNX form; conversions of large models are kept."""
    path = cache / f"onnx-{version('onnxmltools')}-{version('skl2onnx')}-{model.digest()}.onnx"
    if path.exists():
        return path.read_bytes()
    if model.meta["categorical"]:
        raise Refused("the converter writes one node a category: thousands of nodes a split")
    cache.mkdir(parents=True, exist_ok=True)
    source = native(model)
    if model.library == "catboost":
        source.save_model(str(path), format="onnx")
        return path.read_bytes()
    kind = [("X", float_type(model.meta["features"]))]
    if model.library == "lightgbm":
        from onnxmltools.convert import convert_lightgbm

        onx = convert_lightgbm(source, initial_types=kind, zipmap=False)
    elif model.library == "xgboost":
        from onnxmltools.convert import convert_xgboost

        onx = convert_xgboost(source, initial_types=kind)
    else:
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        onx = to_onnx(
            source, initial_types=[("X", FloatTensorType([None, model.meta["features"]]))], options={"zipmap": False}
        )
    data = onx.SerializeToString()
    path.write_bytes(data)
    return data


def float_type(features):
    from onnxmltools.convert.common.data_types import FloatTensorType

    return FloatTensorType([None, features])


def treelite_of(model):
    import treelite

    if model.library == "lightgbm":
        return treelite.frontend.load_lightgbm_model(str(model.file))
    if model.library == "xgboost":
        return treelite.frontend.load_xgboost_model(str(model.file), format_choice="use_suffix")
    return treelite.sklearn.import_model(native(model))


def daal_of(model):
    """The scoring function of oneDAL's form of a model."""
    import daal4py.mb

    if model.meta["categorical"]:
        raise Refused("does not take categorical features")
    source = treelite_of(model) if model.library == "sklearn" else native(model)
    converted = daal4py.mb.convert_model(source)
    if model.library == "catboost" or converted.is_regressor_:
        return converted.predict
    return converted.predict_proba
