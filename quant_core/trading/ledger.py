"""The one ledger: what decisions would have earned, day by day, net of costs.

The backtest runs whole histories through it, a learning environment steps an `account` through the same compiled
sessions (`day_loop`). It knows arrays only: which tables they came from, and which decisions are wise, is the caller's.

Rules of a session, in order:
1. Cash earns its rate since the last close. Holdings earn the overnight return; with dividends="cash" what was paid out
   goes to cash. NaN is 0: a halt, the spanning return arrives when the name trades again. A delisted name becomes its
   last value x the factor of its terms, in cash or in another name's shares at the open, without cost or turnover;
   without terms it is paid out at its last value less the haircut.
2. The decision taken `delay_sessions` closes ago falls due; in an outage, when the whole market has no prices, it waits
   for the next session that is none. It replaces every open order: target x equity - value at the fill price. Changes
   within the no-trade band are left, a sale of everything never is. A name that the decision keeps has no order, an
   open one included; where the kept names leave less than the other targets ask for, these shrink by one factor.
3. Orders are filled, sales first, costs paid from cash. No fill in a direction that the name is closed to; no more
   than the participation cap; whole shares only, if asked for (what corporate actions left of a share is sold with the
   rest). Where cash does not reach, all purchases shrink by one factor and cash ends at exactly 0. A sale that would
   not pay its own charges is not made. Impact is charged at the rate of the order as allowed, before any shrinking.
4. What is left of an order lapses, or with carry_over stays open as so many shares until the next decision. A purchase
   that cash did not reach stays open only while a sale does.
5. Holdings earn the rest of the session's return.
The first session only opens the account.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_core.dense import Floats, Integers
from quant_core.errors import DataError
from quant_core.trading import arrays as b
from quant_core.trading.costs import EVENT_KINDS, CostSchedule
from quant_core.trading.day_loop import advance
from quant_core.trading.decisions import Decisions
from quant_core.trading.loop_input import loop_input
from quant_core.trading.market import Market
from quant_core.trading.rules import Rules, check_capital

Small = NDArray[np.int32]

PAISA = 0.01
ROUNDING = 5e-14  # of sums of rupees, as a share of equity


class Holdings(NamedTuple):
    """Positions after each close: those of session t are start[t]..start[t + 1]."""

    start: Integers  # (T + 1,)
    name: Small  # (P,)
    value: Floats  # (P,) rupees


@dataclass(frozen=True)
class Trades:
    """Everything that moved money between cash and a name: in session t, start[t]..start[t + 1]."""

    start: Integers  # (T + 1,)
    name: Small  # (R,)
    event: Small  # (R,) session of the decision behind an order, else arrays.DELISTING, DIVIDEND or RECEIVED
    # (R,) rupees: + bought, - sold; what a delisting paid by its terms, else the last value; a dividend; received
    amount: Floats
    cost: Floats  # (R,)

    @property
    def row(self) -> Integers:
        """(R,) session."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    @property
    def kind(self) -> Small:
        """(R,) arrays.ORDER, DELISTING, DIVIDEND or RECEIVED."""
        return np.minimum(self.event, np.int32(b.ORDER))

    @property
    def decided(self) -> Small:
        """(R,) session of the decision, -1 for what is no order."""
        return np.maximum(self.event, np.int32(-1))


@dataclass(frozen=True)
class Ledger:
    """One row a session, after the close. T sessions, N names; rupees where no unit is named."""

    equity: Floats  # (T,) cash + holdings
    cash: Floats  # (T,)
    turnover: Floats  # (T,) one-way: half the sum of |weight change| at the fill, cash included
    cost: Floats  # (T,)
    interest: Floats  # (T,)
    dividend: Floats  # (T,) paid into cash
    bought: Floats  # (T,) before costs
    sold: Floats  # (T,)
    event_cost: Floats  # (len(EVENT_KINDS), T)
    n_fills: Small  # (T,) trades done
    n_unfilled: Small  # (T,) orders that a closed name or the participation cap left open, whole or in part
    holdings: Holdings
    trades: Trades
    rates: CostSchedule  # of the T sessions
    n_names: int

    @cached_property
    def simple_return(self) -> Floats:
        """(T,) net of costs, 0 on the first session and for a book that has lost everything."""
        growth = np.ones(len(self.equity))
        np.divide(self.equity[1:], self.equity[:-1], out=growth[1:], where=self.equity[:-1] > 0.0)
        return growth - 1.0

    @property
    def cost_kinds(self) -> tuple[str, ...]:
        return (*self.rates.kinds, *EVENT_KINDS)

    @cached_property
    def cost_by_kind(self) -> Floats:
        """(T, kinds), sums to cost."""
        rated = self.bought[:, None] * self.rates.buy_rate + self.sold[:, None] * self.rates.sell_rate
        return np.column_stack([rated, self.event_cost.T])

    @cached_property
    def weights(self) -> Floats:
        """(T, N) holdings as fractions of equity; the rest is cash."""
        table = np.zeros((len(self.equity), self.n_names))
        row = np.repeat(np.arange(len(self.equity)), np.diff(self.holdings.start))
        table[row, self.holdings.name] = self.holdings.value / self.equity[row]
        return table


