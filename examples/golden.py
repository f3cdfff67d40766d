"""Golden rows: feature rows with the training library's own raw and pred, for the parity gate.

Half of the rows are drawn from the table. The other half are drawn too, then one feature of each is moved onto a split
threshold of the model or to the float next to it, and some values are made missing, zero, or minus zero: the places
where an inexact scorer takes the other branch.
"""

import datetime
import hashlib
import json
import pathlib

import numpy as np
import pandas as pd


def split_points(booster, library):
    """Numeric splits of a booster as (feature name, threshold)."""
    trees = booster.trees_to_dataframe()
    if library == "lightgbm":
        splits = trees[(trees.split_feature.notna()) & (trees.decision_type == "<=")]
        return list(zip(splits.split_feature, splits.threshold.astype(float)))
    splits = trees[(trees.Feature != "Leaf") & trees.Split.notna()]
    return list(zip(splits.Feature, splits.Split.astype(float)))


def edge_rows(features, booster, library, rows, seed):
    """Rows of the feature table and as many altered ones; numeric columns become float64."""
    rng = np.random.default_rng(seed)
    drawn = features.iloc[rng.integers(0, len(features), rows)].reset_index(drop=True)
    numeric = [c for c in drawn.columns if drawn[c].dtype.kind in "iufb"]
    for column in numeric:
        drawn[column] = drawn[column].astype("float64")
    points = [p for p in split_points(booster, library) if p[0] in numeric]
    step = np.float32 if library == "xgboost" else np.float64
    for row in range(rows // 2, rows):
        name, threshold = points[rng.integers(0, len(points))]
        side = rng.choice([-np.inf, 0.0, np.inf])
        value = step(threshold)
        drawn.loc[row, name] = float(value if side == 0 else np.nextafter(value, step(side)))
        other = numeric[rng.integers(0, len(numeric))]
        pick = rng.integers(0, 6)
        if pick == 0:
            drawn.loc[row, other] = np.nan
        elif pick == 1:
            drawn.loc[row, other] = -0.0
        elif pick == 2:
            drawn.loc[row, other] = 1e-36
    return drawn


def write_golden(path, frame, raw, pred):
    """Category columns are written as strings; null stands for a category that the library reads as missing."""
    out = frame.copy()
    for column in out.columns:
        if isinstance(out[column].dtype, pd.CategoricalDtype):
            out[column] = out[column].astype(object).where(out[column].notna(), None)
    out["raw"] = raw
    out["pred"] = pred
    out.to_parquet(path, index=False, compression="zstd")


def write_version(directory, run, script, library):
    """What `ctl model register` needs to know about a training run. git_sha is the script's own git blob id."""
    source = pathlib.Path(script).read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(source) + source).hexdigest()
    now = datetime.datetime.now(datetime.timezone.utc)
    version = {
        "run_id": f"{run}-{now:%Y%m%d-%H%M%S}",
        "git_sha": blob[:12],
        "trained_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "library": library,
    }
    (directory / "version.json").write_text(json.dumps(version, indent=2) + "\n")
