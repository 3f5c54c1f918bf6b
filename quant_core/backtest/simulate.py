"""From tables of prices and target weights to the history of every strategy: panels in, one ledger each, tables out.

The accounting itself is `trading.ledger`; what to hold was decided before. Two conventions tie this stage to the
strategies: a strategy without a row on a decision date that has prices holds only cash from the next fill on, and no
decision is read on other dates nor after the last date of the target table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from quant_core import calendar
from quant_core.backtest import guard, tables
from quant_core.backtest.benchmark import benchmark_returns
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.measures import measure
from quant_core.backtest.panel import Panel, assemble_panel
from quant_core.backtest.sensitivity import Plan, sensitivity
from quant_core.errors import DataError
from quant_core.schema import (
    BacktestCosts,
    BacktestDaily,
    BacktestPositions,
    BacktestTrades,
    RoundTrips,
    TargetWeights,
    validate,
)
from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Ledger, check_reconciles, run_ledger
from quant_core.trading.rebalancing import REBALANCES, Rebalance, rebalance_dates
from quant_core.trading.risk_free import cash_return_1d
from quant_core.trading.trips import round_trips

BUG = "report this as a bug."


@dataclass(frozen=True)
class Backtest:
    """What happened; every table sorted by its keys."""

    daily: pl.DataFrame  # BacktestDaily
    positions: pl.DataFrame  # BacktestPositions
    trades: pl.DataFrame  # BacktestTrades
    costs: pl.DataFrame  # BacktestCosts
    trips: pl.DataFrame  # RoundTrips
    benchmark: pl.DataFrame  # BenchmarkReturns, 0 on the first session, which no strategy earns either
    metrics: pl.DataFrame  # one row a strategy, and one for "benchmark"
    sensitivity: pl.DataFrame  # Sensitivity: more cost, more delay, more capital


def simulate(
    prices: pl.DataFrame,
    targets: pl.DataFrame,
    config: BacktestConfig,
    fits: pl.DataFrame | None = None,
    price_returns_after: date | None = None,
) -> Backtest:
    """Run every strategy of `targets` through the ledger, and again under other costs, delays and capital.

    Args:
        prices: CleanPrices, equities and index rows, from the first decision on or earlier.
        targets: TargetWeights of one strategy or more, decided on the dates of config.rebalance.
        config: costs, fill, cash rate, benchmark.
        fits: what the targets' models were fitted until, as `guard.fits_of` tells it.
        price_returns_after: last day whose dividends the prices have, see `benchmark_returns`; None for all days.
    Returns:
        the sessions run from the first decision of any strategy to the last price; a strategy's own rows begin at its
        own first decision, with the initial capital in cash.
    Raises:
        DataError: no targets, a target on a date that is no decision date, after the last price or in a ticker without
            prices, or a frequency that does not match the targets.
        LookaheadError: a model fitted on or after its first decision, or a fill on or before its decision.
    """
    targets = validate(targets, TargetWeights, "backtest targets", "rebuild target_weights.")
    if config.until is not None:
        prices, targets = (table.filter(pl.col("date") <= config.until) for table in (prices, targets))
    if targets.is_empty() or prices.is_empty():
        raise DataError("backtest: targets or prices are empty; materialize them for the dates to simulate.")
    if fits is not None:
        guard.check_fits(fits)
    decisions = decision_dates(prices, targets, config.rebalance)
    panel = market_panel(prices, targets["ticker"].unique().sort(), decisions[0], config)
    names = targets["strategy"].unique().sort().to_list()
    plans = {name: plan_of(targets.filter(pl.col("strategy") == name), decisions, panel) for name in names}
    costs = config.cost_schedule(panel.sessions)
    books = {name: _run(panel, plan, costs, config) for name, plan in plans.items()}
    benchmark = benchmark_returns(
        prices, panel.sessions, config.total_return_index_ticker, config.index_ticker, panel.market.cash_return_1d,
        price_returns_after,
    )  # fmt: skip
    return _assemble(panel, plans, books, benchmark, sensitivity(panel, plans, config))


def market_panel(prices: pl.DataFrame, tickers: pl.Series, start: date, config: BacktestConfig) -> Panel:
    """The market of `tickers` from `start` to the last price, as the config trades it."""
    last = prices["date"].max()
    assert isinstance(last, date)
    return assemble_panel(
        prices, tickers, start,
        cash_return_1d=cash_return_1d(calendar.sessions(start, last), config.risk_free_rate_ann),
        fill=config.fill, price_band=config.price_band, delisted_after_sessions=config.delisted_after_sessions,
    )  # fmt: skip


def decision_dates(prices: pl.DataFrame, targets: pl.DataFrame, rebalance: Rebalance) -> list[date]:
    """Every date from the first to the last target on which something was decided, all-cash decisions included.

    Those are the rebalance dates that have prices: a session lost from the data decides nothing.

    Raises:
        DataError: targets outside those dates, or all of them on the dates of a slower frequency.
    """
    asked = targets["date"].unique().sort().to_list()
    priced = set(prices["date"].unique().to_list())
    last_price = max(priced)
    if asked[-1] > last_price:
        raise DataError(
            f"backtest: targets run to {asked[-1]}, prices to {last_price}; load prices up to the last target."
        )
    grid = rebalance_dates(asked[0], asked[-1], rebalance)
    stray = sorted(set(asked) - set(grid))
    if stray:
        what = f"no {rebalance} decision date" if calendar.is_session(stray[0]) else "no NSE session"
        raise DataError(
            f"backtest: {len(stray)} target dates are off the grid, the first {stray[0]} is {what}; "
            "use the rebalance setting that target_weights was built with."
        )
    unpriced = sorted(set(asked) - priced)
    if unpriced:
        raise DataError(
            f"backtest: targets are dated {unpriced[0]}, which has no prices; rebuild both from the same data."
        )
    for slower in REBALANCES[REBALANCES.index(rebalance) + 1 :]:
        coarser = rebalance_dates(asked[0], asked[-1], slower)
        if len(asked) >= 3 and coarser != grid and set(asked) <= set(coarser):
            raise DataError(
                f"backtest: every target is dated on a {slower} decision date but rebalance is {rebalance!r}, which "
                f"would sell everything in between; set rebalance={slower!r}."
            )
    return [day for day in grid if day in priced]


def plan_of(targets: pl.DataFrame, decisions: Sequence[date], panel: Panel) -> Plan:
    """Row of a strategy's first decision, and all that it decided."""
    row_of = {day: row for row, day in enumerate(panel.sessions)}
    first = targets["date"].min()
    decided = [row_of[day] for day in decisions if day >= first]  # type: ignore[operator]
    guard.check_fills_follow(panel.sessions, decided)
    rows = targets["date"].replace_strict(row_of, return_dtype=pl.Int64).to_numpy()
    columns = panel.tickers.search_sorted(targets["ticker"]).to_numpy()
    return Plan(decided[0], Decisions.of(decided, rows, columns, targets["weight"].to_numpy()))


