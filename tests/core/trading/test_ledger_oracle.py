"""The ledger against an independent day loop over random panels and rules: plain Python, one name at a time."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Rules, check_reconciles, run_ledger
from quant_core.trading.market import Market

SEEDS = st.integers(0, 2**32 - 1)
DUST = 1e-12


def draw(seed):
    """A panel with gaps, halts, bands, splits, dividends and delistings, random decisions and random rules."""
    rng = np.random.default_rng(seed)
    T, N = int(rng.integers(3, 40)), int(rng.integers(1, 8))
    shape = (T, N)
    overnight, intraday = rng.normal(0, 0.02, shape), rng.normal(0, 0.03, shape)
    halted = rng.random(shape) < 0.1
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
    targets[rng.random(T) < 0.5] = np.nan
    whole = bool(rng.random() < 0.3)
    gone = [(int(t), int(i)) for t, i in zip(*np.nonzero(rng.random(shape) < 0.02), strict=True) if t > 0]
    kinds = int(rng.integers(1, 4))
    return SimpleNamespace(
        market=Market(
            overnight, intraday, np.where(halted, 0, bits),
            cash_return_1d=rng.choice([0.0, 0.0003]) * rng.random(T), dividend_return=dividend,
            vwap_return=rng.normal(0, 0.01, shape), open_inr=open_inr,
            traded_value_inr=np.where(rng.random(shape) < 0.05, np.nan, rng.exponential(2e6, shape)),
            volatility_1d=np.where(rng.random(shape) < 0.05, np.nan, rng.uniform(0.005, 0.04, shape)),
            delistings=tuple(np.array([g[k] for g in gone], dtype=np.int64) for k in (0, 1)),
        ),
        gone=gone, targets=targets, capital=float(10 ** rng.uniform(4, 8)),
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
    cash, held, orders, pending, acted, rows, trades = p.capital, {}, {}, [], {}, [], []
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
            for i in [i for s, i in p.gone if s == t]:
                lost = held.get(i, 0.0) * r.delisting_haircut
                trades += [(t, i, held[i], lost)] if i in held else []
                cash, day["cost"] = cash + held.pop(i, 0.0) - lost, day["cost"] + lost
                orders.pop(i, None)
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
                pending.append((i, full / first[r.fill]))
            equity = cash + sum(held.values())
            if t - r.delay_sessions in acted:
                orders = {}
                for i in range(m.n_names):
                    weight = min(acted[t - r.delay_sessions][i], r.max_position)
                    want = 0.0 if weight < r.min_position else weight * equity
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
        if not np.isnan(p.targets[t]).any():
            wanted = [min(w, r.max_position) if min(w, r.max_position) >= r.min_position else 0.0 for w in p.targets[t]]
            gap = sum(abs(w - held.get(i, 0.0) / equity) for i, w in enumerate(wanted))
            gap += abs(1 - sum(wanted) - cash / equity)
            if not r.trade_threshold or gap / 2 > r.trade_threshold:
                acted[t] = p.targets[t]
    return np.array(rows), trades


def run(p, **changes):
    given_ = {"market": p.market, "costs": p.costs, "rules": p.rules, "initial_capital": p.capital} | changes
    return run_ledger(decisions=Decisions.from_dense(p.targets), **given_)


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
