"""The account on paper: decisions as they were recorded when they were taken, filled by the ledger of the backtest.

What belongs here: from recorded decisions to daily results, and those beside the backtest's. What does not: recording,
which needs a clock and a place (quant_assets/storage/paper_record.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.records import daily_table, positions_table
from quant_core.backtest.simulate import plan_of, without_absent
from quant_core.measures.live_drift import Drift, holm, live_drift
from quant_core.schema import (
    CASH,
    DRIFT,
    FAILED,
    FEW,
    NO_DRIFT,
    BacktestDaily,
    BacktestPositions,
    PaperDaily,
    PaperDrift,
    table_of,
    validate,
)
from quant_core.trading.ledger import check_reconciles, run_ledger
from quant_core.trading.panel import market_panel

BUG = "report this as a bug."
LEVEL = 0.05  # of the test


@dataclass(frozen=True)
class PaperBooks:
    """What the recorded decisions became.

    Args:
        daily, positions: BacktestDaily and BacktestPositions of each book from its first recorded decision on.
        lost: rows (strategy, ticker): names that were decided for and have no price any more; they are left in cash.
    """

    daily: pl.DataFrame
    positions: pl.DataFrame
    lost: pl.DataFrame


def paper_books(prices: pl.DataFrame, decisions: pl.DataFrame, config: BacktestConfig) -> PaperBooks:
    """Every book through the backtest's own ledger, each opened with the capital at its first recorded decision.

    Args:
        prices: CleanPrices up to the newest session, from some months before the first decision on.
        decisions: date, strategy, ticker, weight, as they were recorded.
        config: of the backtest.
    """
    decided = decisions.filter(pl.col("ticker") != FAILED).select("date", "strategy", "ticker", "weight")
    decided = decided.filter(pl.col("date") <= prices["date"].max()) if prices.height else decided.clear()
    if decided.is_empty():
        return PaperBooks(BacktestDaily.create_empty(), BacktestPositions.create_empty(), _lost(decided))
    first = decided["date"].min()
    priced = prices.filter(pl.col("date") >= first)["ticker"].unique()
    absent = ~pl.col("ticker").is_in(priced.implode()) & (pl.col("ticker") != CASH)
    lost = _lost(decided.filter(absent, pl.col("weight").is_not_null()))
    decided = without_absent(prices, decided.filter(~absent | pl.col("weight").is_null()))
    names = decided["ticker"].filter(decided["ticker"] != CASH).unique().sort()
    panel = market_panel(prices, names, first, config)  # type: ignore[arg-type]
    costs, daily, positions = config.cost_schedule(panel.sessions), [], []
    for name in decided["strategy"].unique().sort():
        plan = plan_of(decided.filter(pl.col("strategy") == name), panel)
        book = run_ledger(panel.market, plan.decisions, costs, config.rules, config.initial_capital_inr, plan.start)
        check_reconciles(book)
        days = panel.sessions[plan.start :]
        daily.append(daily_table(name, days, book))
        positions.append(positions_table(name, days, panel.tickers, book))
    return PaperBooks(
        validate(pl.concat(daily).sort("date", "strategy"), BacktestDaily, "paper daily", BUG),
        validate(pl.concat(positions).sort("date", "strategy", "ticker"), BacktestPositions, "paper positions", BUG),
        lost,
    )


def beside_backtest(daily: pl.DataFrame, expected: pl.DataFrame) -> pl.DataFrame:
    """PaperDaily: each day of the paper account with what the backtest says of the same book on the same day.

    Days count for the comparison from the session after the account's first fill on: before it the account is in cash,
    and on it pays for the whole book, where the backtest has held one for long.

    Args:
        daily: BacktestDaily of the paper account. expected: BacktestDaily of the backtest.
    """
    said = expected.select("date", "strategy", expected_return_1d="simple_return_1d")
    joined = daily.join(said, on=["date", "strategy"], how="left").sort("strategy", "date")
    fills = pl.col("n_fills").cast(pl.Int64).cum_sum().shift(1).over("strategy").fill_null(0)
    both = (fills > 0) & pl.col("expected_return_1d").is_not_null()
    table = joined.with_columns(is_compared=both).select(PaperDaily.column_names()).sort("date", "strategy")
    return validate(table, PaperDaily, "paper daily", BUG)


def paper_drift(paper: pl.DataFrame, seed: int) -> pl.DataFrame:
    """PaperDrift: the test of each book's differences, corrected for the books that are tested together.

    Args:
        paper: PaperDaily.
        seed: of the bootstrap.
    """
    found: dict[str, Drift] = {}
    for (name,), rows in sorted(paper.partition_by("strategy", as_dict=True).items()):
        own = rows.filter("is_compared").sort("date")
        found[str(name)] = live_drift(own["simple_return_1d"] - own["expected_return_1d"], seed)
    corrected = holm([one.p_value for one in found.values()])
    told = [_drift_row(name, one, p) for (name, one), p in zip(found.items(), corrected, strict=True)]
    return validate(table_of(PaperDrift, told), PaperDrift, "paper drift", BUG)


def _drift_row(name: str, one: Drift, p_holm: float) -> Mapping[str, object]:
    verdict = FEW if np.isnan(p_holm) else DRIFT if p_holm < LEVEL else NO_DRIFT
    return {
        "strategy": name, "n_sessions": one.n_sessions, "mean_difference_1d": one.mean,
        "low_difference_1d": one.interval.low, "high_difference_1d": one.interval.high, "hac_t": one.hac_t,
        "p_value": one.p_value, "p_holm": p_holm, "largest_difference_1d": one.largest, "verdict": verdict,
    }  # fmt: skip


def _lost(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("strategy", "ticker").unique().sort("strategy", "ticker")
