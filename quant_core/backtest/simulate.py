"""From tables of prices and target weights to the history of every strategy: panels in, one ledger each, tables out.

The accounting itself is `trading.ledger`; what to hold was decided before. Two conventions tie this stage to the
strategies: a strategy without a row on a decision date that has prices holds only cash from the next fill on, and no
decision is read on other dates nor after the last date of the target table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core import calendar
from quant_core.backtest.benchmark import benchmark_returns
from quant_core.backtest.measures import measure
from quant_core.errors import DataError, LookaheadError
from quant_core.schema import INDEX, BacktestDaily, BacktestPositions, ForecastQuality, TargetWeights, validate
from quant_core.trading.costs import FlatCosts
from quant_core.trading.ledger import Fill, Ledger, run_ledger
from quant_core.trading.performance import risk_free_1d
from quant_core.trading.rebalancing import REBALANCES, Rebalance, check_rebalance, rebalance_dates

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BacktestConfig:
    """What a backtest assumes.

    Args:
        initial_capital_inr: cash at the close of a strategy's first decision.
        commission_bps, slippage_bps, spread_bps: each side, on traded value.
        fill: "open" or "close" of the session after the decision.
        risk_free_rate_ann: what cash earns, and what Sharpe, Sortino, beta and alpha subtract; compounds over
            252 sessions.
        rebalance: the frequency that the targets were decided with.
        index_ticker: price index, the benchmark where the total-return index has no data.
        total_return_index_ticker: the benchmark.
    """

    initial_capital_inr: float = 1e7
    commission_bps: float = 10.0
    slippage_bps: float = 5.0
    spread_bps: float = 5.0
    fill: Fill = "open"
    risk_free_rate_ann: float = 0.06
    rebalance: Rebalance = "weekly"
    index_ticker: str = "^NSEI"
    total_return_index_ticker: str = "NIFTY 50 TRI"

    def __post_init__(self) -> None:
        check_rebalance(self.rebalance)
        if self.fill not in ("open", "close"):
            raise DataError(f"backtest: fill is {self.fill!r}; wanted 'open' or 'close'.")
        if not 0.0 < self.initial_capital_inr < float("inf"):
            raise DataError(f"backtest: initial_capital_inr is {self.initial_capital_inr}; wanted a positive amount.")
        if not -1.0 < self.risk_free_rate_ann < 1.0:
            raise DataError(
                f"backtest: risk_free_rate_ann is {self.risk_free_rate_ann}; wanted a fraction, 0.06 for 6 %."
            )
        _ = self.costs  # its own checks

    @property
    def costs(self) -> FlatCosts:
        return FlatCosts(self.commission_bps, self.slippage_bps, self.spread_bps)


@dataclass(frozen=True)
class Backtest:
    """What happened; every table sorted by date, then strategy, then ticker."""

    daily: pl.DataFrame  # BacktestDaily
    positions: pl.DataFrame  # BacktestPositions
    benchmark: pl.DataFrame  # BenchmarkReturns, 0 on the first session, which no strategy earns either
    quality: pl.DataFrame  # ForecastQuality; empty here, the caller adds it with dataclasses.replace
    metrics: pl.DataFrame  # one row a strategy, and one for "benchmark"


@dataclass(frozen=True)
class Panel:
    """Dense views of the prices: T sessions, N tickers in ascending order."""

    sessions: list[date]
    tickers: pl.Series
    overnight_return: Floats  # (T, N), NaN for none
    intraday_return: Floats  # (T, N)
    tradable: NDArray[np.bool_]  # (T, N)


def simulate(prices: pl.DataFrame, targets: pl.DataFrame, config: BacktestConfig) -> Backtest:
    """Run every strategy of `targets` through the ledger.

    Args:
        prices: CleanPrices, equities and index rows, from the first decision on or earlier.
        targets: TargetWeights of one strategy or more, decided on the dates of config.rebalance.
        config: costs, fill, cash rate, benchmark.
    Returns:
        the sessions run from the first decision of any strategy to the last price; a strategy's own rows begin at its
        own first decision, with the initial capital in cash.
    Raises:
        DataError: no targets, a target on a date that is no decision date, after the last price or in a ticker without
            prices, or a frequency that does not match the targets.
    """
    targets = validate(targets, TargetWeights, "backtest targets", "rebuild target_weights.")
    if targets.is_empty() or prices.is_empty():
        raise DataError("backtest: targets or prices are empty; materialize them for the dates to simulate.")
    decisions = decision_dates(prices, targets, config.rebalance)
    panel = assemble_panel(prices, targets["ticker"].unique().sort(), decisions[0])
    names = targets["strategy"].unique().sort().to_list()
    books = {name: _run_strategy(name, targets, decisions, panel, config) for name in names}
    benchmark = benchmark_returns(prices, panel.sessions, config.total_return_index_ticker, config.index_ticker)
    daily = pl.concat([_daily(name, panel.sessions[start:], book) for name, (start, book) in books.items()])
    daily = validate(daily.sort("date", "strategy"), BacktestDaily, "backtest daily", "report this as a bug.")
    positions = pl.concat([_positions(name, panel, start, book) for name, (start, book) in books.items()])
    metrics = measure(daily, benchmark, risk_free_1d(config.risk_free_rate_ann))
    return Backtest(
        daily=daily,
        positions=positions.sort("date", "strategy", "ticker"),
        benchmark=benchmark,
        quality=ForecastQuality.create_empty(),
        metrics=metrics,
    )


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
        if len(asked) >= 3 and set(asked) <= set(rebalance_dates(asked[0], asked[-1], slower)):
            raise DataError(
                f"backtest: every target is dated on a {slower} decision date but rebalance is {rebalance!r}, which "
                f"would sell everything in between; set rebalance={slower!r}."
            )
    return [day for day in grid if day in priced]


def assemble_panel(prices: pl.DataFrame, tickers: pl.Series, start: date) -> Panel:
    """Dense returns and tradability of `tickers` for every NSE session from `start` to the last price.

    A session without a row has no return and cannot be traded. An index is tradable wherever the source gave a row, as
    it has no volume of its own to prove it.

    Raises:
        DataError: a ticker without any price, prices on a date that is no session, or a row that repeats.
    """
    rows = prices.filter((pl.col("date") >= start) & pl.col("ticker").is_in(tickers.implode()))
    lacking = sorted(set(tickers.to_list()) - set(rows["ticker"].unique().to_list()))
    if lacking:
        raise DataError(
            f"backtest: targets hold {lacking[:5]} ({len(lacking)} tickers) that prices from {start} do not have."
        )
    last = prices["date"].max()
    assert isinstance(last, date)
    days = calendar.sessions(start, last)
    dates = pl.Series(days, dtype=pl.Date)
    off_calendar = rows.filter(~pl.col("date").is_in(dates.implode())).head(1)
    if len(off_calendar):
        found = off_calendar.row(0, named=True)
        raise DataError(
            f"backtest: {found['ticker']} has a price on {found['date']}, which is no NSE session; clean it first."
        )
    cell = (dates.search_sorted(rows["date"]).to_numpy(), tickers.search_sorted(rows["ticker"]).to_numpy())
    shape = (len(days), len(tickers))
    if len(np.unique(np.ravel_multi_index(cell, shape))) != len(rows):
        raise DataError("backtest: a (date, ticker) repeats in prices; clean_prices must hold one row each.")
    overnight, intraday, tradable = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
    overnight[cell] = rows["overnight_return_1d"].to_numpy()
    intraday[cell] = rows["intraday_return_1d"].to_numpy()
    is_open = pl.when(pl.col("instrument") == INDEX).then(~pl.col("is_filled")).otherwise(pl.col("is_tradable"))
    tradable[cell] = rows.select(is_open).to_series().to_numpy()
    return Panel(days, tickers, overnight, intraday, tradable)


def dense_targets(targets: pl.DataFrame, decisions: Sequence[date], panel: Panel) -> tuple[int, Floats]:
    """Row of a strategy's first decision, and its (T, N) targets: NaN rows where nothing is decided."""
    row_of = {day: row for row, day in enumerate(panel.sessions)}
    first = targets["date"].min()
    decided = [row_of[day] for day in decisions if day >= first]  # type: ignore[operator]
    _check_fills_follow(panel.sessions, decided)
    wanted = np.full((len(panel.sessions), len(panel.tickers)), np.nan)
    wanted[decided] = 0.0
    rows = targets["date"].replace_strict(row_of, return_dtype=pl.Int64).to_numpy()
    wanted[rows, panel.tickers.search_sorted(targets["ticker"]).to_numpy()] = targets["weight"].to_numpy()
    return decided[0], wanted


