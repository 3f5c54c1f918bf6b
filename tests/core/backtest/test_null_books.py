"""Books of random picks are equal weight on average, exactly; the ledger earns what arithmetic says that it must."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from stage_cases import END, FREE, START, stock

from quant_core import calendar
from quant_core.backtest import null_books as books
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.null_signals import choices_of
from quant_core.trading.ledger import Rules
from quant_core.trading.market import BOTH, Market

DAYS = calendar.sessions(START, END)
RNG = np.random.default_rng(12)
PRICES = pl.concat([stock(name, RNG, DAYS, paying=0.1) for name in "ABCDE"]).sort("date", "ticker")
CONFIGS = [
    replace(FREE, fill=fill, dividends=dividends, delay_sessions=delay, risk_free_rate_ann=0.06)
    for fill, dividends, delay in (("open", "cash", 1), ("close", "reinvest", 1), ("vwap", "cash", 2))
]


def desk(config, prices=PRICES):
    return books.desk_of(choices_of(prices, config, "weekly", START, END, 5), config)


def always(found, names):
    """(D, N) equal weights of the same names at every decision."""
    weights = np.zeros(found.universe.eligible.shape)
    weights[:, list(names)] = 1.0 / len(names)
    return weights


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.fill}-{c.dividends}-{c.delay_sessions}")
def test_from_fill_to_fill_all_picks_of_two_average_to_equal_weight_exactly(config):
    found = desk(config)
    picks = [books.run_book(found, always(found, pair)) for pair in combinations(range(5), 2)]
    even = books.run_book(found, books.equal_weights(found.universe.eligible))
    assert len(even.fill_return) > 8
    mean = np.mean([book.fill_return for book in picks], axis=0)
    np.testing.assert_allclose(mean, even.fill_return, rtol=0, atol=1e-12)
    # Day by day they do not: two names drift further apart than five.
    by_day = np.mean([book.gross_return for book in picks], axis=0) - even.gross_return
    assert 1e-7 < np.abs(by_day).max() < 1e-3


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.fill}-{c.dividends}-{c.delay_sessions}")
def test_the_ledger_earns_what_its_picks_earn_by_arithmetic(config):
    found = desk(config)
    scores = np.random.default_rng(2).normal(size=found.universe.eligible.shape)
    book = books.run_book(found, books.top_weights(scores, found.universe.eligible, 2))
    np.testing.assert_allclose(book.fill_return, book.pick_return, rtol=0, atol=1e-12)
    assert np.abs(book.fill_return).max() > 0.01


def test_an_order_that_was_left_open_is_the_difference_between_both():
    sessions = desk(FREE).universe.panel.sessions
    fill = sessions[desk(FREE).fills[0]]
    shut = PRICES.with_columns(
        is_tradable=pl.col("is_tradable") & ~((pl.col("date") == fill) & (pl.col("ticker") == "A"))
    )
    found = desk(FREE, shut)
    book = books.run_book(found, always(found, [0, 1]))
    left, filled = found.held_growth[0, 0], found.held_growth[0, 1]
    assert book.pick_return[0] == pytest.approx((left + filled) / 2)
    assert book.fill_return[0] == pytest.approx(filled / 2)  # half of the money stayed in cash
    np.testing.assert_allclose(book.fill_return[1:], book.pick_return[1:], rtol=0, atol=1e-12)


def test_growth_to_the_next_fill_by_hand():
    overnight = np.array([[0.0], [0.5], [0.10], [0.04]])
    intraday = np.array([[0.0], [0.02], [-0.05], [0.5]])
    market = Market(
        overnight, intraday, np.full((4, 1), BOTH), cash_return_1d=np.array([0.0, 0.0, 0.01, 0.02]),
        dividend_return=np.array([[0.0], [0.0], [0.03], [0.0]]),
    )  # fmt: skip
    fills = np.array([1, 3])
    # Bought at the open of session 1: + 2 %, then 3 % paid out and + 7 % left, - 5 %, + 4 % to the open of session 3.
    paid = 1.02 * 0.03 * 1.02
    assert books.growth_to_next_fill(market, Rules(dividends="cash"), fills)[0, 0] == pytest.approx(
        1.02 * 1.07 * 0.95 * 1.04 + paid - 1.0
    )
    kept = books.growth_to_next_fill(market, Rules(dividends="reinvest"), fills)[0, 0]
    assert kept == pytest.approx(1.02 * 1.10 * 0.95 * 1.04 - 1.0)
    at_close = books.growth_to_next_fill(market, Rules(fill="close"), fills)[0, 0]
    assert at_close == pytest.approx(1.10 * 0.95 * 1.04 * 1.5 - 1.0)


def test_the_highest_scores_among_the_eligible_are_held_in_equal_parts():
    scores = np.array([[0.1, 9.0, 0.3, 0.2], [4.0, 3.0, 2.0, 1.0]])
    eligible = np.array([[True, False, True, True], [True, True, False, True]])
    assert books.top_weights(scores, eligible, 2).tolist() == [[0, 0, 0.5, 0.5], [0.5, 0.5, 0, 0]]
    assert books.equal_weights(eligible)[1].tolist() == [1 / 3, 1 / 3, 0, 1 / 3]


def test_every_name_is_drawn_equally_often():
    eligible = np.tile(np.arange(20) < 17, (40_000, 1))
    weights = books.top_weights(np.random.default_rng(1).standard_normal(eligible.shape), eligible, 5)
    share = (weights > 0).mean(axis=0)
    assert (share[17:] == 0.0).all()
    np.testing.assert_allclose(share[:17], 5 / 17, atol=4 * np.sqrt(5 / 17 * 12 / 17 / 40_000))


def test_what_costs_took_is_the_gap_between_gross_and_net():
    found = desk(BacktestConfig(cost_model="nse_delivery"))
    scores = np.random.default_rng(2).normal(size=found.universe.eligible.shape)
    book = books.run_book(found, books.top_weights(scores, found.universe.eligible, 2))
    gap = (book.gross_return - book.net_return).sum()
    assert gap == pytest.approx(book.cost_share.sum(), rel=0.02)
    assert gap > 0.01
