"""From tables of prices and target weights to the history of every strategy: panels in, one ledger each, tables out.

The accounting itself is `trading.ledger`; what to hold was decided before. A strategy's decisions are the dates of its
own rows: on any other date nothing was decided and the book is kept.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from quant_core import calendar
from quant_core.backtest import guard, records
from quant_core.backtest.benchmark import benchmark_returns
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.metrics import measure
from quant_core.backtest.sensitivity import Plan, sensitivity
from quant_core.errors import DataError
from quant_core.measures.trips import round_trips
from quant_core.schema import (
    CASH,
    FAILED,
    BacktestCosts,
    BacktestDaily,
    BacktestPositions,
    BacktestTrades,
    RoundTrips,
    Sensitivity,
    StressedReturns,
    TargetWeights,
    validate,
)
from quant_core.trading.costs import CostSchedule
from quant_core.trading.ledger import Ledger, check_reconciles, run_ledger
from quant_core.trading.panel import MarketPanel, market_panel

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
    sensitivity: pl.DataFrame  # Sensitivity: more cost, more delay, more capital, other haircuts
    stressed: pl.DataFrame  # StressedReturns at twice the costs, which a candidate is judged by
    failures: pl.DataFrame  # strategy, date: where a strategy could not decide and kept its book


def simulate(
    prices: pl.DataFrame,
    targets: pl.DataFrame,
    config: BacktestConfig,
    fits: pl.DataFrame | None = None,
    price_returns_after: date | None = None,
    stress: bool = True,
) -> Backtest:
    """Run every strategy of `targets` through the ledger, and again under other costs, delays and capital.

    Args:
        prices: CleanPrices, equities and index rows, from the first decision on or earlier.
        targets: TargetWeights of one strategy or more; rows for cash may be left out.
        config: costs, fill, cash rate, benchmark.
        fits: what the targets' models were fitted until, as `guard.fits_of` tells it.
        price_returns_after: last day whose dividends the prices have, see `benchmark_returns`; None for all days.
        stress: run the other scenarios; without them `sensitivity` and `stressed` are empty.
    Returns:
        the sessions run from the first decision of any strategy to the last price; a strategy's own rows begin at its
        own first decision, with the initial capital in cash. A strategy that failed on all its dates has no book.
    Raises:
        DataError: no targets, or one on a date that is no session, after the last price, without any prices or in a
            ticker without prices.
        LookaheadError: a model fitted on or after its first decision, or a fill on or before its decision.
    """
    targets = validate(targets, TargetWeights, "backtest targets", "rebuild target_weights.")
    if config.until is not None:
        prices, targets = (table.filter(pl.col("date") <= config.until) for table in (prices, targets))
    if targets.is_empty() or prices.is_empty():
        raise DataError("backtest: targets or prices are empty; materialize them for the dates to simulate.")
    if fits is not None:
        guard.check_fits(fits)
    failed = pl.col("ticker") == FAILED
    failures, decided = targets.filter(failed).select("strategy", "date"), targets.filter(~failed)
    if decided.is_empty():
        raise DataError("backtest: every strategy failed on every date; see target_weights for the reasons.")
    check_dates(prices, decided)
    decided = without_absent(prices, decided)
    names = decided["ticker"].filter(decided["ticker"] != CASH).unique().sort()
    panel = market_panel(prices, names, decided["date"].min(), config)  # type: ignore[arg-type]
    strategies = decided["strategy"].unique().sort().to_list()
    plans = {name: plan_of(decided.filter(pl.col("strategy") == name), panel) for name in strategies}
    costs = config.cost_schedule(panel.sessions)
    books = {name: _run(panel, plan, costs, config) for name, plan in plans.items()}
    benchmark = benchmark_returns(
        prices, panel.sessions, config.total_return_index_ticker, config.index_ticker, panel.market.cash_return_1d,
        price_returns_after,
    )  # fmt: skip
    nothing = Sensitivity.create_empty(), StressedReturns.create_empty()
    stresses = sensitivity(panel, plans, books, costs, config) if stress else nothing
    return _assemble(panel, plans, books, benchmark, *stresses, failures.sort("strategy", "date"))


def without_absent(prices: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """`targets` without kept names that have no price from the first decision on: no book can hold them.

    A name that stopped trading before the test is still kept by the first decisions, as it may come back.
    """
    priced = prices.filter(pl.col("date") >= targets["date"].min())["ticker"].unique()
    is_known = pl.col("ticker").is_in(priced.implode()) | (pl.col("ticker") == CASH)
    return targets.filter(is_known | pl.col("weight").is_not_null())


def check_dates(prices: pl.DataFrame, targets: pl.DataFrame) -> None:
    """Raise a DataError for targets on a date that is no session, after the last price or without any price."""
    asked, priced = targets["date"].unique().sort().to_list(), set(prices["date"].unique().to_list())
    if asked[-1] > max(priced):
        raise DataError(
            f"backtest: targets run to {asked[-1]}, prices to {max(priced)}; load prices up to the last target."
        )
    for day in asked:
        if not calendar.is_session(day):
            raise DataError(f"backtest: targets are dated {day}, which is no NSE session; rebuild target_weights.")
        if day not in priced:
            raise DataError(f"backtest: targets are dated {day}, which has no prices; rebuild both from the same data.")


def plan_of(targets: pl.DataFrame, panel: MarketPanel) -> Plan:
    """Row of a strategy's first decision, and all that it decided: its rows, of which those for cash name nothing."""
    decisions = panel.decisions(targets)
    guard.check_fills_follow(panel.sessions, decisions.rows.tolist())
    return Plan(int(decisions.rows[0]), decisions)


def _run(panel: MarketPanel, plan: Plan, costs: CostSchedule, config: BacktestConfig) -> Ledger:
    book = run_ledger(panel.market, plan.decisions, costs, config.rules, config.initial_capital_inr, plan.start)
    check_reconciles(book)
    return book


def _assemble(
    panel: MarketPanel,
    plans: dict[str, Plan],
    books: dict[str, Ledger],
    benchmark: pl.DataFrame,
    sensitivities: pl.DataFrame,
    stressed: pl.DataFrame,
    failures: pl.DataFrame,
) -> Backtest:
    days = {name: panel.sessions[plan.start :] for name, plan in plans.items()}
    daily = pl.concat([records.daily_table(name, days[name], book) for name, book in books.items()])
    positions = pl.concat(
        [records.positions_table(name, days[name], panel.tickers, book) for name, book in books.items()]
    )
    trades = pl.concat([records.trades_table(name, panel, plans[name].start, book) for name, book in books.items()])
    costs = pl.concat([records.costs_table(name, days[name], book) for name, book in books.items()])
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
        stressed=stressed,
        failures=failures,
    )