def _check_fills_follow(sessions: Sequence[date], decided: Sequence[int]) -> None:
    """The ledger fills row t's decision in row t + 1: that must be a later date, and the very next session."""
    for row in decided:
        if row + 1 < len(sessions) and sessions[row + 1] != calendar.next_session(sessions[row]):
            raise LookaheadError(
                f"backtest: the decision of {sessions[row]} would be filled on {sessions[row + 1]}, which is not the "
                f"session after it ({calendar.next_session(sessions[row])}); the panel must hold every session once, "
                "ascending."
            )


def _run_strategy(
    name: str, targets: pl.DataFrame, decisions: Sequence[date], panel: Panel, config: BacktestConfig
) -> tuple[int, Ledger]:
    start, wanted = dense_targets(targets.filter(pl.col("strategy") == name), decisions, panel)
    book = run_ledger(
        panel.overnight_return[start:],
        panel.intraday_return[start:],
        wanted[start:],
        panel.tradable[start:],
        costs=config.costs,
        initial_capital=config.initial_capital_inr,
        fill=config.fill,
        cash_return_1d=risk_free_1d(config.risk_free_rate_ann),
    )
    return start, book


def _daily(name: str, sessions: Sequence[date], book: Ledger) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "date": sessions,
            "strategy": [name] * len(sessions),
            "equity_inr": book.equity,
            "cash_inr": book.cash,
            "simple_return_1d": book.simple_return,
            "turnover_1d": book.turnover,
            "cost_inr": book.cost,
            "n_holdings": (book.weights > 0.0).sum(axis=1).astype(np.int32),
            "n_fills": book.n_fills.astype(np.int32),
            "n_unfilled": book.n_unfilled.astype(np.int32),
        }
    )


def _positions(name: str, panel: Panel, start: int, book: Ledger) -> pl.DataFrame:
    row, column = np.nonzero(book.weights > 0.0)
    table = pl.DataFrame(
        {
            "date": pl.Series(panel.sessions[start:], dtype=pl.Date).gather(row),
            "strategy": pl.repeat(name, len(row), eager=True),
            "ticker": panel.tickers.gather(column),
            "weight": book.weights[row, column],
        }
    )
    return validate(table, BacktestPositions, "backtest positions", "report this as a bug.")
