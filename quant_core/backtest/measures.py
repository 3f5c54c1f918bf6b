"""The table of measures, one row a strategy; the measures themselves are `trading.performance`."""

from datetime import date

import polars as pl

from quant_core.trading.performance import summary

BENCHMARK = "benchmark"


def measure(daily: pl.DataFrame, benchmark: pl.DataFrame, risk_free_rate_1d: float) -> pl.DataFrame:
    """Every strategy's measures over its own sessions, and the benchmark's over all of them.

    The first session of each only opens the account: it dates the start and is not counted as a return.

    Args:
        daily: BacktestDaily.
        benchmark: BenchmarkReturns of at least the same sessions.
        risk_free_rate_1d: per session.
    Returns:
        `strategy`, `first_date`, `last_date`, the measures of `performance.summary` (null where undefined) and for
        strategies `cost_inr`, `n_fills`, `n_unfilled`. Empty for fewer than two sessions.
    """
    rows = []
    for (name,), book in sorted(daily.partition_by("strategy", as_dict=True).items()):
        book = book.sort("date").join(
            benchmark.select("date", pl.col("simple_return_1d").alias(BENCHMARK)), on="date", maintain_order="left"
        )
        earned = book.slice(1)
        if len(earned):
            traded = {column: earned[column].sum() for column in ("cost_inr", "n_fills", "n_unfilled")}
            measures = summary(
                earned["simple_return_1d"].to_numpy(),
                book["date"].to_list(),
                risk_free_rate_1d=risk_free_rate_1d,
                turnover_1d=earned["turnover_1d"].to_numpy(),
                benchmark=earned[BENCHMARK].to_numpy(),
            )
            rows.append(_row(str(name), book["date"].to_list(), measures) | traded)
    if len(benchmark) > 1:
        dates = benchmark["date"].to_list()
        returns = benchmark["simple_return_1d"].slice(1).to_numpy()
        rows.append(_row(BENCHMARK, dates, summary(returns, dates, risk_free_rate_1d=risk_free_rate_1d)))
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.with_columns(pl.selectors.float().fill_nan(None))


def _row(name: str, dates: list[date], measures: dict[str, float]) -> dict[str, object]:
    counts = {key: int(measures[key]) for key in ("n_sessions", "max_drawdown_sessions")}
    return {"strategy": name, "first_date": dates[0], "last_date": dates[-1]} | measures | counts
