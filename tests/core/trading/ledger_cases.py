"""Markets, decisions, costs and rules for the tests of the ledger: plain ones for numbers by hand, and drawn ones."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from hypothesis import strategies as st

from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Ledger, Rules, run_ledger
from quant_core.trading.market import BOTH, BUY, CLOSED, FILLS, SELL, Market

NAN = np.nan
SEEDS = st.integers(0, 2**32 - 1)
PANELS = (
    "overnight_return", "intraday_return", "open_to", "dividend_return", "vwap_return", "traded_value_inr",
    "volatility_1d", "open_inr",
)  # fmt: skip


def flat(sessions, rate=0.0, per_sale=0.0, impact=0.0):
    """One rate on both sides."""
    table = np.full((sessions, 1), rate)
    return CostSchedule(("flat",), table, table, np.full(sessions, per_sale), impact)


def book_of(
    overnight, intraday, targets, *, rate=0.0, rules=None, capital=1000.0, open_to=None, per_sale=0.0, **market
):
    """A ledger from dense arrays; `market` takes the other panels."""
    overnight = np.asarray(overnight, dtype=float)
    given = Market(overnight, intraday, np.ones(overnight.shape, bool) if open_to is None else open_to, **market)
    decisions = targets if isinstance(targets, Decisions) else Decisions.from_dense(targets)
    return run_ledger(given, decisions, flat(len(overnight), rate, per_sale), rules, capital)


def column(*values):
    return np.array(values, dtype=float)[:, None]


@dataclass(frozen=True)
class Case:
    """Everything that a book follows from; `decided` is {session: {name: amount}}."""

    market: Market
    decided: dict[int, dict[int, float]]
    unit: str
    costs: CostSchedule
    rules: Rules
    capital: float

    @cached_property
    def decisions(self) -> Decisions:
        targets = [(row, name, amount) for row, day in self.decided.items() for name, amount in day.items()]
        rows, names, amounts = zip(*targets, strict=True) if targets else ((), (), ())
        return Decisions.of(list(self.decided), rows, names, amounts, self.unit)

    def run(self, first: int = 0) -> Ledger:
        return run_ledger(self.market, self.decisions, self.costs, self.rules, self.capital, first)

    def with_names(self, order) -> "Case":
        """The same with the names in another order."""
        place = np.argsort(order)
        rows, names, factor, into = self.market.delistings
        ends = (rows, place[names], factor, np.where(into < 0, -1, place[into]))
        panels = {name: getattr(self.market, name)[:, order] for name in PANELS}
        decided = {row: {int(place[i]): amount for i, amount in day.items()} for row, day in self.decided.items()}
        return replace(self, market=replace(self.market, **panels, delistings=ends), decided=decided)


def drawn_rules(unit="weight", **fixed):
    """Every rule on or off; off comes first, so that a failing case shrinks to the rules that it needs."""
    choices = {
        "fill": FILLS,
        "delay_sessions": [1, 2, 3],
        "dividends": ["reinvest", "cash"],
        "no_trade_band": [0.0, 0.03],
        "trade_threshold": [0.0, 0.1] if unit == "weight" else [0.0],
        "max_participation": [0.0, 0.1],
        "carry_over": [False, True],
        "whole_shares": [False, True],
        "max_position": [1.0, 0.4],
        "min_position": [0.0, 0.1],
        "delisting_haircut": [0.0, 0.4, 1.0],
    } | {name: [value] for name, value in fixed.items()}
    return st.builds(Rules, **{name: st.sampled_from(values) for name, values in choices.items()})


@st.composite
def cases(draw, units=("weight", "shares"), **fixed_rules):
    unit = draw(st.sampled_from(units))
    return case_of(
        seed=draw(SEEDS),
        rules=draw(drawn_rules(unit, **fixed_rules)),
        unit=unit,
        shape=(draw(st.integers(2, 25)), draw(st.integers(1, 6))),
        capital=draw(st.sampled_from([1e7, 3e3])),  # so little that whole shares and charges in rupees matter
        rates=draw(st.booleans()),
        per_sale=draw(st.sampled_from([0.0, 40.0])),
        impact=draw(st.sampled_from([0.0, 0.8])),
    )


def case_of(seed, rules=None, unit="weight", shape=(30, 5), capital=1e7, rates=True, per_sale=0.0, impact=0.0):
    """Random numbers for everything, dated rates of two kinds."""
    rng = np.random.default_rng(seed)
    market = drawn_market(rng, *shape, capital)
    costs = CostSchedule(
        kinds=("tax", "spread"),
        buy_rate=rates * rng.uniform(0.0, 0.01, (shape[0], 2)),
        sell_rate=rates * rng.uniform(0.0, 0.01, (shape[0], 2)),
        per_sale_inr=per_sale * rng.uniform(0.5, 1.5, shape[0]),
        impact_coefficient=impact,
    )
    return Case(market, drawn_decisions(rng, market, unit, capital), unit, costs, rules or Rules(), capital)


def drawn_market(rng, sessions, names, capital):
    """Halts, gaps in single panels, dividends, splits and a bonus that leaves half shares, price bands, outages, and
    delistings with and without terms, some into another name."""
    shape = (sessions, names)

    def sometimes(share):
        return rng.random(shape) < share

    price_move, intraday = rng.normal(0.0, 0.03, shape), rng.normal(0.0, 0.03, shape)
    dividend = np.where(sometimes(0.1), rng.uniform(0.0, 0.08, shape), 0.0)
    vwap = np.where(sometimes(0.05), NAN, intraday * rng.random(shape))
    split = np.where(sometimes(0.05), rng.choice([1 / 2, 2 / 3, 1 / 10, 2.0], shape), 1.0)
    open_to = np.select([sometimes(0.05), sometimes(0.05)], [BUY, SELL], BOTH)
    outage = rng.random(sessions) < 0.05
    halted = sometimes(0.08) | (outage[:, None] & (rng.random((sessions, 1)) < 0.7))  # now and then a few still trade
    gone = np.where(rng.random(names) < 0.25, rng.integers(1, sessions, names), sessions)
    halted |= np.arange(sessions)[:, None] >= gone
    open_inr = rng.uniform(5.0, 300.0, names) * np.cumprod((1.0 + price_move) * split, axis=0)
    open_inr[1:] *= np.cumprod(1.0 + intraday, axis=0)[:-1]
    traded = capital * rng.exponential(2.0, shape)
    ends = np.flatnonzero(gone < sessions)
    factor = np.where(rng.random(len(ends)) < 0.5, rng.choice([0.0, 0.4, 1.05], len(ends)), NAN)
    into = np.where(np.isfinite(factor) & (rng.random(len(ends)) < 0.5), rng.integers(0, names, len(ends)), -1)
    into = np.where(into == ends, -1, into)
    return Market(
        overnight_return=np.where(halted, NAN, price_move + dividend),
        intraday_return=np.where(halted | sometimes(0.03), NAN, intraday),
        open_to=np.where(halted, CLOSED, open_to),
        cash_return_1d=rng.normal(2e-4, 1e-4, sessions),
        dividend_return=np.where(halted, NAN, dividend),
        vwap_return=np.where(halted, NAN, vwap),
        traded_value_inr=np.select([sometimes(0.03), sometimes(0.03), sometimes(0.03)], [NAN, 0.0, np.inf], traded),
        volatility_1d=np.where(sometimes(0.03), NAN, rng.uniform(0.005, 0.05, shape)),
        open_inr=np.where(halted | sometimes(0.02), NAN, open_inr),
        delistings=(gone[ends], ends, factor, into),
        outage=outage,
    )


def drawn_decisions(rng, market, unit, capital):
    """{session: {name: amount}}; some sell everything, some invest everything, shares only where there is a price; a
    third keeps some names (NaN)."""
    decided = {}
    for row in np.flatnonzero(rng.random(market.n_sessions) < 0.4).tolist():
        close = market.fill_price_inr("close")[row]
        wanted = (rng.random(market.n_names) < 0.6) & (rng.random() < 0.9) & (np.isfinite(close) | (unit == "weight"))
        sizes = rng.exponential(1.0, market.n_names) * wanted
        sizes *= (1.0 if rng.random() < 0.5 else rng.random()) / max(sizes.sum(), 1e-9)
        if unit == "shares":
            sizes *= capital / np.where(wanted, close, 1.0)
            sizes = np.round(sizes) if rng.random() < 0.7 else sizes
        kept = rng.random(market.n_names) < 0.4 * (rng.random() < 0.33)
        sizes = np.where(kept, NAN, sizes)
        decided[row] = {int(i): float(sizes[i]) for i in np.flatnonzero(sizes)}
    return decided
