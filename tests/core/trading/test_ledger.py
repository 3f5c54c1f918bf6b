"""The ledger against numbers by hand and its own conservation laws; the day loop is in test_ledger_oracle."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ledger_oracle import draw, run

from quant_core.errors import DataError
from quant_core.trading import session
from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import (
    Rules,
    _charges,
    _panel,
    _targets,
    _terms,
    check_reconciles,
    run_ledger,
    run_ledgers,
)
from quant_core.trading.market import BUY, SELL, Market

SEEDS = st.integers(0, 2**32 - 1)
NAN = np.nan


def flat(sessions, rate=0.0, per_sale=0.0, impact=0.0):
    """One rate on both sides."""
    table = np.full((sessions, 1), rate)
    return CostSchedule(("flat",), table, table, np.full(sessions, per_sale), impact)


def book_of(
    overnight, intraday, targets, *, rate=0.0, rules=None, capital=1000.0, open_to=None, per_sale=0.0, **market
):
    overnight = np.asarray(overnight, dtype=float)
    given_ = Market(overnight, intraday, np.ones(overnight.shape, bool) if open_to is None else open_to, **market)
    decisions = targets if isinstance(targets, Decisions) else Decisions.from_dense(targets)
    return run_ledger(given_, decisions, flat(len(overnight), rate, per_sale), rules, capital)


def column(*values):
    return np.array(values, dtype=float)[:, None]


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


def test_dividends_in_cash_leave_the_name_at_its_price_return():
    overnight, dividend = column(0.0, 0.0, 0.05), column(0.0, 0.0, 0.02)
    args = overnight, column(0.0, 0.0, 0.0), column(0.5, NAN, NAN)
    paid = book_of(*args, rules=Rules(dividends="cash"), dividend_return=dividend)
    np.testing.assert_allclose((paid.cash[2], paid.dividend[2], paid.equity[2]), (510.0, 10.0, 1025.0))
    assert paid.trades.kind.tolist() == [session.ORDER, session.DIVIDEND]
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
    assert book.trades.kind.tolist() == [session.ORDER, session.DELISTING]


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


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_the_books_reconcile_cash_is_never_negative_and_the_order_of_names_does_not_matter(seed):
    p = draw(seed)
    book = run(p)
    check_reconciles(book)
    assert (book.cash >= 0.0).all()
    order = np.random.default_rng(seed).permutation(p.market.n_names)
    panels = ("overnight_return", "intraday_return", "open_to", "dividend_return", "vwap_return", "open_inr",
              "traded_value_inr", "volatility_1d")  # fmt: skip
    rows, names = p.market.delistings
    mixed = replace(
        p.market, **{name: getattr(p.market, name)[:, order] for name in panels},
        delistings=(rows, np.argsort(order)[names]),
    )  # fmt: skip
    other = run(SimpleNamespace(**{**vars(p), "market": mixed, "targets": p.targets[:, order]}))
    np.testing.assert_allclose(other.equity, book.equity, rtol=1e-9, atol=1e-9 * p.capital)


@pytest.mark.parametrize("what", ["cash", "equity", "cost"])
def test_a_book_that_was_tampered_with_does_not_reconcile(what):
    book = run(draw(11))
    changed = getattr(book, what).copy()
    changed[-1] += 0.01
    with pytest.raises(DataError, match=f"ledger: .*{what}|ledger: (cash|equity)"):
        check_reconciles(replace(book, **{what: changed}))


def test_on_fixed_trades_equity_falls_by_exactly_the_cost():
    rng = np.random.default_rng(3)
    panel = rng.normal(0, 0.01, (30, 4)), rng.normal(0, 0.01, (30, 4))
    targets = np.full((30, 4), NAN)
    targets[0] = 0.2  # a cash buffer, so that no purchase is cut
    books = [book_of(*panel, targets, rate=rate, capital=1e7) for rate in (0.0, 0.005, 0.01)]
    np.testing.assert_allclose(books[0].equity[1:] - books[1].equity[1:], 0.005 * 0.8 * 1e7, rtol=1e-9)
    assert (books[2].equity[1:] < books[1].equity[1:]).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_rebalancing_daily_for_free_is_the_constantly_rebalanced_portfolio(seed):
    rng = np.random.default_rng(seed)
    intraday = rng.normal(0, 0.03, (25, 5))
    weights = rng.dirichlet(np.ones(6))[:5]  # the sixth part is cash
    book = book_of(np.zeros_like(intraday), intraday, np.tile(weights, (25, 1)))
    np.testing.assert_allclose(book.equity[1:], 1000.0 * np.cumprod(1 + intraday[1:] @ weights), rtol=1e-10)


def test_buying_and_holding_one_stock_earns_its_total_return_from_the_fill():
    rng = np.random.default_rng(11)
    overnight, intraday = rng.normal(0, 0.02, (250, 1)), rng.normal(0, 0.02, (250, 1))
    targets = np.full((250, 1), NAN)
    targets[0] = 1.0
    path = (1 + intraday[1]) * np.prod((1 + overnight[2:]) * (1 + intraday[2:]))
    assert book_of(overnight, intraday, targets).equity[-1] == pytest.approx(1000.0 * path[0], rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_taking_the_sessions_in_two_calls_is_taking_them_in_one(seed):
    p = draw(seed)
    panel, charges = _panel(p.market, p.rules), _charges(p.costs)
    decisions = Decisions.from_dense(p.targets)
    middle, books, logs = p.market.n_sessions // 2, [], []
    for cuts in ((0, p.market.n_sessions), (0, middle, p.market.n_sessions)):
        book, terms = session.open_book(p.market.n_names, p.capital), _terms(p.rules, decisions, 0)
        wanted = _targets(p.market, decisions, panel, p.rules)
        parts = [session.advance(a, b, panel, charges, terms, wanted, book) for a, b in pairwise(cuts)]
        books.append(book)
        logs.append(np.hstack([part.series for part in parts]))
    np.testing.assert_array_equal(logs[0], logs[1])
    np.testing.assert_array_equal(books[0].value, books[1].value)


def test_many_books_at_once_are_the_single_ones_in_order():
    p = draw(5)
    several = [Decisions.from_dense(np.roll(p.targets, k, axis=1)) for k in range(6)]
    for threads in (1, 3):
        books = run_ledgers(p.market, several, p.costs, p.rules, p.capital, threads)
        for decisions, book in zip(several, books, strict=True):
            np.testing.assert_array_equal(
                book.equity, run_ledger(p.market, decisions, p.costs, p.rules, p.capital).equity
            )


def test_an_account_that_opens_later_is_the_account_of_the_later_sessions():
    rng = np.random.default_rng(8)
    overnight, intraday = rng.normal(0, 0.02, (40, 3)), rng.normal(0, 0.02, (40, 3))
    targets = np.full((40, 3), NAN)
    targets[15:40:4] = 0.3
    market = Market(overnight, intraday, np.ones((40, 3), bool), cash_return_1d=0.001)
    late = run_ledger(market, Decisions.from_dense(targets), flat(40, 0.001), None, 1e6, first=15)
    alone = Market(overnight[15:], intraday[15:], np.ones((25, 3), bool), cash_return_1d=0.001)
    same = run_ledger(alone, Decisions.from_dense(targets[15:]), flat(25, 0.001), None, 1e6)
    np.testing.assert_array_equal(late.equity, same.equity)
    np.testing.assert_array_equal(late.trades.row, same.trades.row)


@pytest.mark.parametrize(
    ("name", "row", "column", "bad", "message"),
    [
        ("overnight", 1, 2, -1.0, "overnight_return row 1 column 2 is -1.0"),
        ("intraday", 3, 0, np.inf, "intraday_return row 3 column 0 is inf"),
        ("targets", 2, 1, -0.1, "targets row 2 column 1 is -0.1"),
        ("targets", 2, 1, np.inf, "targets row 2 column 1 is inf"),
        ("targets", 4, 2, NAN, "targets row 4 column 2 is nan beside numbers"),
        ("targets", 0, 1, 0.9, r"targets row 0 sums to 1.1"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(name, row, column, bad, message):
    panel = {"overnight": np.zeros((5, 3)), "intraday": np.zeros((5, 3)), "targets": np.full((5, 3), 0.1)}
    panel[name][row, column] = bad
    with pytest.raises(DataError, match=message):
        book_of(panel["overnight"], panel["intraday"], panel["targets"])


def test_rounding_of_a_sum_of_targets_is_accepted_and_credit_is_not():
    none = np.zeros((2, 2))
    assert book_of(none, none, np.full((2, 2), 0.5 + 2e-10)).cash[1] == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(DataError, match="sums to"):
        book_of(none, none, np.full((2, 2), 0.5 + 1e-9))


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


def test_inputs_are_left_as_they_were():
    p = draw(1)
    before = [getattr(p.market, name).copy() for name in ("overnight_return", "intraday_return", "open_to", "open_inr")]
    run(p)
    for name, old in zip(("overnight_return", "intraday_return", "open_to", "open_inr"), before, strict=True):
        np.testing.assert_array_equal(getattr(p.market, name), old)
