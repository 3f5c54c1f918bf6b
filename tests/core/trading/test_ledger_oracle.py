"""The ledger against an independent day loop over random panels and rules: plain Python, one name at a time.

Names kept, outages of the whole market, and positions that end by terms or at the haircut are in both.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Rules, check_reconciles, run_ledger
from quant_core.trading.market import Market

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 2**32 - 1)
DUST = 1e-12


def draw(seed):
    """A panel with gaps, halts, bands, splits, dividends and delistings, random decisions and random rules."""
    rng = np.random.default_rng(seed)
    T, N = int(rng.integers(3, 40)), int(rng.integers(1, 8))
    shape = (T, N)
    overnight, intraday = rng.normal(0, 0.02, shape), rng.normal(0, 0.03, shape)
    outage = rng.random(T) < 0.08
    halted = (rng.random(shape) < 0.1) | (outage[:, None] & (rng.random((T, N)) < 0.9))
    overnight[halted] = intraday[halted] = np.nan
    split = np.where((rng.random(shape) < 0.03) & ~halted, rng.choice([2.0, 5.0], shape), 1.0)
    dividend = np.where((rng.random(shape) < 0.05) & ~halted, 0.01, 0.0)
    open_inr, last = np.full(shape, np.nan), rng.uniform(50.0, 2000.0, N)
    for t in range(T):  # price returns on each day's own basis
        for i in range(N):
            if not halted[t, i]:
                open_inr[t, i] = last[i] * (1 + overnight[t, i] - dividend[t, i]) / split[t, i]
                last[i] = open_inr[t, i] * (1 + intraday[t, i])
    bits = np.where(rng.random(shape) < 0.9, 3, rng.integers(0, 4, shape))
    raw = rng.exponential(1.0, shape) * (rng.random(shape) < 0.6)
    total = raw.sum(axis=1, keepdims=True)
    invested = np.where(rng.random((T, 1)) < 0.5, 1.0, rng.uniform(0.0, 1.0, (T, 1)))
    targets = np.where(total > 0, raw / np.where(total > 0, total, 1.0) * invested, 0.0)
    kept = (rng.random(shape) < 0.3) & (rng.random((T, 1)) < 0.3)
    decided = np.flatnonzero(rng.random(T) < 0.5).tolist()
    whole = bool(rng.random() < 0.3)
    gone = []  # (session, name, what a holder gets over the last value or None, name received or None)
    for t, i in zip(*np.nonzero(rng.random(shape) < 0.03), strict=True):
        factor = None if rng.random() < 0.4 else float(rng.choice([0.0, 0.4, 1.0, 1.05]))
        into = int(rng.integers(0, N)) if factor is not None and rng.random() < 0.6 else None
        if t > 0 and not any(s == t for s, *_ in gone):  # chains within a session have a test of their own
            gone.append((int(t), int(i), factor, None if into == i else into))
    kinds = int(rng.integers(1, 4))
    return SimpleNamespace(
        market=Market(
            overnight, intraday, np.where(halted, 0, bits),
            cash_return_1d=rng.choice([0.0, 0.0003]) * rng.random(T), dividend_return=dividend,
            vwap_return=rng.normal(0, 0.01, shape), open_inr=open_inr,
            traded_value_inr=np.where(rng.random(shape) < 0.05, np.nan, rng.exponential(2e6, shape)),
            volatility_1d=np.where(rng.random(shape) < 0.05, np.nan, rng.uniform(0.005, 0.04, shape)),
            delistings=(
                [g[0] for g in gone], [g[1] for g in gone],
                [np.nan if g[2] is None else g[2] for g in gone], [-1 if g[3] is None else g[3] for g in gone],
            ),
            outage=outage,
        ),
        gone=gone, targets=targets, kept=kept, decided=decided, outage=outage, capital=float(10 ** rng.uniform(4, 8)),
        costs=CostSchedule(
            tuple("abc"[:kinds]), rng.uniform(0, 0.003, (T, kinds)), rng.uniform(0, 0.003, (T, kinds)),
            np.full(T, rng.choice([0.0, 15.93])), float(rng.choice([0.0, 1.0])),
        ),
        rules=Rules(
            fill=str(rng.choice(["open", "close", "vwap"])), delay_sessions=int(rng.integers(1, 4)),
            dividends=str(rng.choice(["reinvest", "cash"])), no_trade_band=float(rng.choice([0.0, 0.03])),
            trade_threshold=float(rng.choice([0.0, 0.0, 0.2])), max_participation=float(rng.choice([0.0, 0.05, 0.3])),
            carry_over=bool(rng.random() < 0.5), whole_shares=whole, max_position=float(rng.choice([1.0, 0.4])),
            min_position=float(rng.choice([0.0, 0.05])), delisting_haircut=float(rng.choice([0.0, 0.5])),
        ),
    )  # fmt: skip


def naive_book(p):
    """The rules of the ledger's docstring, told in dictionaries."""
    m, r, c = p.market, p.rules, p.costs
    zero = lambda x: 0.0 if np.isnan(x) else float(x)  # noqa: E731
    share_of = lambda value, equity: value / equity if value else 0.0  # noqa: E731 - an account may be worth nothing
    cash, held, orders, pending, waiting, rows, trades = p.capital, {}, {}, [], {}, [], []

    def targets_of(t, held, equity):
        """{name: fraction of equity}; kept names are not in it and the others share what these leave."""
        wanted = {i: min(w, r.max_position) for i, w in enumerate(p.targets[t]) if not p.kept[t, i]}
        wanted = {i: w if w >= r.min_position else 0.0 for i, w in wanted.items()}
        left = 1.0 - share_of(sum(held.get(i, 0.0) for i in range(m.n_names) if p.kept[t, i]), equity)
        asked = sum(wanted.values())
        shrunk = left / asked if left < 1.0 and asked > left else 1.0
        return {i: w * shrunk for i, w in wanted.items()}

    price = m.open_inr * (1 + {"open": 0 * m.open_inr, "close": m.intraday_return, "vwap": m.vwap_return}[r.fill])

    def left_of(t, i, order, done, kept, equity):
        """What stays open: no rounding, and no part of a share but the last of a name that is sold."""
        left, least = abs(order) - done, DUST * equity
        if r.whole_shares and price[t, i] > 0 and not (order < 0 and left >= kept):
            least = max(least, price[t, i] * (1 - 1e-9))
        return left if r.carry_over and left > least else 0.0

    for t in range(m.n_sessions):
        day = dict(interest=0.0, dividend=0.0, turnover=0.0, cost=0.0, fills=0, unfilled=0)
        if t > 0:
            day["interest"] = cash * float(m.cash_return_1d[t])
            cash += day["interest"]
            if r.dividends == "cash":
                for i in held:
                    paid = held[i] * zero(m.dividend_return[t, i])
                    day["dividend"] += paid
                    cash += paid
                    trades += [(t, i, paid, 0.0)] if paid > 0 else []
            received = {}
            for i, factor, into in [g[1:] for g in p.gone if g[0] == t]:
                orders.pop(i, None)
                if i not in held:
                    continue
                last = held.pop(i)
                lost = last * r.delisting_haircut if factor is None else 0.0
                paid = last if factor is None else last * factor
                trades.append((t, i, paid, lost))
                day["cost"] += lost
                if into is None:
                    cash += paid - lost
                elif paid > 0:
                    received[into] = paid
                    trades.append((t, into, paid, 0.0))
            for i in range(m.n_names):
                overnight = zero(m.overnight_return[t, i])
                if r.dividends == "cash":
                    overnight -= zero(m.dividend_return[t, i])
                full = (1 + overnight) * (1 + zero(m.intraday_return[t, i]))
                first = {
                    "open": 1 + overnight,
                    "close": full,
                    "vwap": (1 + overnight) * (1 + zero(m.vwap_return[t, i])),
                }
                for book in (held, orders):
                    if i in book:
                        book[i] = book[i] * first[r.fill]
                if i in received:  # at the open: it earns from there to the fill
                    held[i] = held.get(i, 0.0) + received[i] * first[r.fill] / (1 + overnight)
                pending.append((i, full / first[r.fill]))
            equity = cash + sum(held.values())
            ripe = [d for d in waiting if d + r.delay_sessions <= t]
            if ripe and not p.outage[t]:
                orders, day_decided = {}, max(ripe)
                waiting = {d: None for d in waiting if d not in ripe}
                for i, weight in targets_of(day_decided, held, equity).items():
                    want = weight * equity
                    change = want - held.get(i, 0.0)
                    if (want == 0.0 and i in held) or abs(change) > max(r.no_trade_band, DUST) * equity:
                        orders[i] = change
            cash_before, plan, sales_wait = cash, {}, False
            for i, order in orders.items():
                size, cut = abs(order), False
                if not m.open_to[t, i] & (1 if order > 0 else 2):
                    size, cut = 0.0, True
                elif r.max_participation and not size <= r.max_participation * m.traded_value_inr[t, i]:
                    size, cut = zero(r.max_participation * m.traded_value_inr[t, i]), True
                if r.whole_shares and not (order < 0 and size >= held[i]):
                    cut |= not price[t, i] > 0
                    size = np.floor(size / price[t, i] + 1e-9) * price[t, i] if price[t, i] > 0 else 0.0
                impact = zero(c.impact_coefficient * m.volatility_1d[t, i] * np.sqrt(size / m.traded_value_inr[t, i]))
                rate = impact + float((c.buy_rate if order > 0 else c.sell_rate)[t].sum())
                flat = float(c.per_sale_inr[t]) if order < 0 else 0.0
                day["unfilled"] += cut
                if order < 0 and 0 < size <= size * rate + flat:
                    orders[i], size = 0.0, 0.0
                plan[i] = (size, rate, flat)
                sales_wait |= orders[i] < 0 and left_of(t, i, order, size, held[i] - size, equity) > 0
            for i, (size, rate, flat) in plan.items():
                if orders[i] < 0 and size > 0:
                    cash += size - size * rate - flat
            bill = sum(size * (1 + rate) for i, (size, rate, _) in plan.items() if orders[i] > 0)
            share = min(1.0, cash / bill) if bill > 0 else 1.0
            for i, (size, rate, flat) in plan.items():
                order, done = orders[i], size
                if order > 0 and share < 1:
                    done = size * share
                    if r.whole_shares:
                        done = np.floor(done / price[t, i] + 1e-9) * price[t, i] if price[t, i] > 0 else 0.0
                if done > 0:
                    cost = done * rate + flat
                    cash -= done + cost if order > 0 else 0.0
                    held[i] = held.get(i, 0.0) + (done if order > 0 else -done)
                    day["cost"], day["fills"] = day["cost"] + cost, day["fills"] + 1
                    day["turnover"] += done / 2 / equity
                    trades.append((t, i, done if order > 0 else -done, cost))
                left = left_of(t, i, order, done if sales_wait else size, held.get(i, 0.0), equity)
                orders[i] = np.sign(order) * left
            cash = 0.0 if share < 1 and not r.whole_shares else max(cash, 0.0)
            orders = {i: o for i, o in orders.items() if o != 0.0}
            held = {i: v for i, v in held.items() if v > 0.0}
            day["turnover"] += abs(cash - cash_before) / 2 / equity if plan else 0.0
            for i, rest in pending:
                for book in (held, orders):
                    if i in book:
                        book[i] *= rest
            pending = []
        equity = cash + sum(held.values())
        rows.append((equity, cash, *day.values(), *(held.get(i, 0.0) for i in range(m.n_names))))
        if t in p.decided:
            wanted = targets_of(t, held, equity)
            gap = sum(abs(w - share_of(held.get(i, 0.0), equity)) for i, w in wanted.items())
            in_kept = share_of(sum(held.get(i, 0.0) for i in range(m.n_names) if p.kept[t, i]), equity)
            gap += abs(1 - sum(wanted.values()) - in_kept - share_of(cash, equity))
            if not r.trade_threshold or gap / 2 > r.trade_threshold:
                waiting[t] = None
    return np.array(rows), trades


