"""Scores of known skill: what was decided on, what came of it, and that each kind of score is what it says it is."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from scipy.stats import kstest, spearmanr
from stage_cases import END, FREE, NIFTY, START, make_prices, wild_case

from quant_core import calendar
from quant_core.backtest import null_signals as signals
from quant_core.errors import DataError
from quant_core.measures.forward_returns import forward_returns
from quant_core.measures.newey_west import newey_west_t

NAMES = tuple("ABCDEFGH")
PRICES = make_prices(NAMES)


def universe(prices=PRICES, end=END, horizon=5):
    return signals.choices_of(prices, FREE, "weekly", START, end, horizon)


def wide(n_decisions=1500, n_names=50, seed=3):
    """A universe of arrays only, a tenth of it not eligible and some returns not known."""
    rng = np.random.default_rng(seed)
    shape = (n_decisions, n_names)
    forward = np.where(rng.random(shape) < 0.05, np.nan, rng.normal(0, 0.04, shape))
    return signals.Choices(None, np.arange(n_decisions), rng.random(shape) < 0.9, forward)


def test_members_that_trade_on_the_date_are_eligible_and_an_index_never_is():
    day = date(2021, 1, 15)
    prices = PRICES.with_columns(
        is_member=pl.col("is_member") & ~((pl.col("date") == day) & (pl.col("ticker") == "A")),
        is_tradable=pl.col("is_tradable") & ~((pl.col("date") == day) & (pl.col("ticker") == "B")),
    )
    found = universe(prices)
    assert found.panel.tickers.to_list() == list(NAMES)
    d = [found.panel.sessions[row] for row in found.rows].index(day)
    assert found.eligible[d].tolist() == [name not in "AB" for name in NAMES]
    assert np.delete(found.eligible, d, axis=0).all()


@pytest.mark.parametrize("horizon", [1, 5])
def test_forward_returns_are_those_of_the_labels(horizon):
    compared = 0
    for seed in range(6):
        prices = wild_case(seed).prices
        found = universe(prices, horizon=horizon)
        labels = forward_returns(prices, horizon)
        known = {(day, ticker): value for day, ticker, _, value in labels.iter_rows()}
        for d, row in enumerate(found.rows):
            for name in np.flatnonzero(found.eligible[d]):
                label = known[found.panel.sessions[row], found.panel.tickers[int(name)]]
                own = found.forward_return[d, name]
                assert own == pytest.approx(np.nan if label is None else label, rel=1e-9, abs=1e-12, nan_ok=True)
                compared += label is not None
    assert compared > 50


def test_what_comes_after_the_end_is_not_read():
    end = date(2021, 2, 26)
    later = PRICES.with_columns(
        pl.when(pl.col("date") > end).then(0.5).otherwise(name).alias(name)
        for name in ("overnight_return_1d", "intraday_return_1d")
    )
    one, other = universe(PRICES, end), universe(later, end)
    np.testing.assert_array_equal(one.forward_return, other.forward_return)
    assert one.panel.sessions[-1] == end
    assert np.isnan(one.forward_return[-1]).all()  # five sessions after the last decision are beyond it


def test_a_forward_return_is_known_from_the_session_of_its_exit_on():
    decision = date(2021, 1, 15)
    after = calendar.sessions(decision, END)
    for end, is_known in ((after[6], True), (after[5], False)):
        found = universe(end=end)
        d = [found.panel.sessions[row] for row in found.rows].index(decision)
        assert (~np.isnan(found.forward_return[d])).tolist() == [is_known] * len(NAMES)


def test_a_span_without_two_decisions_is_refused():
    with pytest.raises(DataError, match="1 weekly decisions"):
        universe(end=date(2021, 1, 7))
    with pytest.raises(DataError, match="0 weekly decisions"):
        universe(PRICES.filter(pl.col("ticker") == NIFTY))


def test_rank_ic_is_spearmans_correlation_over_the_eligible_names():
    market, rng = wide(40, 12), np.random.default_rng(1)
    scores = np.round(rng.normal(size=market.eligible.shape), 1)  # with ties
    found = signals.rank_ic(scores, market)
    for d in range(40):
        valid = market.eligible[d] & ~np.isnan(market.forward_return[d])
        assert found[d] == pytest.approx(spearmanr(scores[d, valid], market.forward_return[d, valid]).statistic)
    few = signals.Choices(None, market.rows, np.arange(12) < np.full((40, 1), 4), market.forward_return)
    assert np.isnan(signals.rank_ic(scores, few)).all()


def test_the_t_statistic_is_that_of_the_forecast_scores():
    values = np.random.default_rng(2).normal(0.05, 0.15, 300).cumsum() / 10
    holed = np.insert(values, 7, np.nan)
    for horizon in (1, 20):
        _, expected = newey_west_t(values, horizon_sessions=horizon)
        assert signals.newey_west_t(holed, horizon - 1) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(signals.newey_west_t(np.full(10, 0.1)))
    assert np.isnan(signals.newey_west_t(np.array([0.1])))


def test_a_persistent_score_keeps_its_share_and_stays_standard_normal_on_every_date():
    eligible = np.ones((60, 20_000), bool)
    scores = signals.persistent_scores(eligible, np.random.default_rng(4), 0.9)
    for d in (0, 1, 30, 59):
        assert kstest(scores[d], "norm").pvalue > 0.001
    for lag in (1, 5):
        assert np.corrcoef(scores[20], scores[20 + lag])[0, 1] == pytest.approx(0.9**lag, abs=0.02)
    fresh = signals.independent_scores(eligible, np.random.default_rng(4))
    np.testing.assert_array_equal(signals.persistent_scores(eligible, np.random.default_rng(4), 0.0), fresh)
    assert abs(np.corrcoef(fresh[0], fresh[1])[0, 1]) < 0.03


@pytest.mark.parametrize("skill", [0.02, 0.05, 0.3])
def test_a_planted_score_has_the_rank_ic_that_it_was_planted_with(skill):
    market = wide()
    by_decision = signals.rank_ic(signals.planted_scores(market, np.random.default_rng(6), skill), market)
    error = by_decision.std() / np.sqrt(len(by_decision))
    # about 43 names a date rank a little less well than infinitely many: (n - 2) / (n + 1) of it
    assert by_decision.mean() == pytest.approx(skill, abs=4 * error + 0.07 * skill)
    assert signals.newey_west_t(by_decision) > 3


def test_a_name_whose_return_is_not_known_is_scored_by_noise():
    market = wide()
    scores = signals.planted_scores(market, np.random.default_rng(6), 0.9)
    unknown = np.isnan(market.forward_return) | ~market.eligible
    noise = np.random.default_rng(6).standard_normal(scores.shape)
    np.testing.assert_array_equal(scores[unknown], noise[unknown])
    assert (scores[~unknown] != noise[~unknown]).all()


def test_random_scores_have_no_rank_ic():
    market = wide()
    by_decision = signals.rank_ic(signals.independent_scores(market.eligible, np.random.default_rng(8)), market)
    assert abs(by_decision.mean()) < 3 * by_decision.std() / np.sqrt(len(by_decision))
