"""DriftDetector against scipy, and the rules of docs/format/drift.md."""

import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from treeline.drift import DriftDetector, chi_square, kolmogorov_smirnov


def frames(rows=(700, 500), shift=0.0, seed=5):
    rng = np.random.default_rng(seed)
    out = []
    for n, by in zip(rows, (0.0, shift)):
        x = rng.normal(by, 1, n)
        x[rng.random(n) < 0.1] = np.nan
        out.append(
            pd.DataFrame(
                {
                    "x": x,
                    "ties": rng.integers(0, 5, n).astype(float),
                    "count": rng.poisson(4, n),
                    "plan": rng.choice(["a", "b", "ü"], n, p=[0.5, 0.3, 0.2]),
                    "flag": rng.random(n) < 0.4,
                }
            )
        )
    return out


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scipy(seed):
    reference, current = frames(seed=seed, shift=0.05 * seed)
    result = {f.feature: f for f in DriftDetector().detect(reference, current).features}
    for name in ("x", "ties", "count"):
        want = stats.ks_2samp(reference[name].dropna(), current[name].dropna(), method="asymp")
        assert (result[name].test, result[name].statistic, result[name].p_value) == (
            "ks",
            want.statistic,
            want.pvalue,
        )
    for name in ("plan", "flag"):
        side = pd.concat([reference[name].to_frame().assign(s=0), current[name].to_frame().assign(s=1)])
        want = stats.chi2_contingency(pd.crosstab(side["s"], side[name]), correction=False)
        assert result[name].test == "chi2"
        assert result[name].statistic == pytest.approx(want.statistic, rel=1e-12)
        assert result[name].p_value == pytest.approx(want.pvalue, rel=1e-12)


def test_a_shift_is_drift_and_none_is_not():
    reference, current = frames(shift=0.5)
    result = DriftDetector(p_threshold=0.001).detect(reference, current)
    assert result.overall_drift and result.drifted == ["x"]
    same = DriftDetector(p_threshold=0.001).detect(reference, reference)
    assert not same.overall_drift and all(f.p_value == 1 for f in same.features)


def test_the_threshold_is_strict():
    reference, current = frames(shift=0.2)
    [p] = [f.p_value for f in DriftDetector().detect(reference, current, ["x"]).features]
    assert not DriftDetector(p_threshold=p).detect(reference, current, ["x"]).overall_drift
    assert DriftDetector(p_threshold=np.nextafter(p, 1)).detect(reference, current, ["x"]).overall_drift


def test_missing_values():
    reference = pa.table({"x": [1.0, 2.0, None, float("nan")], "c": ["a", "a", "a", "a"]})
    current = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "c": ["a", None, None, None]})
    x, c = DriftDetector().detect(reference, current).features
    assert (x.reference_null_rate, x.current_null_rate) == (0.5, 0.0)
    assert x.statistic == 0.5
    assert c.current_null_rate == 0.75
    assert c.statistic == pytest.approx(stats.chi2_contingency([[4, 0], [1, 3]], correction=False).statistic)
    assert c.drift, "a text that turned missing"


def test_no_values():
    empty, full = pa.table({"x": pa.nulls(3, pa.float64())}), pa.table({"x": [1.0, 2.0]})
    [gone] = DriftDetector().detect(full, empty).features
    assert (gone.statistic, gone.p_value, gone.drift, gone.reason) == (
        1.0,
        0.0,
        True,
        "no values in the current data",
    )
    [new] = DriftDetector().detect(empty, full).features
    assert new.drift and new.reason == "no values in the reference data"
    [none] = DriftDetector().detect(empty, empty).features
    assert (none.test, none.statistic, none.p_value, none.drift) == ("none", 0.0, 1.0, False)
    untyped = pa.table({"x": pa.nulls(2)})
    assert DriftDetector().detect(untyped, untyped).features[0].test == "none"
    assert DriftDetector().detect(full, untyped).features[0].reason == "no values in the current data"
    text = pa.table({"x": ["a", "b"]})
    assert DriftDetector().detect(text, untyped).features[0].test == "chi2"


def test_infinities_order_and_minus_zero_is_zero():
    assert kolmogorov_smirnov(np.array([0.0, np.inf]), np.array([-0.0, np.inf])) == (0.0, 1.0)
    assert kolmogorov_smirnov(np.array([1.0]), np.array([2.0])) == (1.0, 1.0)
    assert kolmogorov_smirnov(np.array([-np.inf] * 20), np.array([0.0] * 20))[0] == 1.0


def test_one_category_only():
    assert chi_square(["a"] * 5, ["a"] * 7) == (0.0, 1.0)


def test_types():
    rows = {
        "d": pa.array([decimal.Decimal("1.50")] * 3),
        "u": pa.array([1, 2, 3], pa.uint8()),
        "t": pa.array(["a"] * 3).dictionary_encode(),
    }
    assert [f.test for f in DriftDetector().detect(pa.table(rows), pa.table(rows)).features] == [
        "ks",
        "ks",
        "chi2",
    ]
    categories = pd.DataFrame({"k": pd.Categorical([3, 1, None]), "b": pd.array([True, None, False], dtype="boolean")})
    assert [f.test for f in DriftDetector().detect(categories, categories).features] == [
        "chi2",
        "chi2",
    ]


def test_what_cannot_be_tested():
    number, text = pa.table({"a": [1.0], "b": [1]}), pa.table({"a": ["x"], "b": ["y"]})
    with pytest.raises(
        ValueError,
        match="'a' is double in the reference data and string in the current data; column 'b'",
    ):
        DriftDetector().detect(number, text)
    with pytest.raises(ValueError, match="current data lacks the columns 'a', 'b'"):
        DriftDetector().detect(number, pa.table({"c": [1]}))
    with pytest.raises(ValueError, match="reference data has no rows"):
        DriftDetector().detect(number.slice(0, 0), number)
    with pytest.raises(ValueError, match="'a' is date32"):
        days = pa.table({"a": pa.array([1], pa.date32())})
        DriftDetector().detect(days, days)
    for bad in (0, 1, -1, float("nan")):
        with pytest.raises(ValueError, match="p_threshold"):
            DriftDetector(p_threshold=bad)


def test_as_json_and_frame():
    reference, current = frames(shift=0.5)
    result = DriftDetector().detect(reference, current)
    assert result.to_dict()["features"][0]["feature"] == "x" and result.to_dict()["overall_drift"] is True
    assert list(result.to_frame()["feature"]) == list(reference.columns)
