"""Books that follow scores without history: top N of the eligible names through the ledger, and the same by arithmetic.

What belongs here: the history of one book, free of charge and charged, and what its picks earned without any ledger.
What does not: scores (`null_signals`), judging many books (`null_test`).

D decisions, N names, T sessions, P periods from one fill to the next.
"""

from dataclasses import dataclass

import numpy as np

from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.null_signals import Choices
from quant_core.dense import Flags, Floats, Integers
from quant_core.measures.performance import annual_turnover
from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Ledger, Rules, check_reconciles, run_ledger
from quant_core.trading.market import Market


@dataclass(frozen=True, eq=False)
class Desk:
    """All that the books of one universe share.

    Args:
        decided: (P + 1,) which decisions are filled inside the panel; of several that fall due together, the last.
        fills: (P + 1,) the sessions at which they are.
        held_growth: (P, N) what a rupee placed in a name at one fill has earned at the next, see `growth_to_next_fill`.
    """

    universe: Choices
    rules: Rules
    free: CostSchedule
    charged: CostSchedule
    capital_inr: float
    decided: Integers
    fills: Integers
    held_growth: Floats


@dataclass(frozen=True, eq=False)
class BookHistory:
    """History of one book; simple returns, the opening session left out."""

    gross_return: Floats  # (T - 1,)
    net_return: Floats  # (T - 1,)
    cost_share: Floats  # (T - 1,) costs over the equity of the close before
    fill_return: Floats  # (P,) gross, from fill to fill
    pick_return: Floats  # (P,) the same by arithmetic, as if every order were filled
    turnover_ann: float  # one-way, gross


def desk_of(universe: Choices, config: BacktestConfig) -> Desk:
    """The books' rules and costs, from a backtest's configuration."""
    charged, market = config.cost_schedule(universe.panel.sessions), universe.panel.market
    due = market.due_sessions(universe.rows, config.delay_sessions)
    decided = np.flatnonzero((np.append(due[1:], market.n_sessions) > due) & (due < market.n_sessions))
    growth = growth_to_next_fill(market, config.rules, due[decided])
    return Desk(
        universe, config.rules, charged.scaled(0.0), charged, config.initial_capital_inr, decided, due[decided], growth
    )


def top_weights(scores: Floats, eligible: Flags, top_n: int) -> Floats:
    """(D, N) equal weights of the `top_n` eligible names with the highest scores."""
    chosen = np.argpartition(np.where(eligible, -scores, np.inf), top_n - 1, axis=1)[:, :top_n]
    weights = np.zeros(scores.shape)
    np.put_along_axis(weights, chosen, 1.0 / top_n, axis=1)
    return weights


def equal_weights(eligible: Flags) -> Floats:
    """(D, N) every eligible name alike."""
    return np.asarray(eligible / eligible.sum(axis=1, keepdims=True))


def run_book(desk: Desk, weights: Floats) -> BookHistory:
    """Gross and net history of (D, N) target weights; every name that is not in a decision is sold.

    Raises:
        DataError: a ledger that does not add up.
    """
    universe, market = desk.universe, desk.universe.panel.market
    decision, name = np.nonzero(weights)
    decisions = Decisions.of(universe.rows, universe.rows[decision], name, weights[decision, name])
    gross, net = (
        run_ledger(market, decisions, costs, desk.rules, desk.capital_inr) for costs in (desk.free, desk.charged)
    )
    check_reconciles(net)
    equity = equity_at_fill(gross, market, desk.rules)[desk.fills]
    n_periods = len(desk.held_growth)
    return BookHistory(
        gross_return=gross.simple_return[1:],
        net_return=net.simple_return[1:],
        cost_share=net.cost[1:] / net.equity[:-1],
        fill_return=equity[1:] / equity[:-1] - 1.0,
        pick_return=(weights[desk.decided[:n_periods]] * desk.held_growth).sum(axis=1),
        turnover_ann=annual_turnover(gross.turnover[1:]),
    )


def equity_at_fill(book: Ledger, market: Market, rules: Rules) -> Floats:
    """(T,) equity at the fill of a book without costs: what is held at the close less what it earned since the fill."""
    _, after = market.legs(rules.fill, rules.dividends)
    row, value = np.repeat(np.arange(len(book.equity)), np.diff(book.holdings.start)), book.holdings.value
    if after.size:
        value = value / (1.0 + np.nan_to_num(after[row, book.holdings.name]))
    return np.asarray(book.cash + np.bincount(row, value, len(book.equity)))


def growth_to_next_fill(market: Market, rules: Rules, fills: Integers) -> Floats:
    """(P, N) simple return of a rupee placed in each name at a fill, until the next one; nothing else is traded.

    Dividends are reinvested or lie in cash as the rules say. No code is shared with the ledger's steps.
    """
    before, after = (np.nan_to_num(leg) for leg in market.legs(rules.fill, rules.dividends))
    paid_out = np.nan_to_num(market.dividend_return) if rules.dividends == "cash" else np.zeros_like(before)
    growth = np.empty((max(len(fills) - 1, 0), market.n_names))
    for period in range(len(growth)):
        value, cash = np.ones(market.n_names), np.zeros(market.n_names)
        for t in range(fills[period] + 1, fills[period + 1] + 1):
            value *= 1.0 + (after[t - 1] if after.size else 0.0)
            cash = cash * (1.0 + market.cash_return_1d[t]) + value * paid_out[t]
            value *= 1.0 + before[t]
        growth[period] = value + cash - 1.0
    return growth
