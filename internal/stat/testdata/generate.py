"""Goldens of internal/stat, made by scipy and scikit-learn.

    .venv/bin/python internal/stat/testdata/generate.py

DeLong has no counterpart there: its oracle is the U-statistic definition below, over all pairs, checked against
roc_auc_score.
"""

import json
import pathlib
import warnings

import numpy as np
import scipy
import sklearn
from scipy.spatial.distance import jensenshannon
from scipy.stats import (
    chi2,
    chi2_contingency,
    false_discovery_control,
    ks_2samp,
    kstwo,
    norm,
    spearmanr,
    wasserstein_distance,
)
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

warnings.simplefilter("error")
here = pathlib.Path(__file__).parent


def pairs(scores, labels):
    """psi(X_i, Y_j) for all positive i and negative j: 1, 1/2 or 0."""
    x, y = scores[labels], scores[~labels]
    return (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])


def delong(a, b, labels, level=0.95):
    psi_a, psi_b = pairs(a, labels), pairs(b, labels)
    m, n = psi_a.shape
    auc = np.array([psi_a.mean(), psi_b.mean()])
    assert abs(auc[0] - roc_auc_score(labels, a)) < 1e-12
    assert abs(auc[1] - roc_auc_score(labels, b)) < 1e-12
    v10 = np.stack([psi_a.mean(axis=1), psi_b.mean(axis=1)])
    v01 = np.stack([psi_a.mean(axis=0), psi_b.mean(axis=0)])
    s = np.cov(v10) / m + np.cov(v01) / n
    delta = auc[0] - auc[1]
    var = s[0, 0] + s[1, 1] - 2 * s[0, 1]
    se = np.sqrt(max(var, 0))
    z = norm.ppf(0.5 + level / 2)
    se_a = np.sqrt(s[0, 0])
    logit, half = np.log(auc[0] / (1 - auc[0])), z * se_a / (auc[0] * (1 - auc[0]))
    return {
        "a": auc[0], "b": auc[1], "se_a": se_a,
        "lower_a": 1 / (1 + np.exp(-(logit - half))), "upper_a": 1 / (1 + np.exp(-(logit + half))),
        "delta": delta, "se": se, "lower": delta - z * se, "upper": delta + z * se, "p": 2 * norm.sf(abs(delta) / se),
    }


def ranking(rng, n, rate, digits):
    labels = rng.random(n) < rate
    labels[:2], labels[2:4] = True, False
    signal = rng.normal(size=n) + 1.2 * labels
    a = 1 / (1 + np.exp(-(signal + 0.5 * rng.normal(size=n) - 0.5)))
    b = 1 / (1 + np.exp(-(signal + 0.7 * rng.normal(size=n) - 0.5)))
    if digits:  # ties
        a, b = a.round(digits), b.round(digits)
    return a, b, labels


def ece(p, labels, bins):
    true, predicted = calibration_curve(labels, p, n_bins=bins, strategy="uniform")
    edges = np.linspace(0, 1, bins + 1)
    count = np.bincount(np.searchsorted(edges[1:-1], p), minlength=bins)
    return float(np.sum(np.abs(true - predicted) * count[count > 0]) / len(p))


def line(p, labels):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    x = np.log(p / (1 - p))[:, None]
    fit = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10000, solver="newton-cholesky").fit(x, labels)
    return float(fit.intercept_[0]), float(fit.coef_[0, 0])


def binary_cases():
    out = []
    for seed, (n, rate, digits) in enumerate(
        [(8, 0.5, 0), (40, 0.3, 1), (300, 0.1, 2), (500, 0.5, 0), (700, 0.02, 2), (900, 0.8, 1), (400, 0.4, 3)]
    ):
        rng = np.random.default_rng(seed)
        a, b, labels = ranking(rng, n, rate, digits)
        case = {"a": a.tolist(), "b": b.tolist(), "labels": labels.tolist(), "delong": delong(a, b, labels)}
        case["auc"] = roc_auc_score(labels, a)
        case["average_precision"] = average_precision_score(labels, a)
        case["brier"] = brier_score_loss(labels, a)
        case["log_loss"] = log_loss(labels, a)
        case["ece"] = {str(k): ece(a, labels, k) for k in (1, 5, 10, 15, 100)}
        if n > 8:
            case["line"] = line(a, labels)
        case["thresholds"] = [
            {
                "at": t,
                "precision": precision_score(labels, a >= t, zero_division=0),
                "recall": recall_score(labels, a >= t, zero_division=0),
                "f1": f1_score(labels, a >= t, zero_division=0),
            }
            for t in (0.0, 0.3, 0.5, float(np.median(a)), 1.1)
        ]
        out.append(case)
    return out


