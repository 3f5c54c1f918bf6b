"""A distribution from its quantiles: hand values, and each function as the inverse of the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.measures.quantiles import cdf_at, quantile_at

LEVELS = (0.1, 0.5, 0.9)
Q = np.array([[-1.0, 0.0, 2.0]])


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (-1.0, 0.1), (-0.5, 0.3), (0.0, 0.5), (1.0, 0.7), (2.0, 0.9),
        (-1.25, 0.1 * np.exp(-1.0)),  # the tail's scale is 0.1 x 1 / 0.4 = 0.25
        (2.5, 1 - 0.1 * np.exp(-1.0)),  # and 0.1 x 2 / 0.4 = 0.5 above
    ],
)  # fmt: skip
def test_the_distribution_function_is_linear_between_quantiles_and_exponential_beyond(
    value: float, wanted: float
) -> None:
    assert cdf_at(Q, LEVELS, np.array([value]))[0] == pytest.approx(wanted, abs=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3).map(sorted), st.floats(0.001, 0.999))
def test_the_quantile_of_a_probability_has_that_probability(values: list[float], probability: float) -> None:
    apart = np.array([values]) + np.array([[0.0, 0.01, 0.02]])
    back = cdf_at(apart, LEVELS, quantile_at(apart, LEVELS, probability))
    assert back[0] == pytest.approx(probability, abs=1e-6)


def test_a_probability_of_each_row_is_that_probability_alone() -> None:
    rows, asked = np.repeat(Q, 5, axis=0), np.array([0.02, 0.1, 0.4, 0.9, 0.97])
    each = [quantile_at(Q, LEVELS, float(probability))[0] for probability in asked]
    assert quantile_at(rows, LEVELS, asked).tolist() == each
    assert each[1:4] == pytest.approx([-1.0, -0.25, 2.0])
    with pytest.raises(DataError, match="wanted one inside"):
        quantile_at(rows, LEVELS, np.array([0.5, 0.5, 0.0, 0.5, 0.5]))


def test_equal_quantiles_are_a_jump_and_a_missing_one_says_nothing() -> None:
    flat = np.array([[1.0, 1.0, 1.0], [1.0, np.nan, 1.0]])
    below, above = (cdf_at(flat, LEVELS, np.full(2, value)) for value in (0.9, 1.1))
    assert (below[0], above[0]) == (0.0, 1.0)
    assert np.isnan(below[1])


def test_levels_that_do_not_rise_are_refused() -> None:
    with pytest.raises(DataError, match="rise inside"):
        cdf_at(Q, (0.1, 0.1, 0.9), np.zeros(1))
    with pytest.raises(DataError, match="probability is 1"):
        quantile_at(Q, LEVELS, 1.0)
