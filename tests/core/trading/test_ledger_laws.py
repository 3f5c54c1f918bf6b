"""What holds for every book of account, whatever the market, the decisions and the rules."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ledger_cases import NAN, PANELS, SEEDS, book_of, case_of, cases, flat

from quant_core.errors import DataError
from quant_core.trading import arrays as arrays
from quant_core.trading import day_loop
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import (
    Rules,
    check_reconciles,
    run_ledger,
    run_ledgers,
)
from quant_core.trading.loop_input import loop_input
from quant_core.trading.market import BUY, SELL, Market

FLAT = ("series", "counts", "held", "held_inr", "tape", "tape_inr")  # what of a log can be put end to end
RATES = st.floats(0.0, 0.02)


def random_walk(seed, sessions, names, sd=0.02):
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, sd, (sessions, names)), rng.normal(0.0, sd, (sessions, names))


def opens(overnight, intraday, split=1.0):
    """(T, N) prices at the open that follow the returns from 100 rupees."""
    growth = np.cumprod((1.0 + overnight) * split * (1.0 + intraday), axis=0)
    return 100.0 * growth / (1.0 + intraday)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(cases(), SEEDS)
def test_the_books_reconcile_cash_is_never_negative_and_the_order_of_names_does_not_matter(case, seed):
    book = case.run()
    check_reconciles(book)
    assert (book.cash >= 0.0).all()
    order = np.random.default_rng(seed).permutation(case.market.n_names)
    other = case.with_names(order).run()
    near = {"rtol": 1e-9, "atol": 1e-9 * case.capital}
    np.testing.assert_allclose(other.equity, book.equity, **near)
    np.testing.assert_allclose(other.weights, book.weights[:, order], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(other.n_fills, book.n_fills)


@pytest.mark.parametrize("what", ["cash", "equity", "cost", "dividend", "interest", "bought", "event_cost"])
def test_sums_of_a_session_that_were_tampered_with_do_not_reconcile(what):
    book = case_of(11, Rules(dividends="cash", fill="close")).run()
    changed = getattr(book, what).copy()
    changed[..., -1] += 10.0
    with pytest.raises(DataError, match=r"ledger: (cash|equity|cost|dividend)[a-z ]* of session 29 is"):
        check_reconciles(replace(book, **{what: changed}))


@pytest.mark.parametrize("what", ["amount", "cost"])
def test_a_trade_that_was_tampered_with_does_not_reconcile(what):
    book = case_of(11).run()
    changed = getattr(book.trades, what).copy()
    changed[3] += 0.01
    with pytest.raises(DataError, match=f"of session {book.trades.row[3]} is"):
        check_reconciles(replace(book, trades=replace(book.trades, **{what: changed})))


def test_a_holding_that_was_tampered_with_does_not_reconcile():
    book = case_of(11).run()
    value = book.holdings.value.copy()
    value[0] *= 1.01
    with pytest.raises(DataError, match="equity of session"):
        check_reconciles(replace(book, holdings=book.holdings._replace(value=value)))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(cases())
def test_no_order_is_filled_in_a_direction_that_its_name_is_closed_to(case):
    trades = case.run().trades
    orders = trades.kind == arrays.ORDER
    needed = np.where(trades.amount[orders] > 0.0, BUY, SELL)
    assert (case.market.open_to[trades.row[orders], trades.name[orders]] & needed == needed).all()


@settings(max_examples=100, deadline=None)
@given(SEEDS, RATES, RATES)
def test_on_fixed_trades_equity_falls_by_exactly_the_costs_paid(seed, one, other):
    walk, targets = random_walk(seed, 30, 4), np.full((30, 4), NAN)
    targets[::5] = np.random.default_rng(seed).integers(0, 8, (6, 4))  # shares of 100 rupees: cash is always left
    decisions, low, high = Decisions.from_dense(targets, "shares"), min(one, other), max(one, other)
    cheap, dear = (book_of(*walk, decisions, rate=r, capital=1e4, open_inr=opens(*walk)) for r in (low, high))
    np.testing.assert_allclose(dear.trades.amount, cheap.trades.amount, rtol=1e-9, atol=1e-9)
    assert (dear.equity <= cheap.equity + 1e-9).all()
    np.testing.assert_allclose(cheap.equity - dear.equity, np.cumsum(dear.cost - cheap.cost), atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_rebalancing_daily_for_free_is_the_constantly_rebalanced_portfolio(seed):
    intraday, _ = random_walk(seed, 25, 5)
    weights = np.random.default_rng(seed).dirichlet(np.ones(6))[:5]  # the sixth part is cash
    book = book_of(np.zeros_like(intraday), intraday, np.tile(weights, (25, 1)))
    np.testing.assert_allclose(book.equity[1:], 1000.0 * np.cumprod(1 + intraday[1:] @ weights), rtol=1e-10)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_buying_and_holding_one_stock_earns_its_total_return_or_its_price_return_and_the_dividends(seed):
    night, day = random_walk(seed, 60, 1)
    dividend = np.where(np.random.default_rng(seed).random((60, 1)) < 0.1, 0.03, 0.0)
    night, targets = night + dividend, np.full((60, 1), NAN)
    targets[0] = 1.0
    total = (1 + day[1:]) * np.vstack([[[1.0]], 1 + night[2:]])
    reinvested = book_of(night, day, targets, dividend_return=dividend)
    np.testing.assert_allclose(reinvested.equity[1:], 1000.0 * np.cumprod(total), rtol=1e-12)

    price = (1 + day[1:]) * np.vstack([[[1.0]], 1 + night[2:] - dividend[2:]])
    held = 1000.0 * np.cumprod(price)
    paid = np.cumsum(np.append(0.0, held[:-1] * dividend[2:, 0]))
    book = book_of(night, day, targets, dividend_return=dividend, rules=Rules(dividends="cash"))
    np.testing.assert_allclose(book.equity[1:], held + paid, rtol=1e-12)
    np.testing.assert_allclose(book.cash[1:], paid, rtol=1e-12, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(cases(units=("weight",), trade_threshold=0.0), st.sampled_from([1, 2, 3]))
def test_a_longer_delay_is_the_same_decisions_taken_later(case, delay):
    last = case.market.n_sessions - 1
    later = {row + delay - 1: day for row, day in case.decided.items() if row + delay - 1 <= last}
    delayed = replace(case, rules=replace(case.rules, delay_sessions=delay)).run()
    shifted = replace(case, rules=replace(case.rules, delay_sessions=1), decided=later).run()
    np.testing.assert_array_equal(delayed.equity, shifted.equity)
    np.testing.assert_array_equal(delayed.weights, shifted.weights)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(["open", "close"]))
def test_a_carried_order_ends_with_all_of_its_shares_bought_and_then_all_sold(seed, fill):
    night, day = random_walk(seed, 60, 3)
    split = np.where(np.arange(60)[:, None] == 7, 0.5, np.ones((60, 3)))
    price = opens(night, day, split)
    targets = np.full((60, 3), NAN)
    targets[0], targets[30] = 0.25, 0.0
    rules = Rules(fill=fill, max_participation=0.1, carry_over=True)
    book = book_of(night, day, targets, rules=rules, open_inr=price, traded_value_inr=np.full((60, 3), 250.0))
    at_fill = price if fill == "open" else price * (1 + day)
    shares = book.trades.amount / (at_fill / np.cumprod(split, axis=0))[book.trades.row, book.trades.name]
    bought, sold = shares > 0.0, shares < 0.0
    first = book.trades.row == 1
    assert 0.0 < book.trades.amount[first].max() <= 25.0 + 1e-9 < 250.0  # the cap binds
    wanted = 250.0 / (at_fill[1] / split[1])  # 25 % of 1,000 rupees
    np.testing.assert_allclose(np.bincount(book.trades.name[bought], shares[bought]), wanted, rtol=1e-9)
    np.testing.assert_allclose(np.bincount(book.trades.name[sold], shares[sold]), -wanted, rtol=1e-9)
    assert book.holdings.start[-1] == book.holdings.start[-2]  # nothing is left
    assert book.n_unfilled[-1] == 0


@settings(max_examples=150, deadline=None)
@given(cases(whole_shares=True))
def test_whole_shares_are_whole_in_every_trade_but_the_last_of_a_name(case):
    trades, price = case.run().trades, case.market.fill_price_inr(case.rules.fill)
    value = case.run().weights > 0.0
    kept = (trades.kind == arrays.ORDER) & ((trades.amount > 0.0) | value[trades.row, trades.name])
    shares = trades.amount[kept] / price[trades.row[kept], trades.name[kept]]
    np.testing.assert_allclose(shares, np.rint(shares), rtol=1e-9, atol=1e-6)
    assert (np.rint(shares) != 0).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([0.5, 2.0]))
def test_a_split_changes_the_number_of_shares_and_not_what_they_are_worth(seed, ratio):
    night, day = random_walk(seed, 20, 3)
    split = np.where(np.arange(20)[:, None] == 10, ratio, np.ones((20, 3)))
    targets = np.full((20, 3), NAN)
    targets[3] = 0.3
    args = {"capital": 1e5, "rules": Rules(whole_shares=True)}
    plain = book_of(night, day, targets, open_inr=opens(night, day), **args)
    halved = book_of(night, day, targets, open_inr=opens(night, day, split), **args)
    np.testing.assert_array_equal(halved.equity, plain.equity)
    close = opens(night, day, split) * (1 + day)
    before, after = (halved.weights[t] * halved.equity[t] / close[t] for t in (9, 10))
    np.testing.assert_allclose(before, np.rint(before), rtol=1e-9)
    np.testing.assert_allclose(after, before / ratio, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(["open", "close"]), st.sampled_from([1, 2]), RATES)
def test_shares_that_are_worth_the_weights_at_the_fill_make_the_same_book(seed, fill, delay, rate):
    night, day = random_walk(seed, 40, 4)
    split = np.where(np.random.default_rng(seed).random((40, 4)) < 0.05, 0.5, 1.0)
    price, weights = opens(night, day, split), np.full((40, 4), NAN)
    weights[::6] = np.random.default_rng(seed).dirichlet(np.ones(5), 7)[:, :4] * 0.9
    rules = Rules(fill=fill, delay_sessions=delay)
    by_weight = book_of(night, day, weights, rate=rate, rules=rules, open_inr=price)
    at_fill, shares = price if fill == "open" else price * (1 + day), np.full((40, 4), NAN)
    for row in range(0, 40 - delay, 6):
        since = day[row + delay] if fill == "open" else 0.0
        held = by_weight.weights[row + delay] * by_weight.equity[row + delay] / (1 + since)  # after the fill
        shares[row] = held / at_fill[row + delay] * np.prod(split[row + 1 : row + delay + 1], axis=0)
    by_share = book_of(night, day, Decisions.from_dense(shares, "shares"), rate=rate, rules=rules, open_inr=price)
    np.testing.assert_allclose(by_share.equity[: 36 + delay], by_weight.equity[: 36 + delay], rtol=1e-9)
    assert by_share.n_fills.sum() > 20


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(0, 24))
def test_taking_the_sessions_in_two_calls_is_taking_them_in_one(case, middle):
    sessions, accounts, logs = case.market.n_sessions, [], []
    for cuts in ((0, sessions), (0, min(middle, sessions), sessions)):
        account = arrays.open_state(case.market.n_names, case.capital)
        given = loop_input(case.market, case.decisions, case.costs, case.rules)
        parts = [day_loop.advance(a, b, *given, account) for a, b in pairwise(cuts)]
        accounts.append(account)
        logs.append([np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in FLAT])
    for name, one, two in zip(FLAT, *logs, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=name)
    for name in ("value", "order", "cash", "n_active", "listed"):
        np.testing.assert_array_equal(*(getattr(account, name) for account in accounts), err_msg=name)


def test_many_books_at_once_are_the_single_ones_in_order():
    case = case_of(5)
    several = [case.with_names(np.roll(np.arange(5), k)).decisions for k in range(6)]
    for threads in (1, 3, None):
        books = run_ledgers(case.market, several, case.costs, case.rules, case.capital, threads)
        for decisions, book in zip(several, books, strict=True):
            alone = run_ledger(case.market, decisions, case.costs, case.rules, case.capital)
            np.testing.assert_array_equal(book.equity, alone.equity)
            np.testing.assert_array_equal(book.trades.amount, alone.trades.amount)
    assert len({book.equity[-1] for book in books}) == 5  # the sixth is the first again
    assert run_ledgers(case.market, [], case.costs) == []


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(1, 10))
def test_an_account_that_opens_later_is_the_account_of_the_later_sessions(case, first):
    assume(first < case.market.n_sessions - 1)
    case = replace(case, decided={row: day for row, day in case.decided.items() if row >= first})
    rows, *ends = case.market.delistings
    kept = rows >= first
    costs = replace(
        case.costs, buy_rate=case.costs.buy_rate[first:], sell_rate=case.costs.sell_rate[first:],
        per_sale_inr=case.costs.per_sale_inr[first:],
    )  # fmt: skip
    market = replace(
        case.market, **{name: getattr(case.market, name)[first:] for name in PANELS},
        cash_return_1d=case.market.cash_return_1d[first:], outage=case.market.outage[first:],
        delistings=(rows[kept] - first, *(part[kept] for part in ends)),
    )  # fmt: skip
    early = replace(case, market=market, costs=costs, decided={row - first: d for row, d in case.decided.items()})
    late, alone = case.run(first), early.run()
    for name in ("equity", "cash", "simple_return", "turnover", "cost", "cost_by_kind", "n_unfilled", "weights"):
        np.testing.assert_array_equal(getattr(late, name), getattr(alone, name), err_msg=name)
    for name in ("row", "name", "kind", "amount", "decided"):
        np.testing.assert_array_equal(getattr(late.trades, name), getattr(alone.trades, name), err_msg=name)


def test_inputs_are_left_as_they_were():
    case = case_of(1, Rules(dividends="cash", fill="vwap", whole_shares=True, max_participation=0.1), "shares")
    arrays = [getattr(case.market, name) for name in (*PANELS, "cash_return_1d")]
    arrays += [getattr(case.decisions, name) for name in ("rows", "start", "names", "amounts")]
    arrays += [case.costs.buy_rate, case.costs.sell_rate, case.costs.per_sale_inr, *case.market.delistings]
    before = [array.copy() for array in arrays]
    assert case.run().n_fills.sum() > 0
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_a_book_without_a_decision_holds_its_cash():
    market = Market(*random_walk(0, 4, 2), np.ones((4, 2), bool), cash_return_1d=[0.5, 0.01, 0.02, 0.0])
    book = run_ledger(market, Decisions.of([], [], [], []), flat(4), None, 1000.0)
    np.testing.assert_allclose(book.equity, [1000.0, 1010.0, 1030.2, 1030.2])  # the first rate was earned before
    np.testing.assert_allclose(book.interest, [0.0, 10.0, 20.2, 0.0])
    assert len(book.trades.row) == 0


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(cases())
def test_every_kind_of_cost_follows_from_the_trades(case):
    book, trades = case.run(), case.run().trades
    bought = (trades.kind == arrays.ORDER) & (trades.amount > 0.0)
    sold = (trades.kind == arrays.ORDER) & (trades.amount < 0.0)
    rows, names, factor, _ = case.market.delistings
    without_terms = set(zip(rows[np.isnan(factor)].tolist(), names[np.isnan(factor)].tolist(), strict=True))
    unsaid = [pair in without_terms for pair in zip(trades.row.tolist(), trades.name.tolist(), strict=True)]
    delisted = (trades.kind == arrays.DELISTING) & np.array(unsaid, bool)

    def by_session(chosen, amounts):
        return np.bincount(trades.row[chosen], amounts[chosen], len(book.equity))

    value, near = np.abs(trades.amount), {"rtol": 1e-9, "atol": 1e-9 * case.capital}
    rated = by_session(bought, value)[:, None] * case.costs.buy_rate
    rated += by_session(sold, value)[:, None] * case.costs.sell_rate
    flat_inr = by_session(sold, np.ones(len(value))) * case.costs.per_sale_inr
    haircut = by_session(delisted, value) * case.rules.delisting_haircut
    impact = by_session(trades.cost > 0.0, trades.cost) - rated.sum(axis=1) - flat_inr - haircut
    assert book.cost_kinds == ("tax", "spread", "impact", "dp_charge", "delisting")
    np.testing.assert_allclose(book.cost_by_kind, np.column_stack([rated, impact, flat_inr, haircut]), **near)
    np.testing.assert_allclose(book.cost_by_kind.sum(axis=1), book.cost, **near)
    assert (impact > -1e-9 * case.capital).all()


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(cases())
def test_every_order_knows_its_decision(case):
    trades, delay = case.run().trades, case.rules.delay_sessions
    orders = trades.kind == arrays.ORDER
    assert (trades.decided[~orders] == -1).all()
    waited = trades.row[orders] - trades.decided[orders]
    assert set(trades.decided[orders].tolist()) <= set(case.decided)
    due = {row: next((t for t in range(row + delay, len(case.market.outage)) if not case.market.outage[t]), 10**9)
           for row in case.decided}  # fmt: skip
    on_time = trades.decided[orders] + waited == np.array([due[row] for row in trades.decided[orders].tolist()])
    assert (waited >= delay).all()
    assert case.rules.carry_over or on_time.all()
    if case.rules.trade_threshold == 0.0:  # and the newest one that has fallen due
        newest = [max(row for row in case.decided if due[row] <= t) for t in trades.row[orders].tolist()]
        assert trades.decided[orders].tolist() == newest
