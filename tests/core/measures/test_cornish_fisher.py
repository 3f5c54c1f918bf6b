"""The expansion against numerical integration, against known distributions, and where it is no quantile."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from quant_core.errors import DataError
from quant_core.measures import cornish_fisher as cf
from quant_core.measures import risk

NORMAL = stats.norm.ppf((np.arange(1, 40_001) - 0.5) / 40_000)  # the quantiles of a normal variable


def curve(z: float, s: float, k: float) -> float:
    return z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36


def sample_with_parameters(s: float, k: float) -> np.ndarray:
    return 0.0005 + 0.01 * curve(NORMAL, s, k)


def test_the_modified_value_at_risk_is_the_published_formula() -> None:
    returns = np.array([-0.03, -0.01, 0.0, 0.004, 0.01, 0.015, -0.002, 0.03, -0.025, 0.001])
    s, k, z = risk.skewness(returns), risk.kurtosis(returns), -1.6448536269514722
    expected = returns.mean() + returns.std(ddof=1) * curve(z, s, k)
    assert cf.value_at_risk_cornish_fisher(returns, match_moments=False) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("tail", [0.01, 0.05, 0.1])
@pytest.mark.parametrize(("s", "k"), [(0.0, 0.0), (-0.3, 1.0), (0.4, 2.0), (-0.8, 3.5)])
def test_the_conditional_value_at_risk_is_the_integral_of_the_quantiles(s: float, k: float, tail: float) -> None:
    returns = sample_with_parameters(s, k)
    s, k = cf._matching(risk.skewness(returns), risk.kurtosis(returns))  # near the given ones, as the sample is finite
    area, _ = integrate.quad(lambda z: curve(z, s, k) * stats.norm.pdf(z), -12.0, stats.norm.ppf(tail))
    expected = returns.mean() + np.std(returns, ddof=1) / cf._moments(s, k)[0] * area / tail
    assert cf.conditional_value_at_risk_cornish_fisher(returns, tail) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("s", "k"), [(0.0, 0.0), (-0.5, 2.0), (0.5, 2.0), (-0.6, 4.0), (-1.0, 5.0)])
def test_matched_moments_recover_the_tail_of_a_sample_drawn_from_the_expansion(s: float, k: float) -> None:
    returns = sample_with_parameters(s, k)
    historical = risk.value_at_risk(returns), risk.conditional_value_at_risk(returns)
    assert cf.value_at_risk_cornish_fisher(returns) == pytest.approx(historical[0], rel=0.01)
    assert cf.conditional_value_at_risk_cornish_fisher(returns) == pytest.approx(historical[1], rel=0.01)


def test_a_normal_sample_has_the_normal_tail() -> None:
    returns = sample_with_parameters(0.0, 0.0)
    mean, deviation = returns.mean(), returns.std(ddof=1)
    for matched in (True, False):
        at_risk = cf.value_at_risk_cornish_fisher(returns, match_moments=matched)
        beyond = cf.conditional_value_at_risk_cornish_fisher(returns, match_moments=matched)
        assert at_risk == pytest.approx(mean - 1.6448536 * deviation, rel=1e-3)
        assert beyond == pytest.approx(mean - 2.0627128 * deviation, rel=1e-3)


def test_fat_tails_are_met_with_matched_moments_and_overstated_by_the_sample_moments() -> None:
    probability = (np.arange(1, 40_001) - 0.5) / 40_000
    returns = 0.01 * stats.t(5).ppf(probability)  # excess kurtosis 6 in the limit
    truth = risk.conditional_value_at_risk(returns)
    matched = cf.conditional_value_at_risk_cornish_fisher(returns)
    modified = cf.conditional_value_at_risk_cornish_fisher(returns, match_moments=False)
    assert matched == pytest.approx(truth, rel=0.06)
    assert modified / truth > 1.2


@settings(max_examples=150, deadline=None)
@given(st.floats(-2.2, 2.2), st.floats(-0.5, 11.0))
def test_the_parameters_behind_any_valid_moments_are_found(s: float, k: float) -> None:
    if not cf._in_order(s, k):
        return
    _, skew, excess = cf._moments(s, k)
    assert cf._matching(skew, excess) == pytest.approx((s, k), abs=1e-4)


@settings(max_examples=150, deadline=None)
@given(st.floats(-4.0, 4.0), st.floats(-3.0, 14.0))
def test_the_expansion_counts_as_in_order_where_a_fine_grid_of_it_increases(s: float, k: float) -> None:
    steps = np.diff(curve(np.linspace(-cf.WIDEST, cf.WIDEST, 4001), s, k))
    if steps.min() > 1e-6:
        assert cf._in_order(s, k)
    if steps.min() < -1e-6:
        assert not cf._in_order(s, k)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-0.2, 0.2, allow_nan=False), min_size=4, max_size=80),
    st.floats(0.1, 5.0),
    st.floats(-0.01, 0.01),
)
def test_tails_are_ordered_and_follow_scale_and_shift(values: list[float], scale: float, shift: float) -> None:
    at_risk = cf.value_at_risk_cornish_fisher(values)
    beyond = cf.conditional_value_at_risk_cornish_fisher(values)
    assert math.isnan(at_risk) == math.isnan(beyond)
    if math.isnan(at_risk) or np.std(values) < 1e-6:
        return
    assert beyond <= at_risk <= np.mean(values) + 1e-12
    moved = scale * np.array(values) + shift
    assert cf.value_at_risk_cornish_fisher(moved) == pytest.approx(scale * at_risk + shift, abs=1e-6)


@pytest.mark.parametrize(
    "returns",
    [
        [0.01, 0.02, 0.0],  # fewer than four
        [0.01] * 30,  # flat
        [-0.01, 0.01] * 40,  # kurtosis -2: no expansion is that flat
        [-0.9] + [0.0001, -0.0001] * 300,  # kurtosis 600, beyond every valid expansion
    ],
)
def test_there_is_no_value_where_no_expansion_in_order_has_the_moments(returns: list[float]) -> None:
    assert math.isnan(cf.value_at_risk_cornish_fisher(returns))
    assert math.isnan(cf.conditional_value_at_risk_cornish_fisher(returns))


def test_sample_moments_out_of_order_give_nan_where_matched_moments_still_give_a_value() -> None:
    returns = sample_with_parameters(0.0, 5.0)  # excess kurtosis about 20; plugged in, the curve falls around 0
    assert 12.0 < risk.kurtosis(returns) < 25.0
    assert math.isnan(cf.value_at_risk_cornish_fisher(returns, match_moments=False))
    assert cf.value_at_risk_cornish_fisher(returns) == pytest.approx(risk.value_at_risk(returns), rel=0.02)


@pytest.mark.parametrize("tail", [0.0, 0.5, 0.95, -0.1, math.nan])
def test_a_confidence_in_place_of_a_tail_is_refused(tail: float) -> None:
    with pytest.raises(DataError, match="between 0 and"):
        cf.value_at_risk_cornish_fisher([0.01, -0.01, 0.0, 0.02], tail)


@pytest.mark.parametrize(("s", "k"), [(0.0, 0.0), (-0.5, 2.0), (1.2, 6.0)])
def test_the_slopes_of_the_moments_equal_small_differences(s: float, k: float) -> None:
    step = 1e-6
    by_s = (cf._moments(s + step, k) - cf._moments(s - step, k))[1:] / (2 * step)
    by_k = (cf._moments(s, k + step) - cf._moments(s, k - step))[1:] / (2 * step)
    np.testing.assert_allclose(cf._moment_slopes(s, k), np.column_stack([by_s, by_k]), rtol=1e-6, atol=1e-7)
