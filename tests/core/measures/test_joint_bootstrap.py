"""Resamples as counts: the same as drawing the rows, for any number of series at once."""

import numpy as np
import pytest

from quant_core.measures.bootstrap import bootstrap_interval, stationary_bootstrap_indices
from quant_core.measures.joint_bootstrap import central, drawn_counts, drawn_means, drawn_sharpes, mean_intervals


def test_counts_are_those_of_the_rows_that_the_bootstrap_draws() -> None:
    rows, counts = stationary_bootstrap_indices(7, 5, 3.0, seed=1), drawn_counts(7, 3.0, 1, 5)
    assert counts.sum(axis=1).tolist() == [7.0] * 5
    assert all(counts[d, k] == (rows[d] == k).sum() for d in range(5) for k in range(7))


def test_means_and_sharpe_ratios_are_those_of_the_drawn_rows() -> None:
    values = np.random.default_rng(0).normal(0.001, 0.01, (60, 3))
    rows, counts = stationary_bootstrap_indices(60, 40, 4.0, seed=2), drawn_counts(60, 4.0, 2, 40)
    drawn = values[rows]  # (D, T, K)
    np.testing.assert_allclose(drawn_means(counts, values), drawn.mean(axis=1), atol=1e-15)
    ratios = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1) * 252**0.5
    np.testing.assert_allclose(drawn_sharpes(counts, values), ratios, rtol=1e-10)


def test_intervals_agree_with_the_bootstrap_of_one_series() -> None:
    excess = np.random.default_rng(3).normal(0.0005, 0.01, 500)
    known = bootstrap_interval(excess, "sharpe", seed=5, n_draws=400, mean_block=5.0)
    (low,), (high,) = central(drawn_sharpes(drawn_counts(500, 5.0, 5, 400), excess[:, None]))
    assert (low, high) == pytest.approx((known.low, known.high))


def test_a_flat_series_has_no_ratio_and_a_short_one_no_interval() -> None:
    assert np.isnan(drawn_sharpes(drawn_counts(30, 2.0, 1, 10), np.zeros((30, 1)))).all()
    assert np.isnan(np.array(mean_intervals(np.zeros((5, 2)), seed=1))).all()
