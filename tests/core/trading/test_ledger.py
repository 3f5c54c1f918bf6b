"""The ledger against numbers by hand. What always holds is in test_ledger_laws, the day loop in test_ledger_oracle."""

import numpy as np
import pytest
from ledger_cases import NAN, book_of, column, flat

from quant_core.errors import DataError
from quant_core.trading import arrays as arrays
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import (
    Rules,
    check_reconciles,
    run_ledger,
)
from quant_core.trading.market import BUY, SELL, Market


def test_one_purchase_held_over_a_night_matches_the_arithmetic_by_hand():
    book = book_of(column(0.5, 0.5, 0.10), column(0.5, 0.02, -0.05), column(0.5, NAN, NAN), rate=0.002)
    # Buy 500 at the open of session 1 for a cost of 1; +2 % to 510; then +10 % and -5 % to 532.95. Cash 499.
    np.testing.assert_allclose(book.cash, [1000.0, 499.0, 499.0])
    np.testing.assert_allclose(book.equity, [1000.0, 1009.0, 1031.95])
    np.testing.assert_allclose(book.simple_return, [0.0, 0.009, 1031.95 / 1009.0 - 1.0])
    np.testing.assert_allclose(book.cost, [0.0, 1.0, 0.0])
    np.testing.assert_allclose(book.turnover, [0.0, 0.5 * (0.5 + 0.501), 0.0])
    np.testing.assert_allclose(book.weights[:, 0], [0.0, 510.0 / 1009.0, 532.95 / 1031.95])
    assert book.n_fills.tolist() == [0, 1, 0]
    assert book.n_unfilled.tolist() == [0, 0, 0]


def test_a_fill_at_the_close_earns_nothing_on_its_day_and_one_at_vwap_the_rest_of_it():
    prices = column(0.0, 0.3, 0.10), column(0.0, 0.2, 0.0), column(1.0, NAN, NAN)
    np.testing.assert_allclose(book_of(*prices, rules=Rules(fill="close")).simple_return, [0.0, 0.0, 0.10])
    vwap = book_of(*prices, rules=Rules(fill="vwap"), vwap_return=column(NAN, 0.05, NAN))
    np.testing.assert_allclose(vwap.simple_return, [0.0, 1.2 / 1.05 - 1.0, 0.10])


def test_buys_beyond_the_cash_shrink_by_one_factor_and_leave_no_cash():
    none = np.zeros((2, 2))
    book = book_of(none, none, [[0.75, 0.25], [NAN, NAN]], rate=0.01, capital=101.0)
    np.testing.assert_allclose(book.weights[1] * book.equity[1], [75.0, 25.0])  # 101 = 100 of stock + 1 of cost
    assert book.cash[1] == 0.0


def test_an_unfilled_sale_keeps_the_position_and_is_not_carried_over():
    none, open_to = np.zeros((4, 1)), np.array([[3], [3], [0], [3]])
    book = book_of(none, none, column(1.0, 0.0, NAN, NAN), open_to=open_to)
    assert book.weights[:, 0].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert book.n_unfilled.tolist() == [0, 0, 1, 0]
    assert book.n_fills.tolist() == [0, 1, 0, 0]
    carried = book_of(none, none, column(1.0, 0.0, NAN, NAN), open_to=open_to, rules=Rules(carry_over=True))
    assert carried.weights[:, 0].tolist() == [0.0, 1.0, 1.0, 0.0]


def test_the_last_decision_has_no_session_left_to_be_filled_in():
    book = book_of(np.zeros((2, 1)), np.zeros((2, 1)), column(NAN, 1.0))
    assert book.n_fills.sum() == 0
    assert book.cash.tolist() == [1000.0, 1000.0]


def test_repeating_a_full_weight_trades_once_only():
    rng = np.random.default_rng(5)
    book = book_of(rng.normal(0, 0.02, (50, 2)), rng.normal(0, 0.02, (50, 2)), np.tile([1.0, 0.0], (50, 1)), rate=0.002)
    assert book.n_fills.sum() == 1
    assert book.cash[1:].max() == 0.0