def _run(panel: Panel, plan: Plan, costs: CostSchedule, config: BacktestConfig) -> Ledger:
    book = run_ledger(panel.market, plan.decisions, costs, config.rules, config.initial_capital_inr, plan.start)
    check_reconciles(book)
    return book


def _assemble(
    panel: Panel, plans: dict[str, Plan], books: dict[str, Ledger], benchmark: pl.DataFrame, sensitivities: pl.DataFrame
) -> Backtest:
    days = {name: panel.sessions[plan.start :] for name, plan in plans.items()}
    daily = pl.concat([tables.daily_table(name, days[name], book) for name, book in books.items()])
    positions = pl.concat(
        [tables.positions_table(name, days[name], panel.tickers, book) for name, book in books.items()]
    )
    trades = pl.concat([tables.trades_table(name, panel, plans[name].start, book) for name, book in books.items()])
    costs = pl.concat([tables.costs_table(name, days[name], book) for name, book in books.items()])
    daily = validate(daily.sort("date", "strategy"), BacktestDaily, "backtest daily", BUG)
    positions = validate(positions.sort("date", "strategy", "ticker"), BacktestPositions, "backtest positions", BUG)
    trades = validate(trades.sort("date", "strategy", "ticker", "side"), BacktestTrades, "backtest trades", BUG)
    guard.check_trades(trades)
    trips = validate(round_trips(trades, positions, panel.sessions), RoundTrips, "backtest round trips", BUG)
    return Backtest(
        daily=daily,
        positions=positions,
        trades=trades,
        costs=validate(costs.sort("date", "strategy", "kind"), BacktestCosts, "backtest costs", BUG),
        trips=trips,
        benchmark=benchmark,
        metrics=measure(daily, positions, trades, trips, benchmark),
        sensitivity=sensitivities,
    )
