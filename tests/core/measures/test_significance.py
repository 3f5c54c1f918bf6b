"""Odds of a Sharpe ratio against the worked examples of the papers, exact distributions and simulation."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from quant_core.errors import DataError
from quant_core.measures.bootstrap import growth_interval, sharpe_interval
from quant_core.measures.luck import Luck, expected_max_sharpe, histories, luck_of
from quant_core.measures.performance import sharpe
from quant_core.measures.significance import (
    SharpeMoments,
    deflated_sharpe,
    min_track_record,
    probabilistic_sharpe,
    sharpe_moments,
    significance_row,
    significance_table,
)
from quant_core.schema import Significance

RNG = np.random.default_rng(21)
NOISE = RNG.normal(0.0006, 0.01, 1000)
FAT = RNG.standard_t(5, 800) * 0.008 + 0.0004
TRIALS_1D = np.array([0.09, -0.02, 0.05, 0.01, 0.03])
LUCK = Luck(n_trials=5, n_own_trials=3, n_clusters=4, over_cash_z=1.2, over_benchmark_z=0.9)


def test_the_probabilistic_sharpe_equals_the_papers_hedge_fund():
    # Bailey and Lopez de Prado (2012): 24 months, Sharpe ratio 0.458 a month
    normal = SharpeMoments(n_sessions=24, sharpe_1d=0.458, skewness=0.0, kurtosis=3.0)
    actual = SharpeMoments(n_sessions=24, sharpe_1d=0.458, skewness=-2.448, kurtosis=10.164)
    third_year = SharpeMoments(n_sessions=36, sharpe_1d=0.458, skewness=-2.448, kurtosis=10.164)
    found = [probabilistic_sharpe(moments) for moments in (normal, actual, third_year)]
    assert found == pytest.approx([0.982, 0.913, 0.953], abs=6e-4)


@pytest.mark.parametrize(("periods", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_minimum_track_record_equals_the_papers_table_of_normal_returns(periods, years):
    # Bailey and Lopez de Prado (2012): an annual Sharpe ratio of 2 against 1 at 95 %
    moments = SharpeMoments(n_sessions=1, sharpe_1d=2.0 / math.sqrt(periods), skewness=0.0, kurtosis=3.0)
    assert min_track_record(moments, 1.0 / math.sqrt(periods)) / periods == pytest.approx(years, abs=5e-3)


def test_the_minimum_track_record_of_hedge_fund_returns_equals_the_papers():
    moments = SharpeMoments(n_sessions=1, sharpe_1d=2.0 / math.sqrt(12), skewness=-0.72, kurtosis=5.78)
    assert min_track_record(moments, 1.0 / math.sqrt(12)) / 12 == pytest.approx(4.99, abs=5e-3)


@pytest.mark.parametrize(
    ("n_trials", "skewness", "kurtosis", "expected"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_the_deflated_sharpe_equals_the_papers_example(n_trials, skewness, kurtosis, expected):
    # Bailey and Lopez de Prado (2014): Sharpe ratio 2.5 a year over 1,250 days of 250 a year, variance of trials 1/2
    moments = SharpeMoments(1250, 2.5 / math.sqrt(250), skewness, kurtosis)
    luck = expected_max_sharpe(n_trials, math.sqrt(0.5 / 250.0))
    assert probabilistic_sharpe(moments, luck) == pytest.approx(expected, abs=5e-5)
    # the same from N Sharpe ratios with exactly that variance
    trials = stats.norm.ppf((np.arange(n_trials) + 0.5) / n_trials)
    trials *= math.sqrt(0.5 / 250.0) / trials.std(ddof=1)
    assert deflated_sharpe(moments, trials) == pytest.approx(expected, abs=5e-5)


def test_the_expected_maximum_of_the_papers_example_is_its_printed_value():
    assert expected_max_sharpe(100, math.sqrt(0.5 / 250.0)) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize("n_trials", [10, 100, 1000])
def test_the_expected_maximum_is_near_the_exact_one_of_normal_trials(n_trials):
    exact, _ = integrate.quad(lambda x: x * n_trials * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n_trials - 1), -9, 9)
    assert expected_max_sharpe(n_trials, 1.0) == pytest.approx(exact, rel=0.025)


def test_one_trial_leaves_nothing_to_choose_from():
    assert expected_max_sharpe(1, 0.3) == 0.0
    assert deflated_sharpe(NOISE, [0.7]) == probabilistic_sharpe(NOISE)


@given(st.integers(1, 10_000), st.floats(0.0, 1.0))
def test_more_trials_raise_the_bar_in_proportion_to_their_spread(n_trials, spread):
    assert expected_max_sharpe(n_trials + 1, 1.0) > expected_max_sharpe(n_trials, 1.0)
    assert expected_max_sharpe(n_trials, spread) == pytest.approx(spread * expected_max_sharpe(n_trials, 1.0))


def test_moments_by_hand():
    # 4 sessions: mean 1 %, deviations -2, 0, 0, 2 %
    found = sharpe_moments([-0.01, 0.01, 0.01, 0.03])
    assert found.n_sessions == 4
    assert found.sharpe_1d == pytest.approx(0.01 / math.sqrt(8e-4 / 3.0))
    assert found.skewness == pytest.approx(0.0, abs=1e-12)
    assert found.kurtosis == pytest.approx(2.0)  # mean of 16, 0, 0, 16 over the square of the mean of 4, 0, 0, 4


@pytest.mark.parametrize("returns", [NOISE, FAT])
def test_moments_equal_scipys(returns):
    found = sharpe_moments(returns)
    assert found.sharpe_1d * math.sqrt(252.0) == pytest.approx(sharpe(returns), rel=1e-12)
    assert found.skewness == pytest.approx(stats.skew(returns), rel=1e-10)
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-10)


@pytest.mark.slow
def test_the_probability_is_right_as_often_as_it_says():
    # at the true Sharpe ratio the probability itself is uniform: below 5 % in 5 % of the histories, whatever the skew
    scores = (RNG.gamma(4.0, size=(4000, 750)) - 4.0) / 2.0  # mean 0, deviation 1, skewness 1, kurtosis 4.5
    found = np.array([probabilistic_sharpe(row + 0.1, 0.1) for row in scores])
    assert [(found < level).mean() for level in (0.05, 0.5, 0.95)] == pytest.approx([0.05, 0.5, 0.95], abs=0.025)


def test_luck_alone_seldom_passes_the_deflated_sharpe():
    passed, best_passed = 0, 0
    for seed in range(300):
        tries = np.random.default_rng(seed).normal(0.0, 0.01, (20, 500))
        sharpes = tries.mean(axis=1) / tries.std(axis=1, ddof=1)
        best = tries[np.argmax(sharpes)]
        passed += probabilistic_sharpe(best) > 0.95
        best_passed += deflated_sharpe(best, sharpes) > 0.95
    assert passed / 300 > 0.5  # 1 - 0.95 ** 20 = 0.64 of the best of twenty look skilled
    assert best_passed / 300 < 0.02


@pytest.mark.slow
@given(st.floats(-0.5, 0.5), st.floats(1e-3, 1e3))
def test_the_probability_ignores_the_stake_and_falls_with_the_benchmark(benchmark, stake):
    base = probabilistic_sharpe(FAT, benchmark)
    assert probabilistic_sharpe(stake * FAT, benchmark) == pytest.approx(base, rel=1e-9, abs=1e-12)
    assert probabilistic_sharpe(FAT, benchmark + 0.01) <= base


@pytest.mark.parametrize("returns", [NOISE, FAT])
def test_a_history_is_even_odds_against_its_own_sharpe(returns):
    assert probabilistic_sharpe(returns, sharpe_moments(returns).sharpe_1d) == 0.5


@given(st.floats(0.51, 0.999), st.floats(-0.05, 0.02))
def test_a_history_of_the_minimum_length_has_just_the_confidence(confidence, benchmark):
    moments = sharpe_moments(NOISE)
    needed = min_track_record(NOISE, benchmark, confidence)
    at_length = SharpeMoments(needed, moments.sharpe_1d, moments.skewness, moments.kurtosis)
    assert probabilistic_sharpe(at_length, benchmark) == pytest.approx(confidence, rel=1e-9)


def test_no_length_is_enough_for_a_sharpe_below_the_benchmark():
    assert min_track_record(-np.abs(NOISE)) == math.inf
    assert min_track_record(NOISE, sharpe_moments(NOISE).sharpe_1d) == math.inf


@pytest.mark.parametrize("flat", [np.full(50, 0.001), [0.01], []])
def test_a_history_without_risk_has_no_odds(flat):
    assert math.isnan(probabilistic_sharpe(flat))
    assert math.isnan(min_track_record(flat))
    assert math.isnan(deflated_sharpe(flat, TRIALS_1D))


def test_a_trial_without_risk_counts_as_a_try_but_not_for_the_spread():
    expected = probabilistic_sharpe(NOISE, expected_max_sharpe(6, float(TRIALS_1D.std(ddof=1))))
    assert deflated_sharpe(NOISE, [*TRIALS_1D, math.nan]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_max_sharpe(0, 0.1), "0 trials"),
        (lambda: expected_max_sharpe(3, -0.1), "standard deviation -0.1"),
        (lambda: deflated_sharpe(NOISE, []), "0 trials"),
        (lambda: deflated_sharpe(NOISE, [0.1, math.inf]), "infinite"),
        (lambda: probabilistic_sharpe([0.1, math.nan]), "is nan"),
        (lambda: min_track_record(NOISE, confidence=0.3), "confidence is 0.3"),
        (lambda: significance_row([], 0.0, math.nan, LUCK, 1), "0 returns"),
        (lambda: significance_row(NOISE, NOISE[:5], math.nan, LUCK, 1), "1000 returns, 5 of cash"),
        (lambda: significance_row(NOISE, 0.0, NOISE[:7], LUCK, 1), "7 of the benchmark"),
    ],
)
def test_a_question_without_an_answer_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_a_row_holds_every_column_of_the_table_from_returns_over_cash_and_over_the_benchmark():
    cash, index = np.linspace(0.0001, 0.0003, 1000), np.random.default_rng(5).normal(0.0003, 0.01, 1000)
    index[:100] = math.nan  # no index yet
    excess, active = NOISE - cash, (NOISE - index)[100:]
    row = significance_row(NOISE, cash, index, LUCK, seed=4)
    luck_1d = 1.2 / math.sqrt(1000)
    of_sharpe, of_growth = sharpe_interval(excess, seed=4), growth_interval(NOISE, seed=4)
    assert ["strategy", *row] == list(Significance.column_names())
    assert row == pytest.approx(
        {
            "n_sessions": 1000,
            "n_trials": 5,
            "n_own_trials": 3,
            "n_clusters": 4,
            "sharpe_ann": sharpe(NOISE, cash),
            "sharpe_low_ann": of_sharpe.low,
            "sharpe_high_ann": of_sharpe.high,
            "cagr_low": of_growth.low,
            "cagr_high": of_growth.high,
            "probabilistic_sharpe": probabilistic_sharpe(excess),
            "expected_max_sharpe_ann": luck_1d * math.sqrt(252.0),
            "deflated_sharpe": probabilistic_sharpe(excess, luck_1d),
            "information_ratio_ann": sharpe(active),
            "expected_max_sharpe_vs_benchmark_ann": 0.9 * math.sqrt(252.0 / 900.0),
            "deflated_sharpe_vs_benchmark": probabilistic_sharpe(active, 0.9 / math.sqrt(900)),
            "min_track_record_sessions": min_track_record(excess),
        },
        rel=1e-12,
    )


DAYS = [date(2021, 1, 1) + timedelta(days=k) for k in range(301)]
CASH = pl.DataFrame({
    "date": DAYS, "risk_free_return_1d": [0.0, *[0.0002] * 300],
    "simple_return_1d": np.concatenate([[0.0], NOISE[300:600]]), "series": "index",
})  # fmt: skip


def book(name, returns, start=0):
    """A strategy's days: the opening row, then its returns."""
    return pl.DataFrame(
        {
            "date": DAYS[start : start + len(returns) + 1],
            "strategy": name,
            "simple_return_1d": np.concatenate([[0.0], returns]),
        }
    )