def test_dividends_in_cash_leave_the_name_at_its_price_return():
    overnight, dividend = column(0.0, 0.0, 0.05), column(0.0, 0.0, 0.02)
    args = overnight, column(0.0, 0.0, 0.0), column(0.5, NAN, NAN)
    paid = book_of(*args, rules=Rules(dividends="cash"), dividend_return=dividend)
    np.testing.assert_allclose((paid.cash[2], paid.dividend[2], paid.equity[2]), (510.0, 10.0, 1025.0))
    assert paid.trades.kind.tolist() == [arrays.ORDER, arrays.DIVIDEND]
    assert book_of(*args).equity[2] == pytest.approx(1025.0)
    check_reconciles(paid)


def test_a_capped_order_is_carried_over_as_so_many_shares():
    depth = column(NAN, 1000.0, 1000.0, 1000.0, 1000.0)
    rules = Rules(max_participation=0.3, carry_over=True)
    returns = column(0.0, 0.0, 0.1, 0.0, 0.0)
    book = book_of(returns, np.zeros((5, 1)), column(0.8, NAN, NAN, NAN, NAN), rules=rules, traded_value_inr=depth)
    # 800 are wanted: 300, then 500 are left and worth 550: 300, then 250.
    np.testing.assert_allclose(book.trades.amount, [300.0, 300.0, 250.0])
    assert book.trades.decided.tolist() == [0, 0, 0]
    assert book.n_unfilled.tolist() == [0, 1, 1, 0, 0]
    lapsed = book_of(returns, np.zeros((5, 1)), column(0.8, NAN, NAN, NAN, NAN), traded_value_inr=depth,
                     rules=Rules(max_participation=0.3))  # fmt: skip
    np.testing.assert_allclose(lapsed.trades.amount, [300.0])


def test_a_purchase_that_cash_did_not_reach_stays_open_only_while_a_sale_does():
    # All in the first name; then all in the second, while the first can be sold for 300 a session only.
    none, depth = np.zeros((7, 2)), np.tile([1000.0, np.inf], (7, 1))
    depth[:2] = np.inf
    targets = np.full((7, 2), NAN)
    targets[:2] = np.eye(2)
    rules = Rules(max_participation=0.3, carry_over=True)
    book = book_of(none, none, targets, rules=rules, traded_value_inr=depth)
    np.testing.assert_allclose(book.weights[2:6, 1], [0.3, 0.6, 0.9, 1.0])
    # One that cash never reached, with nothing to be sold: 999 of 1,010 are bought, and nothing of the interest later.
    interest = np.array([0.0, 0.0, 0.1, 0.1])
    rich = book_of(none[:4, :1], none[:4, :1], column(1.0, NAN, NAN, NAN), rate=0.01, rules=Rules(carry_over=True),
                   capital=1010.0, cash_return_1d=interest)  # fmt: skip
    np.testing.assert_allclose(rich.trades.amount, [1000.0])


def test_positions_are_cut_to_the_largest_and_dropped_below_the_smallest():
    none = np.zeros((2, 3))
    book = book_of(none, none, [[0.7, 0.2, 0.1], [NAN] * 3], rules=Rules(max_position=0.5, min_position=0.15))
    np.testing.assert_allclose(book.weights[1], [0.5, 0.2, 0.0])


def test_what_a_bonus_left_of_a_share_is_sold_with_the_rest_also_of_an_order_that_is_carried():
    # 7 shares at 100; three for two: 10.5 shares. 10 may be sold in a session at most, then the half.
    price, none = column(100.0, 100.0, 200 / 3, 200 / 3, 200 / 3), np.zeros((5, 1))
    depth = column(np.inf, np.inf, 2000 / 3, 2000 / 3, 2000 / 3)
    rules = Rules(whole_shares=True, max_participation=1.0, carry_over=True)
    book = book_of(none, none, column(0.7, 0.0, NAN, NAN, NAN), rules=rules, open_inr=price, traded_value_inr=depth)
    np.testing.assert_allclose(book.trades.amount, [700.0, -2000 / 3, -100 / 3])
    assert book.n_unfilled.tolist() == [0, 0, 1, 0, 0]


def test_whole_shares_of_a_name_without_a_price_are_not_bought():
    none, rules = np.zeros((3, 1)), Rules(whole_shares=True)
    book = book_of(none, none, column(0.5, NAN, NAN), rules=rules, open_inr=column(100.0, NAN, 100.0))
    assert book.n_fills.sum() == 0
    assert book.n_unfilled.tolist() == [0, 1, 0]


