"""Coverage, PIT, reliability, Brier, log loss and QLIKE by hand, and on draws from the distribution that was said."""

import math

import numpy as np
import pytest
from scipy import stats

from quant_core.errors import DataError
from quant_core.measures import calibration
from quant_core.measures.quantiles import cdf_at

LEVELS = tuple((np.arange(19) + 1) / 20)


def test_coverage_counts_what_is_known() -> None:
    low, high = np.zeros(5), np.array([1.0, 1.0, 1.0, np.nan, 1.0])
    outcome = np.array([0.0, 1.0, 1.5, 0.5, np.nan])
    assert calibration.coverage(low, high, outcome) == pytest.approx(2 / 3)
    assert math.isnan(calibration.coverage(low[:0], low[:0], low[:0]))


def test_a_central_interval_is_found_by_its_share() -> None:
    levels = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
    assert [calibration.central_columns(levels, share) for share in (0.5, 0.8, 0.9)] == [(2, 4), (1, 5), (0, 6)]
    with pytest.raises(DataError, match="no central interval of 60"):
        calibration.central_columns(levels, 0.6)


def test_pit_of_draws_from_what_was_said_is_uniform_and_of_others_is_not() -> None:
    rng = np.random.default_rng(3)
    said, n = np.tile(stats.norm.ppf(LEVELS), (4000, 1)), 4000
    right = cdf_at(said, LEVELS, rng.standard_normal(n))
    wide = cdf_at(said, LEVELS, 2.0 * rng.standard_normal(n))
    assert np.abs(calibration.pit_histogram(right) - 0.1).max() < 0.02
    assert calibration.pit_histogram(wide)[[0, -1]].min() > 0.2
    assert calibration.ks_uniform(right) < 1.63 / math.sqrt(n) < calibration.ks_uniform(wide)


def test_the_ks_distance_is_scipys() -> None:
    values = np.random.default_rng(1).beta(2, 3, 57)
    assert calibration.ks_uniform(values) == pytest.approx(stats.kstest(values, "uniform").statistic, abs=1e-12)


def test_reliability_by_hand() -> None:
    said, happened = np.array([0.05, 0.08, 0.55, 1.0, np.nan]), np.array([False, True, True, True, True])
    table = calibration.reliability(said, happened, bins=10)
    assert table.rows() == [(1, pytest.approx(0.065), 0.5, 2), (6, pytest.approx(0.55), 1.0, 1), (10, 1.0, 1.0, 1)]


def test_log_loss_and_qlike_by_hand() -> None:
    said = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.2, 0.5, 0.3]])
    found = calibration.log_loss(said, np.array([2.0, 0.0, np.nan]))
    assert found[:2] == pytest.approx([-math.log(0.3), -math.log(1e-6)])
    assert np.isnan(found[2])
    loss = calibration.qlike(np.array([1.0, 2.0, 1.0]), np.array([1.0, 1.0, 0.0]))
    assert loss[:2] == pytest.approx([0.0, 0.5 - math.log(0.5) - 1.0])
    assert np.isnan(loss[2])