DAILY = pl.concat(
    [
        book("skilled", NOISE[:300] + 0.001),
        book("losing", NOISE[300:500] - 0.003, start=100),
        book("cash", np.full(300, 0.0002)),
        book("opened today", np.zeros(0), start=300),
    ]
)


def test_the_table_leaves_out_the_opening_session_and_measures_each_strategy_over_its_own():
    table = significance_table(DAILY.sample(fraction=1.0, shuffle=True, seed=1), CASH, LUCK, seed=2)
    assert table["strategy"].to_list() == ["cash", "losing", "skilled"]
    assert table["n_sessions"].to_list() == [300, 200, 300]
    assert table["n_trials"].to_list() == [5, 5, 5]
    expected = significance_row(NOISE[:300] + 0.001, 0.0002, NOISE[300:600], LUCK, seed=2)
    assert table.drop("strategy").row(2, named=True) == pytest.approx(expected, rel=1e-12)
    # a hurdle in standard errors is higher for a shorter history
    hurdles = table["expected_max_sharpe_ann"].to_list()
    assert hurdles == pytest.approx([1.2 * math.sqrt(252.0 / n) for n in (300, 200, 300)])


def test_what_is_undefined_is_null_in_the_table():
    table = significance_table(DAILY, CASH, LUCK, seed=2)
    cash, losing, skilled = table.rows(named=True)
    undefined = ["sharpe_ann", "sharpe_low_ann", "sharpe_high_ann", "probabilistic_sharpe", "deflated_sharpe"]
    assert [cash[name] for name in [*undefined, "min_track_record_sessions"]] == [None] * 6
    assert cash["cagr_low"] == pytest.approx(1.0002**252 - 1.0)
    assert losing["min_track_record_sessions"] is None
    assert losing["sharpe_ann"] < 0.0
    assert None not in skilled.values()


def test_without_a_register_the_strategies_of_the_table_are_the_tries():
    alone = significance_table(DAILY, CASH, seed=2)
    tried = histories(DAILY, CASH).rename({"strategy": "trial"})
    assert alone.equals(significance_table(DAILY, CASH, luck_of(tried), seed=2))
    assert alone["n_trials"].to_list() == [3, 3, 3]


def test_no_strategy_gives_an_empty_table():
    assert significance_table(DAILY.clear(), CASH, seed=1).equals(Significance.create_empty())


def test_a_session_without_a_risk_free_return_is_refused():
    with pytest.raises(DataError, match=f"significance cash: no risk-free return on {DAYS[150]}"):
        significance_table(DAILY, CASH.filter(pl.col("date") != DAYS[150]), seed=1)