def test_whole_shares_stay_whole_through_a_split_and_the_rest_is_cash():
    # 1,000 rupees buy 3 shares at 300; a split of two for one later there are 6 at 150.
    price = column(300.0, 300.0, 150.0)
    book = book_of(
        np.zeros((3, 1)), np.zeros((3, 1)), column(1.0, NAN, NAN), open_inr=price, rules=Rules(whole_shares=True)
    )
    np.testing.assert_allclose(book.trades.amount, [900.0])
    np.testing.assert_allclose(book.cash, [1000.0, 100.0, 100.0])
    assert book.holdings.value[-1] / 150.0 == pytest.approx(6.0)


def test_targets_in_shares_buy_so_many_shares_of_the_day_of_the_decision():
    targets = Decisions.from_dense(column(2.0, NAN, NAN), "shares")
    price = column(100.0, 55.0, 55.0)  # two for one, then +10 % at the open: 2 old shares are 4 at 55
    book = book_of(column(0.0, 0.1, 0.0), np.zeros((3, 1)), targets, open_inr=price)
    np.testing.assert_allclose(book.trades.amount, [220.0])


def test_a_delisted_name_is_paid_out_at_its_last_value_less_the_haircut():
    args = column(0.0, 0.0, NAN), column(0.0, 0.0, NAN), column(0.5, NAN, NAN)
    gone = (np.array([2]), np.array([0]))
    book = book_of(*args, open_to=np.array([[3], [3], [0]]), delistings=gone, rules=Rules(delisting_haircut=0.4))
    np.testing.assert_allclose((book.cash[2], book.cost[2], book.equity[2]), (800.0, 200.0, 800.0))
    assert book.trades.kind.tolist() == [arrays.ORDER, arrays.DELISTING]


def test_a_band_leaves_small_changes_and_never_a_sale_of_everything():
    drifted = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    targets = [[0.50, 0.02], [0.52, 0.02], [0.50, 0.0], [NAN, NAN]]
    book = book_of(drifted, drifted, targets, rules=Rules(no_trade_band=0.03))
    assert book.trades.name.tolist() == [0]  # 2 % of the second name and 2 % more of the first are both too little
    sold = book_of(drifted, drifted, [[0.5, 0.02], [0.5, 0.0], [NAN] * 2, [NAN] * 2], rules=Rules(no_trade_band=0.01))
    np.testing.assert_allclose(sold.trades.amount, [500.0, 20.0, -20.0])


def test_a_threshold_acts_on_a_decision_only_when_the_book_is_far_from_it():
    overnight = np.zeros((5, 1))
    intraday = column(0.0, 0.0, 0.5, 0.0, 0.0)
    book = book_of(overnight, intraday, np.full((5, 1), 0.5), rules=Rules(trade_threshold=0.05))
    assert book.n_fills.tolist() == [0, 1, 0, 1, 0]  # 50 % becomes 60 % at the close of session 2


def test_a_threshold_compares_with_targets_within_the_limits_and_from_the_opening_on():
    none = np.zeros((4, 1))
    cut = book_of(none, none, np.full((4, 1), 0.9), rules=Rules(trade_threshold=0.05, max_position=0.5))
    assert cut.n_fills.tolist() == [0, 1, 0, 0]  # the second decision wants no more than is held
    small = book_of(none, none, np.full((4, 1), 0.04), rules=Rules(trade_threshold=0.05))
    assert small.n_fills.sum() == 0


def test_a_threshold_is_judged_at_the_close_of_the_decision():
    intraday = column(0.0, 0.0, 0.5, 0.0, -0.5, 0.0, 0.0)
    rules = Rules(trade_threshold=0.05, delay_sessions=2)
    book = book_of(np.zeros((7, 1)), intraday, column(0.5, NAN, 0.5, 0.5, NAN, NAN, NAN), rules=rules)
    # Bought in 2, 60 % at its close; judged then and acted on in 4; the decision of 3 is as far and due in 5.
    assert book.trades.row.tolist() == [2, 4, 5]


def test_a_sale_that_would_not_pay_its_own_charge_is_not_made():
    book = book_of(np.zeros((3, 1)), np.zeros((3, 1)), column(0.01, 0.0, NAN), per_sale=15.93)
    assert book.n_fills.tolist() == [0, 1, 0]
    assert book.weights[2, 0] == pytest.approx(0.01)