def run_ledger(
    market: Market,
    decisions: Decisions,
    costs: CostSchedule,
    rules: Rules | None = None,
    initial_capital: float = 1e7,
    first: int = 0,
) -> Ledger:
    """Account for one strategy over one panel.

    Args:
        market: T sessions of N names.
        decisions: targets; one at row t is filled at row t + rules.delay_sessions or later.
        costs: what trades cost on each of the T sessions.
        initial_capital: cash on the first session, rupees.
        first: session that opens the account; earlier ones, and what was decided in them, are left out.
    Returns:
        a book of T - first sessions, counted from `first`.
    Raises:
        DataError: a decision outside the panel, a rule whose panel the market lacks, a schedule of another length.
    """
    return run_ledgers(market, [decisions], costs, rules, initial_capital, 1, first)[0]


def run_ledgers(
    market: Market,
    decisions: Sequence[Decisions],
    costs: CostSchedule,
    rules: Rules | None = None,
    initial_capital: float = 1e7,
    threads: int | None = None,
    first: int = 0,
) -> list[Ledger]:
    """Many strategies over one panel, each as `run_ledger` would account for it, in the order given.

    Args:
        threads: at once; by default one a core. The book of a strategy with 5 names, rebalanced daily over 4,000
            sessions, takes 1.6 MB.
    """
    check_capital(initial_capital)
    rates = _from(costs, first)

    def book_of(each: Decisions) -> Ledger:
        given = loop_input(market, each, costs, rules or Rules(), first)
        log = advance(first, market.n_sessions, *given, b.open_state(market.n_names, float(initial_capital)))
        return _assemble(log, rates, first, market)

    threads = min(threads or os.cpu_count() or 1, len(decisions))
    if threads <= 1:
        return [book_of(each) for each in decisions]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(book_of, decisions))


def check_reconciles(book: Ledger) -> None:
    """Add the book up again from its trades: cash moves by interest, trades and charges alone, holdings are the rest.

    Raises:
        DataError: a session that is off by half a paisa or more (or by rounding, where equity is beyond 10,000 crore).
    """
    sessions, trades = len(book.equity), book.trades
    bought = (trades.kind == b.ORDER) | (trades.kind == b.RECEIVED)
    into_cash = np.where(bought, -trades.amount, trades.amount) - trades.cost
    paid_out = np.where(trades.kind == b.DIVIDEND, trades.amount, 0.0)
    cash = book.cash[0] + np.cumsum(book.interest + np.bincount(trades.row, into_cash, sessions))
    row = np.repeat(np.arange(sessions), np.diff(book.holdings.start))
    equity = book.cash + np.bincount(row, book.holdings.value, sessions)
    cost = np.bincount(trades.row, trades.cost, sessions)
    allowed = np.maximum(PAISA / 2, ROUNDING * np.maximum.accumulate(book.equity))
    for what, told, again in (
        ("cash", book.cash, cash),
        ("equity", book.equity, equity),
        ("dividend", book.dividend, np.bincount(trades.row, paid_out, sessions)),
        ("cost", book.cost, cost),
        ("cost by kind", book.cost, book.cost_by_kind.sum(axis=1)),
    ):
        off = np.abs(told - again)
        if not (off < allowed).all():
            t = int(np.argmax(~(off < allowed)))
            raise DataError(
                f"ledger: {what} of session {t} is {told[t]:.4f} and adds up to {again[t]:.4f} rupees; "
                "report this as a bug."
            )


def _from(costs: CostSchedule, first: int) -> CostSchedule:
    if first == 0:
        return costs
    return CostSchedule(
        costs.kinds, costs.buy_rate[first:], costs.sell_rate[first:], costs.per_sale_inr[first:],
        costs.impact_coefficient,
    )  # fmt: skip


def _assemble(log: b.Log, rates: CostSchedule, first: int, market: Market) -> Ledger:
    """The log as a book whose sessions count from `first`."""
    series, (name, event), (amount, cost) = log.series, log.tape, log.tape_inr
    if first:
        event = np.where(event < 0, event, event - np.int32(first))
    return Ledger(
        equity=series[b.EQUITY],
        cash=series[b.CASH],
        turnover=series[b.TURNOVER],
        cost=series[b.COST],
        interest=series[b.INTEREST],
        dividend=series[b.PAID],
        bought=series[b.BOUGHT],
        sold=series[b.SOLD],
        event_cost=series[b.IMPACT : b.HAIRCUT + 1],
        n_fills=log.counts[b.FILLS],
        n_unfilled=log.counts[b.UNFILLED],
        holdings=Holdings(log.held_start, log.held, log.held_inr),
        trades=Trades(log.tape_start, name, event, amount, cost),
        rates=rates,
        n_names=market.n_names,
    )
