"""Positions that end by terms (merger, cash, write-off) or at the default haircut: the ledger by hand."""

from dataclasses import replace

import numpy as np
import pytest
from ledger_cases import NAN, book_of
from test_bad_days_02_kept_and_outage import decided

from quant_core.errors import DataError
from quant_core.trading import arrays as arrays
from quant_core.trading.ledger import Rules, check_reconciles
from quant_core.trading.market import Market

STILL = np.zeros((6, 2))
HELD = decided((0, {0: 0.6, 1: 0.4}))
COSTLY = Rules(delisting_haircut=0.3)


def ends(factor, into=-1, row=3, name=0):
    return (np.array([row]), np.array([name]), np.array([factor]), np.array([into]))


def without(*rows_of_first):
    """Returns of two names, of which the first has none in these sessions."""
    returns = STILL.copy()
    returns[list(rows_of_first), 0] = NAN
    return returns


@pytest.mark.parametrize(("factor", "equity"), [(0.0, 400.0), (0.5, 700.0), (1.0, 1000.0), (1.05, 1030.0)])
def test_a_position_becomes_its_last_value_times_the_factor_in_cash_and_costs_nothing(factor, equity):
    gone = without(3, 4, 5)
    book = book_of(gone, gone, HELD, delistings=ends(factor), rules=COSTLY, rate=0.0)
    assert book.equity[3] == pytest.approx(equity)
    assert book.cash[3] == pytest.approx(600.0 * factor)
    assert book.cost.sum() == book.turnover[3] == 0.0
    assert book.weights[3, 0] == 0.0
    assert book.trades.kind.tolist() == [0, 0, arrays.DELISTING]
    assert book.trades.amount[-1] == pytest.approx(600.0 * factor)
    check_reconciles(book)


def test_without_terms_the_haircut_is_a_cost():
    gone = without(3, 4, 5)
    book = book_of(gone, gone, HELD, delistings=ends(NAN), rules=COSTLY)
    assert book.equity[3] == pytest.approx(820.0)
    assert book.cost[3] == pytest.approx(180.0)
    assert book.trades.amount[-1] == pytest.approx(600.0)


def received(fill, dividends="reinvest"):
    """600 rupees of the first name become shares of the second, which then moves +10 % overnight, +20 % in the day."""
    overnight, intraday = without(3, 4, 5), without(3, 4, 5)
    overnight[3, 1], intraday[3, 1] = 0.1, 0.2
    dividend = np.zeros((6, 2))
    dividend[3, 1] = 0.02
    vwap = np.zeros((6, 2))
    vwap[3, 1] = 0.05
    rules = Rules(fill=fill, dividends=dividends)
    return book_of(
        overnight, intraday, HELD, rules=rules, rate=0.01, capital=1010.0, delistings=ends(1.05, 1),
        dividend_return=dividend, vwap_return=vwap,
    )  # fmt: skip


@pytest.mark.parametrize("fill", ["open", "close", "vwap"])
@pytest.mark.parametrize("dividends", ["reinvest", "cash"])
def test_shares_received_earn_from_the_open_whatever_the_fill(fill, dividends):
    book = received(fill, dividends)
    before = book.equity[2] * book.weights[2]
    overnight = 0.1 - 0.02 * (dividends == "cash")
    expected = (before[1] * (1 + overnight) + 1.05 * before[0]) * 1.2
    assert book.weights[3] * book.equity[3] == pytest.approx([0.0, expected])
    assert book.dividend[3] == pytest.approx(0.02 * before[1] * (dividends == "cash"))  # none on what came at the open
    assert book.turnover[3] == book.cost[3] == 0.0
    assert book.n_fills[3] == 0
    assert book.trades.kind.tolist()[-2:] == [arrays.DELISTING, arrays.RECEIVED]
    assert book.trades.amount[-2:] == pytest.approx([1.05 * before[0]] * 2)
    assert book.trades.decided.tolist()[-2:] == [-1, -1]
    check_reconciles(book)


def test_a_name_that_was_not_held_is_received_and_can_be_sold_by_the_decision_of_that_session():
    gone = without(3, 4, 5)
    alone = decided((0, {0: 1.0}))
    assert book_of(gone, gone, alone, delistings=ends(0.5, 1)).weights[3:].tolist() == [[0.0, 1.0]] * 3
    open_to = np.full((6, 2), 3)
    open_to[3:, 0] = 0
    targets = decided((0, {0: 1.0}), (2, {0: 1.0}))
    sold = book_of(gone, gone, targets, delistings=ends(0.5, 1), rate=0.01, open_to=open_to)
    assert sold.weights[3].tolist() == [0.0, 0.0]  # the decision named the other only, which cannot be bought
    at_end = 1000.0 / 1.01 * 0.5
    assert sold.cash[3] == pytest.approx(at_end * 0.99)
    check_reconciles(sold)


def test_an_order_in_a_name_that_ends_is_dropped_and_a_later_target_cannot_be_bought():
    gone, open_to = without(3, 4, 5), np.full((6, 2), 3)
    open_to[3:, 0] = 0
    rules = Rules(carry_over=True, max_participation=0.1)
    traded = np.full((6, 2), 1000.0)
    book = book_of(
        gone, gone, decided((0, {0: 1.0}), (4, {0: 1.0})), delistings=ends(0.0), rules=rules, open_to=open_to,
        traded_value_inr=traded,
    )  # fmt: skip
    assert book.equity.tolist() == [1000.0, 1000.0, 1000.0, 800.0, 800.0, 800.0]  # 200 were held
    assert book.n_fills[3:].sum() == 0


def test_a_chain_of_mergers_in_one_session_ends_in_its_last_name():
    still = np.zeros((4, 3))
    events = (np.array([2, 2]), np.array([1, 0]), np.array([2.0, 0.5]), np.array([2, 1]))  # 0 into 1, 1 into 2
    book = book_of(still, still, decided((0, {0: 1.0})), delistings=events)
    assert book.weights[2].tolist() == [0.0, 0.0, 1.0]
    assert book.equity[2] == pytest.approx(1000.0)  # x 0.5 x 2


def test_a_name_that_returns_is_a_new_purchase_only():
    gone = without(2, 3)
    overnight = gone.copy()
    overnight[4, 0] = 5.0
    book = book_of(overnight, gone, HELD, delistings=ends(NAN, row=3), rules=COSTLY)
    assert book.equity[3:].tolist() == pytest.approx([820.0] * 3)  # the rise after the end is not ours


@pytest.mark.parametrize(
    ("factor", "into", "name", "message"),
    [(-0.1, -1, 0, "has terms that cannot be"), (NAN, 1, 0, "has terms that cannot be"),
     (1.0, 0, 0, "has terms that cannot be"), (1.0, 2, 0, "lies outside"), (np.inf, -1, 0, "has terms")],
)  # fmt: skip
def test_terms_that_cannot_be_are_refused(factor, into, name, message):
    with pytest.raises(DataError, match=f"delisting in row 3 column {name} {message}"):
        Market(STILL, STILL, np.ones((6, 2), bool), delistings=ends(factor, into, 3, name))


def test_a_market_can_be_copied_with_its_terms():
    market = Market(STILL, STILL, np.ones((6, 2), bool), delistings=ends(0.5, 1))
    again = replace(market, cash_return_1d=np.full(6, 0.001))
    assert again.delistings.into.tolist() == [1]
    assert again.delistings.factor.tolist() == [0.5]
