"""The stationary bootstrap against arch (stored by benchmarks/peers/arch_golden.py), theory and its own definition."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from quant_core.errors import DataError
from quant_core.measures.bootstrap import (
    bootstrap_interval,
    growth_interval,
    optimal_block_length,
    sharpe_interval,
    stationary_bootstrap_indices,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "arch.json").read_text())
CASES = {name: np.array(case["returns"]) for name, case in GOLDEN["cases"].items()}
NOISE = np.random.default_rng(3).normal(0.0005, 0.01, 400)


def autoregressive(rng, n, memory, mean=0.0):
    return lfilter([1.0], [1.0, -memory], rng.normal(0.0, 0.01, n + 50))[50:] + mean


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_block_length_equals_archs_but_never_falls_below_one_session(name):
    expected = max(GOLDEN["cases"][name]["block_length"], 1.0)
    assert optimal_block_length(CASES[name]) == pytest.approx(expected, rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["sharpe_ann", "cagr"])
@pytest.mark.parametrize("name", ["autoregressive", "changing volatility"])
def test_an_interval_equals_archs_within_the_error_of_the_draws(name, measure):
    low, high = GOLDEN["cases"][name][measure]
    found = bootstrap_interval(
        CASES[name], measure.removesuffix("_ann"), seed=1, n_draws=GOLDEN["draws"], mean_block=GOLDEN["mean_block"]
    )
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.02 * (high - low))


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.2, 0.5, 0.8])
def test_the_block_length_tends_to_the_optimum_of_an_autoregression(memory):
    n = 100_000
    optimum = (2.0 * memory / (1.0 - memory**2)) ** (2.0 / 3.0) * n ** (1.0 / 3.0)  # G = 2 m / (1 - m^2) x g(0)
    found = [optimal_block_length(autoregressive(np.random.default_rng(seed), n, memory)) for seed in range(3)]
    assert np.mean(found) == pytest.approx(optimum, rel=0.1)


@pytest.mark.parametrize(("n", "longest"), [(27, 9.0), (100, 30.0), (400, 60.0)])
def test_the_block_length_stays_within_its_bounds(n, longest):
    # the mean of differences has no long-run variance, so that every block seems too short
    assert optimal_block_length(np.diff(np.random.default_rng(0).normal(size=n + 1))) == longest
    assert optimal_block_length(np.full(n, 0.001)) == 1.0


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1.0, 1.0))
def test_the_block_length_ignores_scale_and_level(scale, shift):
    x = CASES["autoregressive"]
    assert optimal_block_length(scale * x + shift * scale) == pytest.approx(optimal_block_length(x), rel=1e-6)


def test_blocks_run_forward_and_around_the_end():
    rows = stationary_bootstrap_indices(50, 400, 10.0, seed=1)
    steps = (rows[:, 1:] - rows[:, :-1]) % 50
    assert rows.min() == 0
    assert rows.max() == 49
    assert (rows[:, 1:][rows[:, :-1] == 49] == 0).mean() > 0.85
    # a new block starts with probability 1 / 10 and lands on the next row anyway once in 50
    assert (steps != 1).mean() == pytest.approx(0.1 * (1.0 - 1.0 / 50.0), abs=0.01)


@pytest.mark.parametrize("mean_block", [1.0, 4.5, 1e9])
def test_every_row_is_drawn_equally_often(mean_block):
    counts = np.bincount(stationary_bootstrap_indices(20, 20_000, mean_block, seed=2).ravel(), minlength=20)
    assert counts / counts.sum() == pytest.approx(0.05, abs=0.003)


def test_block_lengths_are_geometric():
    rows = stationary_bootstrap_indices(100_000, 1, 4.0, seed=3)[0]
    starts = np.flatnonzero(np.concatenate([[True], (rows[1:] - rows[:-1]) % 100_000 != 1]))
    lengths = np.diff(starts)
    assert lengths.mean() == pytest.approx(4.0, rel=0.03)
    assert [(lengths == k).mean() for k in (1, 2, 3)] == pytest.approx([0.25, 0.1875, 0.140625], abs=0.01)


def test_a_resample_without_restarts_is_the_history_from_another_day_on():
    (row,) = stationary_bootstrap_indices(30, 1, 1e12, seed=4)
    assert (row == (row[0] + np.arange(30)) % 30).all()


def test_the_seed_alone_decides_the_draws():
    first, again, other = (stationary_bootstrap_indices(40, 5, 3.0, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert sharpe_interval(NOISE, seed=7) == sharpe_interval(NOISE, seed=7) != sharpe_interval(NOISE, seed=8)


def coverage(memory, mean_block, n_histories=300):
    """Share of histories of 500 sessions whose 95 % interval holds the true Sharpe ratio."""
    mean, deviation = 0.0005, 0.01 / math.sqrt(1.0 - memory**2)
    truth = mean / deviation * math.sqrt(252.0)
    hits = 0
    for seed in range(n_histories):
        x = autoregressive(np.random.default_rng(seed), 500, memory, mean)
        found = bootstrap_interval(x, "sharpe", seed=seed, n_draws=400, mean_block=mean_block)
        hits += found.low <= truth <= found.high
    return hits / n_histories


@pytest.mark.slow
def test_the_interval_holds_the_true_sharpe_of_independent_returns_as_often_as_it_says():
    assert coverage(memory=0.0, mean_block=None) == pytest.approx(0.95, abs=0.03)


@pytest.mark.slow
def test_blocks_keep_the_interval_honest_where_single_sessions_would_not():
    assert coverage(memory=0.5, mean_block=1.0) < 0.8
    assert coverage(memory=0.5, mean_block=None) > 0.9


def test_the_sharpe_interval_has_the_width_of_theory():
    x = np.random.default_rng(5).normal(0.0005, 0.01, 2200)
    found = sharpe_interval(x, seed=1)
    deviation = math.sqrt(252.0 / 2200.0)  # of an annual Sharpe ratio near 0 (Lo, 2002)
    assert found.high - found.low == pytest.approx(2.0 * 1.96 * deviation, rel=0.08)
    assert (found.low + found.high) / 2.0 == pytest.approx(x.mean() / x.std(ddof=1) * math.sqrt(252.0), abs=0.05)


def test_the_growth_interval_of_a_constant_return_is_that_return_compounded():
    found = growth_interval(np.full(300, 0.0002), seed=1)
    assert [found.low, found.high] == pytest.approx([1.0002**252 - 1.0] * 2, rel=1e-9)


@pytest.mark.parametrize("loss", [-1.0, -3.0])
def test_an_account_that_lost_everything_does_not_grow_back(loss):
    assert growth_interval(np.full(300, loss), seed=1).high == -1.0


def test_more_confidence_gives_a_wider_interval():
    narrow, wide = (sharpe_interval(NOISE, seed=1, confidence=confidence) for confidence in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_function_sees_every_draw_and_series_of_one_draw_stay_together():
    shapes = []

    def gap(own, other):
        shapes.append((own.shape, other.shape))
        return (own - other).mean(axis=1)

    found = bootstrap_interval([NOISE, NOISE - 0.001], gap, seed=1, n_draws=300)
    assert shapes == [((300, 400), (300, 400))]
    assert [found.low, found.high] == pytest.approx([0.001, 0.001], abs=1e-15)


def test_series_drawn_together_take_the_longest_block_of_any():
    x = CASES["autoregressive"]
    pair = bootstrap_interval([np.zeros(len(x)), x], lambda _, own: own.mean(axis=1), seed=1)
    assert pair == bootstrap_interval(x, lambda own: own.mean(axis=1), seed=1)


def test_the_built_in_measures_are_those_of_each_resample():
    x = NOISE[:25]
    sharpe = bootstrap_interval(x, lambda r: r.mean(axis=1) / r.std(axis=1, ddof=1) * math.sqrt(252.0), seed=1)
    growth = bootstrap_interval(x, lambda r: np.expm1(np.log1p(r).mean(axis=1) * 252.0), seed=1)
    for found, expected in ((sharpe_interval(x, seed=1), sharpe), (growth_interval(x, seed=1), growth)):
        assert [found.low, found.high] == pytest.approx([expected.low, expected.high], rel=1e-10)


@settings(max_examples=25)
@given(st.floats(0.01, 100.0))
def test_the_sharpe_interval_ignores_the_size_of_the_stake(stake):
    before, after = sharpe_interval(NOISE, seed=3, n_draws=50), sharpe_interval(stake * NOISE, seed=3, n_draws=50)
    assert [after.low, after.high] == pytest.approx([before.low, before.high], rel=1e-9, abs=1e-9)


def test_draws_that_never_took_risk_are_left_out():
    rare = np.zeros(200)
    rare[100] = 0.01
    found = sharpe_interval(rare, seed=1)
    assert 0.0 < found.low <= found.high
    assert math.isnan(sharpe_interval(np.zeros(200), seed=1).low)


def test_fewer_than_twenty_sessions_give_no_interval():
    assert math.isnan(growth_interval(NOISE[:19], seed=1).low)
    assert math.isfinite(growth_interval(NOISE[:20], seed=1).low)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stationary_bootstrap_indices(10, 10, 0.5, 1), "mean_block 0.5"),
        (lambda: stationary_bootstrap_indices(0, 10, 2.0, 1), "n 0"),
        (lambda: optimal_block_length(NOISE[:19]), "19 sessions"),
        (lambda: sharpe_interval([0.1, math.nan], seed=1), r"return \(0, 1\) is nan"),
        (lambda: bootstrap_interval(NOISE, "sortino", seed=1), "wanted one of"),
        (lambda: bootstrap_interval(NOISE, "sharpe", seed=1, confidence=95.0), "confidence is 95"),
        (lambda: bootstrap_interval(NOISE, lambda x: x.mean(), seed=1), "one value a draw"),
        (lambda: optimal_block_length(np.ones((30, 2))), "wanted 1 axes"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()
