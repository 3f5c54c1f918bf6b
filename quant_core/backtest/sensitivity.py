"""The same decisions under other assumptions: twice and three times the cost, one and two sessions later, more money,
nothing or everything lost with a name that stops trading without terms.

A result that needs today's cost, tonight's fill or a small account is told apart from one that does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.promotion import COST_MULTIPLE
from quant_core.measures import performance as p
from quant_core.measures.holdings import exposure, invested_share
from quant_core.schema import Sensitivity, StressedReturns, dtypes_of, table_of, validate
from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Ledger, Rules, run_ledger
from quant_core.trading.market import Market
from quant_core.trading.panel import MarketPanel

COST_MULTIPLES = (1.0, COST_MULTIPLE, 3.0)
EXTRA_DELAYS = (0, 1, 2)
HAIRCUTS = (0.0, 1.0)
#: Square-root impact of the capacity curve where the backtest itself assumes less (Toth et al., 2011: about 1).
CAPACITY_IMPACT = 1.0
#: Largest share of a name's average day that the capacity curve trades in a session, where the backtest allows more: a
#: usual limit of institutional desks. What is left of an order stays open until the next decision.
CAPACITY_PARTICIPATION = 0.10


@dataclass(frozen=True)
class Plan:
    """What a strategy decided, and the row of the panel at which it began."""

    start: int
    decisions: Decisions


Scenario = tuple[str, float, CostSchedule, Rules, float]


def sensitivity(
    panel: MarketPanel,
    plans: Mapping[str, Plan],
    books: Mapping[str, Ledger],
    costs: CostSchedule,
    config: BacktestConfig,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Every strategy under every scenario.

    Args:
        books: what the backtest itself made of the plans, which some scenarios ask for again.
        costs: that they were run at.
    Returns:
        Sensitivity, in which capacity charges square-root impact of at least CAPACITY_IMPACT and fills at most
        CAPACITY_PARTICIPATION of a day: without them, money would be no object. And StressedReturns.
    """
    rows, stressed = [], [pl.DataFrame(schema=dtypes_of(StressedReturns))]
    as_run = (config.rules, config.initial_capital_inr)
    for name, plan in plans.items():
        days = panel.sessions[plan.start :]
        for scenario, level, paid, rules, capital in scenarios(costs, config):
            if paid is costs and (rules, capital) == as_run:
                book = books[name]
            else:
                book = run_ledger(panel.market, plan.decisions, paid, rules, capital, plan.start)
            found = measure_book(book, days, panel.market, plan.start)
            rows.append({"strategy": name, "scenario": scenario, "level": level} | found)
            if (scenario, level) == ("cost_multiple", COST_MULTIPLE):
                dated = {"date": pl.Series(days, dtype=pl.Date), "strategy": name}
                stressed.append(pl.DataFrame(dated | {"simple_return_1d": book.simple_return}))
    measures = table_of(Sensitivity, rows).sort("strategy", "scenario", "level")
    returns = pl.concat(stressed).sort("date", "strategy")
    return (
        validate(measures, Sensitivity, "backtest sensitivity", "report it."),
        validate(returns, StressedReturns, "backtest stressed", "report it."),
    )


def scenarios(costs: CostSchedule, config: BacktestConfig) -> Iterator[Scenario]:
    """(scenario, level, costs, rules, capital), one after another; `costs` itself where a scenario leaves them."""
    rules, capital = config.rules, config.initial_capital_inr
    for multiple in COST_MULTIPLES:
        yield "cost_multiple", multiple, costs if multiple == 1.0 else costs.scaled(multiple), rules, capital
    for extra in EXTRA_DELAYS:
        late = replace(rules, delay_sessions=rules.delay_sessions + extra)
        yield "extra_delay_sessions", float(extra), costs, late, capital
    deep = replace(costs, impact_coefficient=max(costs.impact_coefficient, CAPACITY_IMPACT))
    patient = replace(rules, max_participation=_tighter(rules.max_participation), carry_over=True)
    for level in config.capital_levels_inr:
        yield "capital_inr", level, deep, patient, level
    for haircut in HAIRCUTS:
        yield "delisting_haircut", haircut, costs, replace(rules, delisting_haircut=haircut), capital


def _tighter(participation: float) -> float:
    """The backtest's own cap where it has a tighter one; 0 is none."""
    return min(participation or 1.0, CAPACITY_PARTICIPATION)


def measure_book(book: Ledger, sessions: Sequence[date], market: Market, start: int) -> dict[str, float | None]:
    """The measures of a Sensitivity row; nothing for a book of one session."""
    if len(sessions) < 2:
        return {}
    returns = book.simple_return[1:]
    years = len(returns) / p.SESSIONS_PER_YEAR
    return {
        "cagr": p.cagr(returns, sessions),
        "sharpe_ann": p.sharpe(returns, market.cash_return_1d[start + 1 :]),
        "max_drawdown": p.max_drawdown(returns),
        "turnover_ann": p.annual_turnover(book.turnover[1:]),
        "cost_ann": float(book.cost.sum() / book.equity.mean() / years),
        "exposure": exposure(invested_share(book.cash[1:], book.equity[1:])),
    }
