"""Names that a decision keeps, and decisions that fall due while the whole market has no prices: numbers by hand."""

import numpy as np
import pytest
from ledger_cases import NAN, book_of, flat

from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Rules, run_ledger
from quant_core.trading.market import BOTH, CLOSED, Market

STILL = np.zeros((6, 3))


def decided(*decisions, unit="weight"):
    """From (session, {name: amount}), None for a name to keep."""
    rows = [
        (row, name, NAN if amount is None else amount) for row, wanted in decisions for name, amount in wanted.items()
    ]
    return Decisions.of([row for row, _ in decisions], *zip(*rows, strict=True), unit)


def test_a_name_that_is_kept_has_no_order_and_the_others_share_what_it_leaves():
    book = book_of(STILL, STILL, decided((0, {0: 0.4, 1: 0.6}), (2, {0: None, 2: 1.0})))
    assert book.weights[1].tolist() == [0.4, 0.6, 0.0]
    assert book.weights[3] == pytest.approx([0.4, 0.0, 0.6], abs=1e-15)
    assert book.n_fills.tolist() == [0, 2, 0, 2, 0, 0]
    assert book.turnover[3] == pytest.approx(0.6)


def test_targets_that_fit_beside_what_is_kept_are_not_shrunk():
    book = book_of(STILL, STILL, decided((0, {0: 0.4}), (2, {0: None, 1: 0.5}), (3, {0: None, 1: 0.6, 2: 0.3})))
    assert book.weights[3] == pytest.approx([0.4, 0.5, 0.0])
    assert book.weights[4] == pytest.approx([0.4, 0.4, 0.2])  # 0.9 into 0.6: two thirds of each


def test_a_kept_name_that_is_not_held_changes_nothing():
    plain = book_of(STILL, STILL, decided((0, {0: 0.5, 1: 0.5})))
    kept = book_of(STILL, STILL, decided((0, {0: 0.5, 1: 0.5, 2: None})))
    np.testing.assert_array_equal(plain.weights, kept.weights)


def test_a_kept_name_drifts_and_is_measured_at_the_fill():
    overnight = STILL.copy()
    overnight[3, 0] = 1.0  # 0.5 of 1000 becomes 1000 of 1500
    book = book_of(overnight, STILL, decided((0, {0: 0.5, 1: 0.5}), (2, {0: None, 2: 1.0})))
    assert book.weights[3] == pytest.approx([2 / 3, 0.0, 1 / 3])


def test_an_open_order_in_a_name_that_is_kept_is_dropped():
    rules = Rules(carry_over=True, max_participation=0.1)
    traded = np.full((6, 3), 1000.0)  # 100 rupees a session
    for later, shares in ((None, [100.0, 200.0, 200.0, 200.0]), (0.4, [100.0, 200.0, 300.0, 400.0])):
        book = book_of(STILL, STILL, decided((0, {0: 0.4}), (2, {0: later})), rules=rules, traded_value_inr=traded)
        assert (book.weights[1:5, 0] * 1000.0) == pytest.approx(shares)


def test_everything_kept_trades_nothing_and_costs_nothing():
    book = book_of(STILL, STILL, decided((0, {0: 0.5, 1: 0.5}), (2, {0: None, 1: None, 2: 1.0})), rate=0.01)
    assert book.n_fills[3:].sum() == 0
    assert book.cost[3:].sum() == 0.0


def test_costs_are_paid_by_what_is_traded_and_the_rest_of_the_cash_reaches_no_further():
    book = book_of(STILL, STILL, decided((0, {0: 0.5}), (2, {0: None, 1: 1.0})), rate=0.01)
    bought = book.cash[2] / 1.01
    assert book.weights[3, 1] * book.equity[3] == pytest.approx(bought)
    assert book.cash[3] == 0.0


def test_whole_shares_are_bought_of_what_is_left():
    prices = np.full((6, 3), 90.0)
    rules = Rules(whole_shares=True)
    book = book_of(STILL, STILL, decided((0, {0: 0.5}), (2, {0: None, 1: 1.0})), rules=rules, open_inr=prices)
    assert book.weights[1, 0] * 1000.0 == pytest.approx(450.0)
    assert book.weights[3, 1] * 1000.0 == pytest.approx(540.0)  # six of them for 550