def sample_cases():
    out = []
    shapes = [(1, 5), (5, 7), (20, 30), (100, 100), (200, 3), (300, 500), (1000, 400)]
    for seed, (n, m) in enumerate(shapes):
        for shift in (0.0, 0.2, 1.0):
            for digits in (0, 1, 9):
                rng = np.random.default_rng(1000 + seed)
                x = rng.normal(size=n).round(digits)
                y = (rng.normal(size=m) + shift).round(digits)
                ks = ks_2samp(x, y, method="asymp")
                out.append({
                    "a": x.tolist(), "b": y.tolist(), "d": float(ks.statistic), "p": float(ks.pvalue),
                    "wasserstein": float(wasserstein_distance(x, y)),
                })
    return out


def tails():
    out = []
    for n in (1, 2, 3, 10, 50, 140, 141, 500, 5000, 99_999, 100_001, 500_000, 1_000_000, 1_000_001, 30_000_000):
        all_z = np.concatenate([np.linspace(0.05, 3, 25), np.linspace(3.2, 20, 15)])
        for z in all_z if n < 400_000 else all_z[::6]:
            d = z / np.sqrt(n)
            if d < 1.2:
                out.append([n, d, float(kstwo.sf(d, n))])
        for t in (0.4, 0.5, 0.6, 0.9, 1.0, 1.1, 1.5, n - 1.5, n - 1, n - 0.5):
            if 0 < t / n < 1:
                out.append([n, t / n, float(kstwo.sf(t / n, n))])
    return out


def tables():
    out = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        k = int(rng.integers(2, 9))
        table = rng.integers(1, 400, size=(2 if seed % 3 else 3, k))
        if seed % 4 == 0:
            table[1] = table[0] * 3  # independent
        r = chi2_contingency(table, correction=False)
        out.append({"table": table.tolist(), "statistic": float(r.statistic), "dof": int(r.dof), "p": float(r.pvalue)})
    return out


def psi(ref, cur):
    used = (ref + cur) > 0
    r, c = ref[used] + 0.5, cur[used] + 0.5
    r, c = r / r.sum(), c / c.sum()
    return float(np.sum((c - r) * np.log(c / r))), int(used.sum())


def distributions():
    out = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        k = int(rng.integers(2, 30))
        ref, cur = rng.integers(0, 300, size=k), rng.integers(0, 50, size=k)
        ref[0], cur[0], ref[-1], cur[-1] = 5, 0, 0, 4
        if k > 4:
            ref[2] = cur[2] = 0
        value, bins = psi(ref, cur)
        out.append({
            "ref": ref.tolist(), "cur": cur.tolist(), "psi": value, "bins": bins,
            "floor": float((1 / ref.sum() + 1 / cur.sum()) * chi2.ppf(0.999, bins - 1)) if bins > 1 else 0.0,
            "js": float(jensenshannon(ref, cur, base=2)),
        })
    return out


def corrected():
    out = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        p = rng.random(int(rng.integers(1, 40))) ** 3
        if seed % 2:
            p = p.round(2)
        out.append({"p": p.tolist(), "bh": false_discovery_control(p).tolist()})
    return out


def ranks():
    out = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=3 + 7 * seed)
        b = a + rng.normal(size=len(a))
        if seed % 2:
            a, b = a.round(0), b.round(0)
        out.append({"a": a.tolist(), "b": b.tolist(), "rho": float(spearmanr(a, b).statistic)})
    return out


def main():
    goldens = {
        "made_with": {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__},
        "binary": binary_cases(), "samples": sample_cases(), "tails": tails(), "tables": tables(),
        "distributions": distributions(), "corrected": corrected(), "ranks": ranks(),
    }
    text = json.dumps(goldens, separators=(",", ":"), allow_nan=False, default=float)
    (here / "goldens.json").write_text(text.replace('},{', '},\n{') + "\n")


main()
