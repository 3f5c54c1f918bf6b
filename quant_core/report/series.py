"""Series derived from daily rows: growth, drawdowns, rolling measures, calendar returns, runs of a label.

Wide frames have `date` and one column a strategy; the benchmark's column is `BENCHMARK_KEY`. No text is made here.
"""

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.measures.known_days import known_days

BENCHMARK_KEY = "\0benchmark"  # column of the benchmark in wide frames; no strategy can be called that
VOLATILITY_SESSIONS = 63
FLAT = 1e-9  # a standard deviation below this is rounding of a constant series


def wide_returns(daily: pl.DataFrame, benchmark: pl.DataFrame) -> pl.DataFrame:
    """Columns `date`, one of simple returns a strategy, and the benchmark's (null where no index is known).

    A missing return counts as 0 inside a series; before its first and after its last row it stays null.
    """
    wide = daily.pivot(on="strategy", index="date", values="simple_return_1d").sort("date")
    index = known_days(benchmark).select("date", pl.col("simple_return_1d").alias(BENCHMARK_KEY))
    joined = wide.join(index, on="date", how="left", maintain_order="left")
    return joined.select("date", *(_without_gaps(name) for name in joined.columns if name != "date"))


def growth(returns: pl.DataFrame) -> pl.DataFrame:
    """Value of one rupee after each session; the first row of each series is the opening and counts as no return."""
    return returns.select("date", *(_growth(name) for name in returns.columns if name != "date"))


def drawdowns(growth_of_one: pl.DataFrame) -> pl.DataFrame:
    """Each series over its highest value so far, less 1."""
    value = pl.exclude("date")
    return growth_of_one.select("date", value / value.cum_max() - 1.0)


def rolling_sharpe(returns: pl.DataFrame, risk_free: pl.Series, window: int = SESSIONS_PER_YEAR) -> pl.DataFrame:
    """Annualised Sharpe ratio of the last `window` excess returns, the opening row left out.

    Args:
        risk_free: return of cash on each date.
    Returns:
        a row a date after the first; null before there are `window` returns, or where they are flat.
    """
    excess = returns.select("date", pl.exclude("date") - risk_free)[1:]
    value = pl.exclude("date")
    mean, deviation = value.rolling_mean(window), value.rolling_std(window)
    return excess.select("date", pl.when(deviation > FLAT).then(mean / deviation * math.sqrt(SESSIONS_PER_YEAR)))


def rolling_volatility(returns: pl.DataFrame, window: int = VOLATILITY_SESSIONS) -> pl.DataFrame:
    """Sample standard deviation of the last `window` returns x sqrt(252), the opening row left out."""
    return returns[1:].select("date", pl.exclude("date").rolling_std(window) * math.sqrt(SESSIONS_PER_YEAR))


def active_return(growth_of_one: pl.DataFrame, strategy: str, window: int = SESSIONS_PER_YEAR) -> pl.DataFrame:
    """Return over the last `window` sessions less the benchmark's: `date`, `active_return`; only full windows."""

    def earned(name: str) -> pl.Expr:
        return pl.col(name) / pl.col(name).shift(window)

    active = (earned(strategy) - earned(BENCHMARK_KEY)).alias("active_return")
    return growth_of_one.select("date", active).drop_nulls()


def calendar_returns(returns: pl.DataFrame, strategy: str, by_month: bool) -> pl.DataFrame:
    """Compounded returns: `year`, `month` where wanted, `simple_return`."""
    keys = [pl.col("date").dt.year().alias("year")]
    if by_month:
        keys.append(pl.col("date").dt.month().alias("month"))
    compound = ((1.0 + pl.col(strategy)).product() - 1.0).alias("simple_return")
    order = ["year", "month"] if by_month else ["year"]
    return returns.drop_nulls(strategy).group_by(keys, maintain_order=True).agg(compound).sort(order)


