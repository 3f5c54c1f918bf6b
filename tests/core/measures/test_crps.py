"""CRPS against its defining integral, hand values and the shape of the pinball quadrature."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from quant_core.errors import DataError
from quant_core.measures.crps import crps_from_quantiles, crps_gaussian, crps_student_t

#: Gaussian of properscoring's documentation: crps_gaussian(x=0, mu=0, sig=1).
STANDARD_AT_ZERO = (math.sqrt(2.0) - 1.0) / math.sqrt(math.pi)


def by_integral(distribution: stats.distributions.rv_frozen, outcome: float) -> float:
    below, _ = integrate.quad(lambda y: distribution.cdf(y) ** 2, -np.inf, outcome)
    above, _ = integrate.quad(lambda y: distribution.sf(y) ** 2, outcome, np.inf)
    return below + above


def test_of_a_standard_normal_at_its_mean_is_the_published_number() -> None:
    found = crps_gaussian(np.zeros(1), np.ones(1), np.zeros(1))
    assert found[0] == pytest.approx(STANDARD_AT_ZERO, abs=1e-15) == 0.23369497725510913


@pytest.mark.parametrize("outcome", [-2.5, 0.3, 4.0])
def test_closed_forms_are_the_integral(outcome: float) -> None:
    at = np.array([outcome])
    gaussian = crps_gaussian(np.array([0.5]), np.array([1.7]), at)[0]
    assert gaussian == pytest.approx(by_integral(stats.norm(0.5, 1.7), outcome), abs=1e-8)
    student = crps_student_t(np.array([0.5]), np.array([1.7]), np.array([3.5]), at)[0]
    assert student == pytest.approx(by_integral(stats.t(3.5, 0.5, 1.7), outcome), abs=1e-7)


def test_a_students_t_with_many_degrees_of_freedom_is_the_normal() -> None:
    x, zero, one = np.linspace(-3, 3, 7), np.zeros(7), np.ones(7)
    assert crps_student_t(zero, one, np.full(7, 1e7), x) == pytest.approx(crps_gaussian(zero, one, x), abs=1e-6)


def test_many_quantiles_give_the_integral_and_two_give_the_hand_value() -> None:
    levels = (np.arange(2000) + 0.5) / 2000
    quantiles = np.tile(stats.norm.ppf(levels), (2, 1))
    found = crps_from_quantiles(quantiles, tuple(levels), np.array([0.0, 1.5]))
    assert found == pytest.approx(crps_gaussian(np.zeros(2), np.ones(2), np.array([0.0, 1.5])), abs=2e-4)
    # levels 1/4 and 3/4 stand for a half each: 2 (1/2 x 1/4 x 2 + 1/2 x 3/4 x 1) with errors 2 and 1
    assert crps_from_quantiles(np.array([[1.0, 2.0]]), (0.25, 0.75), np.array([3.0]))[0] == pytest.approx(1.25)


def test_of_a_point_is_the_absolute_error_and_what_is_missing_has_none() -> None:
    point = np.array([[2.0, 2.0, 2.0], [2.0, np.nan, 2.0]])
    found = crps_from_quantiles(point, (0.1, 0.5, 0.9), np.array([-1.0, 1.0]))
    assert found[0] == pytest.approx(3.0)
    assert np.isnan(found[1])


def test_a_scale_or_a_shape_that_means_nothing_is_refused() -> None:
    one = np.ones(1)
    with pytest.raises(DataError, match="a scale is 0"):
        crps_gaussian(one, np.zeros(1), one)
    with pytest.raises(DataError, match="df is 1"):
        crps_student_t(one, one, one, one)
    with pytest.raises(DataError, match="levels"):
        crps_from_quantiles(np.ones((1, 2)), (0.5, 0.1), one)
