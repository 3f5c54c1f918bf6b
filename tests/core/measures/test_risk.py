"""Moments and tails by hand and against scipy; drawdowns and historical tails are in test_performance."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from quant_core.errors import DataError
from quant_core.measures import risk

RETURNS = st.lists(st.floats(-0.2, 0.2, allow_nan=False), min_size=4, max_size=60)


@settings(max_examples=200, deadline=None)
@given(RETURNS)
def test_moments_equal_scipys_unbiased_ones(values: list[float]) -> None:
    assume(np.std(values) > 1e-6)
    assert risk.skewness(values) == pytest.approx(stats.skew(values, bias=False), rel=1e-6, abs=1e-9)
    assert risk.kurtosis(values) == pytest.approx(stats.kurtosis(values, bias=False), rel=1e-6, abs=1e-9)


def test_moments_by_hand() -> None:
    values = [-0.01, 0.0, 0.0, 0.0, 0.01]  # m2 = 4e-5, m4 = 4e-9: kurtosis m4 / m2^2 = 2.5
    assert risk.skewness(values) == pytest.approx(0.0, abs=1e-12)
    assert risk.kurtosis(values) == pytest.approx(4 / (3 * 2) * (6 * (2.5 - 3) + 6))
    assert risk.skewness([0.0, 0.0, 0.03]) == pytest.approx(math.sqrt(3.0))  # g1 = 1 / sqrt(2), x sqrt(6)


@settings(max_examples=100, deadline=None)
@given(RETURNS)
def test_mirrored_returns_have_mirrored_skewness_and_the_same_kurtosis(values: list[float]) -> None:
    assume(np.std(values) > 1e-6)
    mirrored = [-v for v in values]
    assert risk.skewness(mirrored) == pytest.approx(-risk.skewness(values), abs=1e-9)
    assert risk.kurtosis(mirrored) == pytest.approx(risk.kurtosis(values), abs=1e-9)


def test_moments_of_too_few_or_equal_returns_are_nan() -> None:
    assert math.isnan(risk.skewness([0.01, 0.02]))
    assert math.isnan(risk.kurtosis([0.01, 0.02, 0.0]))
    assert math.isnan(risk.skewness([0.01] * 9))
    assert math.isnan(risk.kurtosis([0.01] * 9))


def test_the_tail_ratio_compares_the_outer_quantiles() -> None:
    values = np.concatenate([[-0.04], np.zeros(9), [0.02]])  # quantiles at half a step from the ends: -2 %, 1 %
    assert risk.tail_ratio(values) == pytest.approx(0.5)
    assert math.isnan(risk.tail_ratio([0.0] * 30 + [0.01]))


def test_the_extreme_sessions_are_found_and_bad_input_is_refused() -> None:
    assert risk.best_return_1d([0.01, -0.03, 0.02]) == 0.02
    assert risk.worst_return_1d([0.01, -0.03, 0.02]) == -0.03
    for measure in (risk.skewness, risk.kurtosis, risk.tail_ratio, risk.best_return_1d, risk.worst_return_1d):
        with pytest.raises(DataError, match="returns row 1 is nan"):
            measure([0.01, math.nan])