def test_shares_are_bought_as_asked_whatever_is_kept():
    prices = np.full((6, 3), 10.0)
    book = book_of(STILL, STILL, decided((0, {0: 50.0}), (2, {0: None, 1: 20.0}), unit="shares"), open_inr=prices)
    assert book.weights[3] == pytest.approx([0.5, 0.2, 0.0])


def test_the_threshold_measures_what_is_not_kept():
    # Held 0.5, 0.5; keeping the first and wanting the second as it is: no distance. Wanting the third instead: 0.5.
    for wanted, is_traded in (({0: None, 1: 0.5}, False), ({0: None, 1: 1.0}, False), ({0: None, 2: 1.0}, True)):
        book = book_of(STILL, STILL, decided((0, {0: 0.5, 1: 0.5}), (2, wanted)), rules=Rules(trade_threshold=0.3))
        assert (book.n_fills[3] > 0) == is_traded, wanted


def halted(*rows):
    """(returns, open_to, outage) of a market without prices in these sessions."""
    returns, open_to = STILL.copy(), np.full((6, 3), BOTH)
    returns[list(rows)], open_to[list(rows)] = NAN, CLOSED
    outage = np.zeros(6, bool)
    outage[list(rows)] = True
    return returns, open_to, outage


@pytest.mark.parametrize("carry", [False, True])
def test_a_decision_that_falls_due_in_an_outage_waits_for_the_next_session_that_is_none(carry):
    returns, open_to, outage = halted(1, 2)
    rules = Rules(carry_over=carry)
    book = book_of(returns, returns, decided((0, {0: 0.4})), open_to=open_to, outage=outage, rules=rules)
    assert book.n_fills.tolist() == [0, 0, 0, 1, 0, 0]
    assert book.n_unfilled.sum() == 0
    assert book.trades.decided.tolist() == [0]
    one_name = book_of(returns, returns, decided((0, {0: 0.4})), open_to=open_to, rules=rules)  # told as a halt
    assert one_name.n_fills.sum() == (1 if carry else 0)


def test_it_is_sized_at_the_fill_with_the_return_that_spans_the_outage():
    returns, open_to, outage = halted(2)
    overnight = returns.copy()
    overnight[3, 0] = 1.0  # 500 of the first name become 1000
    targets = decided((0, {0: 0.5}), (1, {0: 0.5, 1: 0.5}))
    book = book_of(overnight, returns, targets, open_to=open_to, outage=outage)
    assert book.equity.tolist() == [1000.0, 1000.0, 1000.0, 1500.0, 1500.0, 1500.0]
    assert book.weights[3].tolist() == [0.5, 0.5, 0.0]


def test_of_two_decisions_that_an_outage_makes_due_together_the_later_counts():
    returns, open_to, outage = halted(1)
    book = book_of(returns, returns, decided((0, {0: 1.0}), (1, {1: 1.0})), open_to=open_to, outage=outage)
    assert book.weights[2].tolist() == [0.0, 1.0, 0.0]
    assert book.trades.decided.tolist() == [1]


def test_an_outage_to_the_end_fills_nothing():
    returns, open_to, outage = halted(3, 4, 5)
    book = book_of(returns, returns, decided((2, {0: 1.0})), open_to=open_to, outage=outage)
    assert book.n_fills.sum() == 0


def test_share_targets_follow_the_returns_until_they_are_filled():
    returns, open_to, outage = halted(1)
    overnight, intraday = returns.copy(), returns.copy()
    overnight[2, 0], intraday[2, 0] = 0.5, 0.1
    market = Market(overnight, intraday, open_to, open_inr=np.full((6, 3), 10.0), outage=outage)
    book = run_ledger(market, decided((0, {0: 20.0}), unit="shares"), flat(6), None, 1000.0)
    assert book.bought[2] == pytest.approx(20 * 10 * 1.5)


def test_due_sessions_are_the_plain_delay_without_an_outage_and_never_past_the_end():
    market = Market(STILL, STILL, np.ones(STILL.shape, bool), outage=[False, True, True, False, False, True])
    assert market.due_sessions(np.arange(6), 1).tolist() == [3, 3, 3, 4, 6, 6]
    assert market.due_sessions(np.arange(6), 2).tolist() == [3, 3, 4, 6, 6, 6]
    plain = Market(STILL, STILL, np.ones(STILL.shape, bool))
    assert plain.due_sessions(np.arange(6), 2).tolist() == [2, 3, 4, 5, 6, 6]
