"""The account that is stepped: to the last bit the ledger of the same decisions, and numbers by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_cases import NAN, SEEDS, case_of, cases, column, flat

from quant_core.errors import DataError
from quant_core.trading.account import Account
from quant_core.trading.ledger import Ledger, Rules, check_reconciles
from quant_core.trading.market import Market

SERIES = ("equity", "cash", "simple_return", "turnover", "cost", "interest", "dividend", "n_fills", "n_unfilled")


def steps(case, first=0):
    """Every day of a case's account, its decisions taken one by one from dense weights."""
    account = Account(case.market, case.costs, case.rules, case.capital, first)
    days = [account.day]
    while not account.is_over:
        wanted = case.decided.get(account.day.session)
        weights = None if wanted is None else np.zeros(case.market.n_names)
        for name, amount in (wanted or {}).items():
            weights[name] = amount
        days.append(account.step(weights))
    return days


def assert_same(days, book: Ledger, first=0):
    assert [day.session for day in days] == list(range(first, first + len(book.equity)))
    for name in SERIES:
        np.testing.assert_array_equal([getattr(day, name) for day in days], getattr(book, name), err_msg=name)
    np.testing.assert_array_equal([day.weights for day in days], book.weights)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(cases(units=("weight",)))
def test_stepping_day_by_day_is_the_whole_run_to_the_last_bit(case):
    assert_same(steps(case), case.run())


@settings(max_examples=60, deadline=None)
@given(cases(units=("weight",)), st.integers(1, 10))
def test_an_account_may_open_at_any_session(case, first):
    first = min(first, case.market.n_sessions - 1)
    case = replace(case, decided={row: day for row, day in case.decided.items() if row >= first})
    assert_same(steps(case, first), case.run(first), first)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.booleans())
def test_a_log_that_outgrows_its_room_loses_nothing(seed, threshold):
    """Forty names held and paying dividends, under decisions of one name that are never acted on or keep the rest."""
    case = case_of(seed, Rules(dividends="cash", trade_threshold=0.9 * threshold), shape=(120, 40))
    one = {0: 1e-6} if threshold else {0: 0.01, **dict.fromkeys(range(1, 40), NAN)}
    decided = {0: dict.fromkeys(range(40), 1 / 40)} | {row: one for row in range(1, 100)}
    case = replace(case, decided=decided)
    assert_same(steps(case), case.run())
    check_reconciles(case.run())


def test_a_day_by_hand():
    """Half of 1,000 rupees at 1 %, bought at the open, then + 10 %; 1 % interest on what is left; a dividend of 2 %."""
    market = Market(
        column(NAN, 0.0, 0.02), column(0.0, 0.10, 0.0), np.ones((3, 1), bool), cash_return_1d=[0.0, 0.0, 0.01],
        dividend_return=column(0.0, 0.0, 0.02),
    )  # fmt: skip
    account = Account(market, flat(3, 0.01), Rules(dividends="cash"), 1000.0)
    assert (account.day.session, account.day.equity, account.day.simple_return) == (0, 1000.0, 0.0)
    bought = account.step([0.5])
    assert (bought.session, bought.n_fills, bought.n_unfilled) == (1, 1, 0)
    assert (bought.cost, bought.interest, bought.dividend) == (5.0, 0.0, 0.0)
    assert (bought.cash, bought.equity) == pytest.approx((495.0, 1045.0))
    assert bought.simple_return == pytest.approx(0.045)
    assert bought.weights == pytest.approx([550.0 / 1045.0])
    assert bought.turnover == pytest.approx(0.5 * (500.0 + 505.0) / 1000.0)
    held = account.step()
    assert held.interest == pytest.approx(4.95)
    assert held.dividend == pytest.approx(0.02 * 550.0)
    assert held.cash == pytest.approx(495.0 + 4.95 + 11.0)
    assert held.weights == pytest.approx([550.0 / held.equity])
    assert (held.n_fills, held.cost, held.turnover) == (0, 0.0, 0.0)
    assert account.is_over


def test_a_decision_waits_for_its_delay_while_later_ones_are_taken():
    market = Market(np.zeros((6, 2)), np.zeros((6, 2)), np.ones((6, 2), bool))
    account = Account(market, flat(6), Rules(delay_sessions=3), 1000.0)
    days = [account.step(weights) for weights in ([1.0, 0.0], [0.0, 0.5], None, [0.0, 0.0], None)]
    held = [[0, 0], [0, 0], [1, 0], [0, 0.5], [0, 0.5]]  # the fourth decision would fall due after the last session
    np.testing.assert_allclose([day.weights for day in days], held)


def test_what_an_account_holds_is_not_changed_through_a_day_or_through_the_weights_given():
    case = case_of(4, Rules())
    weights, account = np.full(5, 0.1), Account(case.market, case.costs, case.rules, case.capital)
    day = account.step(weights)
    day.weights[:] = weights[:] = 0.0
    other = Account(case.market, case.costs, case.rules, case.capital)
    other.step(np.full(5, 0.1))
    assert account.step().equity == other.step().equity


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5], r"account: weights have shape \(1,\); wanted \(2,\)"),
        ([[0.5, 0.5]], r"account: weights have shape \(1, 2\)"),
        ([0.5, -0.1], "targets row 1 column 1 is -0.1"),
        ([np.inf, 0.0], "targets row 1 column 0 is inf"),
        ([0.6, 0.5], r"targets row 1 sums to 1\.1"),
    ],
)
def test_weights_that_no_account_could_hold_are_refused_and_the_day_stays(weights, message):
    account = Account(Market(np.zeros((4, 2)), np.zeros((4, 2)), np.ones((4, 2), bool)), flat(4))
    account.step([0.5, 0.5])
    with pytest.raises(DataError, match=message):
        account.step(weights)
    assert account.step([0.2, NAN]).session == 2


def test_an_account_cannot_outlive_its_market_or_open_without_money():
    market = Market(np.zeros((2, 1)), np.zeros((2, 1)), np.ones((2, 1), bool))
    account = Account(market, flat(2))
    account.step()
    with pytest.raises(DataError, match="session 1 is the market's last"):
        account.step()
    with pytest.raises(DataError, match=r"a capital of 0\.0 rupees"):
        Account(market, flat(2), None, 0.0)
    with pytest.raises(DataError, match="first is 2"):
        Account(market, flat(2), first=2)