def worst_drawdowns(dates: Sequence[date], values: Sequence[float], n: int = 5) -> pl.DataFrame:
    """The `n` deepest falls from a high, deepest first.

    Args:
        dates, values: ascending sessions and the value of one rupee after each; the first is a high.
    Returns:
        `start_date` (of the high), `trough_date`, `recovery_date` (null where it is not reached), `depth`,
        `n_sessions` below the high, `to_trough_sessions` from high to trough.
    """
    equity = np.asarray(values, dtype=np.float64)
    depth = equity / np.maximum.accumulate(equity) - 1.0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], depth < 0.0, [False]])))
    rows = []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        trough = int(first + np.argmin(depth[first:end]))
        recovery = dates[end] if end < len(dates) else None
        high = int(first) - 1
        rows.append(
            (dates[high], dates[trough], recovery, float(depth[trough]), int(end - first), trough - high)
        )  # fmt: skip
    schema = {
        "start_date": pl.Date,
        "trough_date": pl.Date,
        "recovery_date": pl.Date,
        "depth": pl.Float64,
        "n_sessions": pl.Int64,
        "to_trough_sessions": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").sort("depth", "start_date").head(n)


def runs(dates: Sequence[date], labels: Sequence[str]) -> pl.DataFrame:
    """Spells of one label on consecutive rows: `label`, `start`, `end` (both included), `n_sessions`."""
    frame = pl.DataFrame({"date": dates, "label": labels}, schema={"date": pl.Date, "label": pl.String})
    spell = pl.col("label").rle_id().alias("spell")
    grouped = frame.with_columns(spell).group_by("spell", maintain_order=True)
    return grouped.agg(
        pl.col("label").first(),
        pl.col("date").first().alias("start"),
        pl.col("date").last().alias("end"),
        pl.len().cast(pl.Int64).alias("n_sessions"),
    ).drop("spell")


def histogram(values: pl.Series, low: float, high: float, n_bins: int) -> tuple[list[float], np.ndarray]:
    """Centres of equal bins and how many values each holds; values beyond the ends count in the outer bins."""
    edges = np.linspace(low, high, n_bins + 1)
    counts, _ = np.histogram(np.clip(values.to_numpy(), low, high), bins=edges)
    return [round(float(x), 6) for x in (edges[:-1] + edges[1:]) / 2.0], counts


def week_ends(dates: pl.Series) -> pl.Series:
    """True on the first row and on the last session of each calendar week."""
    week = dates.dt.truncate("1w")
    is_last = (week != week.shift(-1)).fill_null(True)
    return is_last | (pl.Series(range(len(dates))) == 0)


def with_extras(metrics: pl.DataFrame, daily: pl.DataFrame, strategy: str) -> pl.DataFrame:
    """Metrics, with cost, final equity and unfilled orders where the caller has not measured them.

    Rows: the chosen strategy, the others by Sharpe ratio where there is one, then what is no strategy.
    """
    equity, cost = pl.col("equity_inr"), pl.col("cost_inr")
    years = (pl.len() - 1).clip(1) / SESSIONS_PER_YEAR
    extras = (
        daily.sort("date")
        .group_by("strategy", maintain_order=True)
        .agg(
            (cost.sum() / equity.mean() / years).alias("cost_ann"),
            cost.sum(),
            equity.last().alias("final_equity_inr"),
            pl.col("n_unfilled").sum().cast(pl.Int64),
        )
    )
    new = ["strategy", *(name for name in extras.columns if name not in metrics.columns)]
    joined = metrics.join(extras.select(new), on="strategy", how="left", maintain_order="left")
    order = [pl.col("strategy") == strategy, pl.col("strategy").is_in(extras["strategy"].to_list())]
    if "sharpe_ann" in joined.columns:
        order.append(pl.col("sharpe_ann").fill_nan(None))
    return joined.sort(*order, descending=True, nulls_last=True, maintain_order=True)


def last(values: pl.Series) -> float:
    """The last known value; NaN where there is none."""
    known = values.drop_nulls()
    return float(known[-1]) if len(known) else math.nan


def number(value: Any) -> float:
    """A polars scalar as a float, NaN for null; its stubs allow dates."""
    return math.nan if value is None or isinstance(value, date) else float(value)


def _without_gaps(name: str) -> pl.Expr:
    seen = pl.col(name).is_not_null()
    inside = (seen.cum_sum() > 0) & (seen.cum_sum(reverse=True) > 0)
    return pl.when(inside).then(pl.col(name).fill_null(0.0)).alias(name)


def _growth(name: str) -> pl.Expr:
    is_opening = pl.col(name).is_not_null().cum_sum() == 1
    return pl.when(is_opening).then(1.0).otherwise(1.0 + pl.col(name)).cum_prod().alias(name)