def test_impact_is_the_square_root_of_the_share_of_a_days_value():
    market = Market(
        np.zeros((2, 1)), np.zeros((2, 1)), np.ones((2, 1), bool), traded_value_inr=column(NAN, 40_000.0),
        volatility_1d=column(NAN, 0.02),
    )  # fmt: skip
    book = run_ledger(market, Decisions.from_dense(column(0.4, NAN)), flat(2, impact=1.5), None, 1000.0)
    assert book.cost[1] == pytest.approx(400.0 * 1.5 * 0.02 * np.sqrt(400.0 / 40_000.0))
    assert dict(zip(book.cost_kinds, book.cost_by_kind[1], strict=True))["impact"] == book.cost[1]


@pytest.mark.parametrize(("bits", "sides"), [(0, []), (BUY, [1]), (SELL, [-1]), (BUY | SELL, [1, -1])])
def test_a_name_is_traded_only_in_the_direction_that_it_is_open_to(bits, sides):
    open_to = np.array([[3, 3], [3, 3], [bits, bits], [3, 3]])
    targets = [[0.5, 0.0], [0.1, 0.4], [NAN, NAN], [NAN, NAN]]
    book = book_of(np.zeros((4, 2)), np.zeros((4, 2)), targets, open_to=open_to)
    second = book.trades.row == 2
    assert sorted(np.sign(book.trades.amount[second])) == sorted(sides)
    assert book.n_unfilled[2] == 2 - len(sides)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"fill": "noon"}, "fill"), ({"delay_sessions": 0}, "delay_sessions"), ({"dividends": "no"}, "dividends"),
        ({"no_trade_band": -0.1}, "no_trade_band"), ({"max_participation": 2.0}, "max_participation"),
        ({"min_position": 0.5, "max_position": 0.4}, "min_position"), ({"delisting_haircut": NAN}, "haircut"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused(rules, message):
    with pytest.raises(DataError, match=message):
        Rules(**rules)


@pytest.mark.parametrize(
    ("rules", "needed"),
    [
        (Rules(max_participation=0.1), "traded_value_inr"), (Rules(whole_shares=True), "open_inr"),
        (Rules(dividends="cash"), "dividend_return"), (Rules(fill="vwap"), "vwap_return"),
    ],
)  # fmt: skip
def test_a_rule_without_its_panel_says_which_one_it_needs(rules, needed):
    with pytest.raises(DataError, match=needed):
        book_of(np.zeros((2, 1)), np.zeros((2, 1)), column(0.5, NAN), rules=rules)


def test_impact_needs_traded_value_and_volatility():
    market = Market(np.zeros((2, 1)), np.zeros((2, 1)), np.ones((2, 1), bool), traded_value_inr=np.ones((2, 1)))
    with pytest.raises(DataError, match="impact needs the market's volatility_1d"):
        run_ledger(market, Decisions.from_dense(column(0.5, NAN)), flat(2, impact=1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial_capital": 0.0}, "a capital of 0.0 rupees"),
        ({"first": 3}, "first is 3; the market has sessions 0 to 2"),
        ({"first": 1}, "a decision is dated row 0, before the account opens at 1"),
        ({"decisions": Decisions.of([3], [], [], [])}, "a decision is dated row 3; the market has 3 sessions"),
        ({"decisions": Decisions.of([0, 1], [1], [2], [0.5])}, "a target of row 1 names column 2; .* columns 0 to 1"),
        ({"decisions": Decisions.of([0, 1], [1], [-1], [0.5])}, "a target of row 1 names column -1"),
        ({"costs": flat(2)}, "costs for 2 sessions; the market has 3"),
        ({"rules": Rules(trade_threshold=0.1), "decisions": Decisions.of([0], [0], [0], [9.0], "shares")},
         "trade_threshold compares weights"),
        ({"decisions": Decisions.of([1], [1], [1], [7.0], "shares")}, "7.0 shares of column 1 are wanted at row 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(changes, message):
    price = np.array([[100.0, 100.0], [100.0, NAN], [100.0, 100.0]])
    parts = {
        "market": Market(np.zeros((3, 2)), np.zeros((3, 2)), np.ones((3, 2), bool), open_inr=price),
        "decisions": Decisions.from_dense([[0.5, 0.0], [NAN, NAN], [NAN, NAN]]),
        "costs": flat(3),
    }
    with pytest.raises(DataError, match=f"ledger: {message}"):
        run_ledger(**{**parts, **changes})
