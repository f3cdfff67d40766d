"""Base classes and ready trainers. What a config.yml names is found here first.

    trainer_class     RandomForestTrainer, ExtraTreesTrainer, DecisionTreeTrainer (scikit-learn),
                      LightGBMTrainer, XGBoostTrainer, CatBoostTrainer; or your own subclass of Trainer
    validator_class   ThresholdValidator; or your own subclass of Validator
    inference_class   your own subclass of Inference

A ready trainer's library is imported when the trainer is used.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "Trainer": "base",
    "RandomForestTrainer": "sklearn_trees",
    "ExtraTreesTrainer": "sklearn_trees",
    "DecisionTreeTrainer": "sklearn_trees",
    "LightGBMTrainer": "lightgbm_booster",
    "XGBoostTrainer": "xgboost_booster",
    "CatBoostTrainer": "catboost_model",
    "Validator": "validation",
    "ThresholdValidator": "validation",
    "Verdict": "validation",
    "Holdout": "validation",
    "Inference": "inference",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