def run(p, **changes):
    given_ = {"market": p.market, "costs": p.costs, "rules": p.rules, "initial_capital": p.capital} | changes
    rows = [(t, i) for t in p.decided for i in range(p.market.n_names) if p.kept[t, i] or p.targets[t, i]]
    amounts = [np.nan if p.kept[t, i] else p.targets[t, i] for t, i in rows]
    decisions = Decisions.of(p.decided, [t for t, _ in rows], [i for _, i in rows], amounts)
    return run_ledger(decisions=decisions, **given_)


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_every_number_of_the_book_equals_the_day_loop(seed):
    p = draw(seed)
    book, (rows, trades) = run(p), naive_book(p)
    told = (
        book.equity,
        book.cash,
        book.interest,
        book.dividend,
        book.turnover,
        book.cost,
        book.n_fills,
        book.n_unfilled,
    )
    for name, ours, theirs in zip(
        ("equity", "cash", "interest", "dividend", "turnover", "cost", "fills", "unfilled"), told, rows.T, strict=False
    ):
        np.testing.assert_allclose(
            ours, theirs, rtol=1e-9, atol=1e-9 * p.capital if name != "turnover" else 1e-9, err_msg=name
        )
    np.testing.assert_allclose(book.weights * book.equity[:, None], rows[:, 8:], rtol=1e-9, atol=1e-9 * p.capital)
    ours = sorted(zip(book.trades.row, book.trades.name, book.trades.amount, book.trades.cost, strict=True))
    assert len(ours) == len(trades)
    np.testing.assert_allclose(
        np.array(ours).reshape(-1, 4), np.array(sorted(trades)).reshape(-1, 4), rtol=1e-9, atol=1e-9 * p.capital
    )
    check_reconciles(book)
