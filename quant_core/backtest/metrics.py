"""The table of measures, one row a strategy; the measures themselves are in `trading`."""

from datetime import date

import numpy as np
import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.measures.holdings import concentration, invested_share
from quant_core.measures.known_days import known_days
from quant_core.measures.performance import against, summary
from quant_core.measures.trips import trip_summary

BENCHMARK = "benchmark"
TRIP_COLUMNS = ("n_trips", "win_rate", "profit_factor", "mean_holding_sessions", "open_share")


def measure(
    daily: pl.DataFrame, positions: pl.DataFrame, trades: pl.DataFrame, trips: pl.DataFrame, benchmark: pl.DataFrame
) -> pl.DataFrame:
    """Every strategy's measures over its own sessions, and the benchmark's over those on which it is known.

    The first session of each only opens the account: it dates the start and is not counted as a return.

    Args:
        daily: BacktestDaily.
        positions, trades, trips: BacktestPositions, BacktestTrades, RoundTrips.
        benchmark: BenchmarkReturns of at least the same sessions.
    Returns:
        `strategy`, `first_date`, `last_date`, the measures of `performance.summary` (null where undefined; against the
        benchmark on the sessions on which it is known, null without two of them) and for
        strategies: `gross_cagr` (what the same trades had earned free of charge, to first order: net returns plus cost
        over equity), `cost_ann`, `cost_inr`, `final_equity_inr`, `effective_names` and `largest_weight` (means over
        sessions with holdings), `n_fills`, `n_unfilled`, `traded_inr` and those of `trip_summary` (`trip_*`). Empty for
        fewer than two sessions.
    """
    known = known_days(benchmark)
    index = known.slice(1).select("date", pl.col("simple_return_1d").alias(BENCHMARK))
    index = benchmark.select("date", "risk_free_return_1d").join(index, on="date", how="left", maintain_order="left")
    rows = []
    for (name,), book in sorted(daily.partition_by("strategy", as_dict=True).items()):
        book = book.sort("date").join(index, on="date", how="left", maintain_order="left")
        if len(book) > 1:
            rows.append(_row(str(name), book["date"].to_list(), _of_book(book)))
    table = pl.DataFrame(rows, infer_schema_length=None)
    if rows:
        table = _with_trades(table, positions, trades, trips)
    if len(known) > 1:
        earned = known.slice(1)
        returns, rate = earned["simple_return_1d"].to_numpy(), earned["risk_free_return_1d"].to_numpy()
        dates = known["date"].to_list()
        own = _row(BENCHMARK, dates, summary(returns, dates, risk_free_rate_1d=rate))
        table = pl.concat([table, pl.DataFrame([own])], how="diagonal_relaxed")
    return table.with_columns(pl.selectors.float().fill_nan(None))


def _of_book(book: pl.DataFrame) -> dict[str, float]:
    earned = book.slice(1)
    measures = summary(
        earned["simple_return_1d"].to_numpy(),
        book["date"].to_list(),
        risk_free_rate_1d=earned["risk_free_return_1d"].to_numpy(),
        turnover_1d=earned["turnover_1d"].to_numpy(),
        invested_share=invested_share(earned["cash_inr"], earned["equity_inr"]),
    )
    both = earned.drop_nulls(BENCHMARK)
    measures |= against(*(both[name].to_numpy() for name in ("simple_return_1d", BENCHMARK, "risk_free_return_1d")))
    years = len(earned) / SESSIONS_PER_YEAR
    before, cost = book["equity_inr"].to_numpy()[:-1], earned["cost_inr"].to_numpy()
    spent = np.divide(cost, before, out=np.zeros_like(cost), where=before != 0.0)
    gross = np.prod(1.0 + earned["simple_return_1d"].to_numpy() + spent)
    days = (book["date"][-1] - book["date"][0]).days
    extra = {
        "gross_cagr": float(gross ** (365.25 / days) - 1.0),
        "cost_ann": float(earned["cost_inr"].sum() / book["equity_inr"].mean() / years),  # type: ignore[operator]
        "cost_inr": float(earned["cost_inr"].sum()),
        "final_equity_inr": float(book["equity_inr"][-1]),
        "n_fills": int(earned["n_fills"].sum()),
        "n_unfilled": int(earned["n_unfilled"].sum()),
    }
    return measures | extra


def _with_trades(
    table: pl.DataFrame, positions: pl.DataFrame, trades: pl.DataFrame, trips: pl.DataFrame
) -> pl.DataFrame:
    spread = (
        concentration(positions)
        .group_by("strategy", maintain_order=True)
        .agg(pl.col("effective_names", "largest_weight").mean())
    )
    traded = (
        trades.filter(pl.col("decision_date").is_not_null())
        .group_by("strategy", maintain_order=True)
        .agg(traded_inr=pl.col("value_inr").sum())
    )
    turned = trip_summary(trips).select(
        "strategy", *(pl.col(name).alias(f"trip_{name.removeprefix('n_trips') or 'count'}") for name in TRIP_COLUMNS)
    )
    for more in (spread, traded, turned):
        table = table.join(more, on="strategy", how="left", maintain_order="left")
    return table


def _row(name: str, dates: list[date], measures: dict[str, float]) -> dict[str, object]:
    counts = {key: int(measures[key]) for key in ("n_sessions", "max_drawdown_sessions")}
    return {"strategy": name, "first_date": dates[0], "last_date": dates[-1]} | measures | counts
