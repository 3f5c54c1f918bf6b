"""CRPS against its defining integral, hand values and the shape of the pinball quadrature."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from quant_core.errors import DataError
from quant_core.measures.crps import crps_from_quantiles

#: Of a standard normal at its mean; the number of properscoring's documentation.
STANDARD_AT_ZERO = (math.sqrt(2.0) - 1.0) / math.sqrt(math.pi)


def by_integral(distribution: stats.distributions.rv_frozen, outcome: float) -> float:
    below, _ = integrate.quad(lambda y: distribution.cdf(y) ** 2, -np.inf, outcome)
    above, _ = integrate.quad(lambda y: distribution.sf(y) ** 2, outcome, np.inf)
    return below + above


def test_many_quantiles_give_the_integral_and_two_give_the_hand_value() -> None:
    levels = (np.arange(2000) + 0.5) / 2000
    quantiles = np.tile(stats.norm.ppf(levels), (2, 1))
    found = crps_from_quantiles(quantiles, tuple(levels), np.array([0.0, 1.5]))
    assert found == pytest.approx([STANDARD_AT_ZERO, by_integral(stats.norm(), 1.5)], abs=2e-4)
    # levels 1/4 and 3/4 stand for a half each: 2 (1/2 x 1/4 x 2 + 1/2 x 3/4 x 1) with errors 2 and 1
    assert crps_from_quantiles(np.array([[1.0, 2.0]]), (0.25, 0.75), np.array([3.0]))[0] == pytest.approx(1.25)


def test_of_a_point_is_the_absolute_error_and_what_is_missing_has_none() -> None:
    point = np.array([[2.0, 2.0, 2.0], [2.0, np.nan, 2.0]])
    found = crps_from_quantiles(point, (0.1, 0.5, 0.9), np.array([-1.0, 1.0]))
    assert found[0] == pytest.approx(3.0)
    assert np.isnan(found[1])


def test_levels_that_do_not_rise_are_refused() -> None:
    with pytest.raises(DataError, match="levels"):
        crps_from_quantiles(np.ones((1, 2)), (0.5, 0.1), np.ones(1))
