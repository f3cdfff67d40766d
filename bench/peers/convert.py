"""Brings the native models into the formats of the peers that have no reader of their own."""

import json
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
        path.write_bytes(without_map(path))
        return path.read_bytes()
    kind = [("X", float_type(model.meta["features"]))]
    if model.library == "lightgbm":
        from onnxmltools.convert import convert_lightgbm

        onx = convert_lightgbm(source, initial_types=kind, zipmap=False)
    elif model.library == "xgboost":
        from onnxmltools.convert import convert_xgboost

        onx = convert_xgboost(source, initial_types=kind)
    else:
        onx = sklearn_onnx(source, model.meta["features"])
    data = onx.SerializeToString()
    path.write_bytes(data)
    return data


def sklearn_onnx(source, features):
    from skl2onnx import to_onnx
    from skl2onnx.common import tree_ensemble
    from skl2onnx.common.data_types import FloatTensorType

    # Its leaves of HistGradientBoosting say False where protobuf insists on an int.
    add_node = tree_ensemble.add_node

    def with_int(*arguments, nodes_missing_value_tracks_true=0, **more):
        add_node(*arguments, nodes_missing_value_tracks_true=int(nodes_missing_value_tracks_true), **more)

    tree_ensemble.add_node = with_int
    try:
        return to_onnx(source, initial_types=[("X", FloatTensorType([None, features]))], options={"zipmap": False})
    finally:
        tree_ensemble.add_node = add_node


def without_map(path):
    """CatBoost's ONNX file with the probabilities as a tensor instead of a dictionary a row."""
    import onnx

    m = onnx.load(str(path))
    graph = m.graph
    for node in [n for n in graph.node if n.op_type == "ZipMap"]:
        graph.node.remove(node)
        for output in [o for o in graph.output if o.name in node.output]:
            graph.output.remove(output)
        graph.output.append(onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, [None, 2]))
    return m.SerializeToString()


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
    try:
        converted = daal4py.mb.convert_model(source)
    except json.JSONDecodeError:
        raise Refused("does not take the infinite thresholds of scikit-learn's splits on missing values") from None
    if converted.is_regressor_:
        return converted.predict
    return converted.predict_proba
