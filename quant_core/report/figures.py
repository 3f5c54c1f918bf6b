"""What each figure of a report shows: series on a shared date axis, a unit, and one line that reads it.

A `Figure` is data only; the template's script draws it with Plotly in the reader's colours. Tables are in render.py.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.report.formats import correlation, count, percent, percent_fine, ratio, times

Role = Literal["chosen", "benchmark", "other"]
BENCHMARK_KEY = "\0benchmark"  # column of the benchmark in wide frames; no strategy can be called that
SIGNIFICANT_T = 1.96


@dataclass(frozen=True)
class Line:
    """One series of a figure."""

    name: str
    role: Role
    values: list[float | None]


@dataclass(frozen=True)
class Figure:
    """A figure as the template needs it."""

    key: str  # id of its element
    title: str
    unit: str
    reading: str
    x: list[str]  # ISO dates
    lines: tuple[Line, ...]
    shape: Literal["line", "area", "bar"] = "line"
    axis_format: str = ".0%"  # d3-format of the ticks
    hover_format: str = ".1%"
    log_toggle: bool = False
    baseline: float | None = None  # a horizontal rule at this value

    def json(self) -> str:
        """The part that the script draws; safe inside a script element."""
        content = {
            "x": self.x,
            "lines": [{"name": line.name, "role": line.role, "y": line.values} for line in self.lines],
            "shape": self.shape,
            "axisFormat": self.axis_format,
            "hoverFormat": self.hover_format,
            "baseline": self.baseline,
        }
        return json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def wide_returns(daily: pl.DataFrame, benchmark: pl.DataFrame) -> pl.DataFrame:
    """Columns `date`, one of simple returns a strategy, and the benchmark's.

    A missing return counts as 0 inside a series; before its first and after its last row it stays null.
    """
    wide = daily.pivot(on="strategy", index="date", values="simple_return_1d").sort("date")
    index = benchmark.select("date", pl.col("simple_return_1d").alias(BENCHMARK_KEY))
    joined = wide.join(index, on="date", how="left", maintain_order="left")
    return joined.select("date", *(_without_gaps(name) for name in joined.columns if name != "date"))


def growth(returns: pl.DataFrame) -> pl.DataFrame:
    """Value of one rupee after each session; the first row of each series is the opening and counts as no return."""
    return returns.select("date", *(_growth(name) for name in returns.columns if name != "date"))


def drawdowns(growth_of_one: pl.DataFrame) -> pl.DataFrame:
    """Each series over its highest value so far, less 1."""
    value = pl.exclude("date")
    return growth_of_one.select("date", value / value.cum_max() - 1.0)


def rolling_sharpe(returns: pl.DataFrame, risk_free_rate_ann: float, window: int = SESSIONS_PER_YEAR) -> pl.DataFrame:
    """Annualised Sharpe ratio of the last `window` returns; null before there are as many, or where they are flat."""
    rate = (1.0 + risk_free_rate_ann) ** (1.0 / SESSIONS_PER_YEAR) - 1.0
    value = pl.exclude("date")
    mean, deviation = value.rolling_mean(window) - rate, value.rolling_std(window)
    sharpe = pl.when(deviation > 1e-9).then(mean / deviation * math.sqrt(SESSIONS_PER_YEAR))
    return returns[1:].select("date", sharpe)


def monthly_returns(returns: pl.DataFrame, strategy: str) -> pl.DataFrame:
    """Compounded returns of the calendar months: columns year, month, simple_return."""
    keys = [pl.col("date").dt.year().alias("year"), pl.col("date").dt.month().alias("month")]
    compound = ((1.0 + pl.col(strategy)).product() - 1.0).alias("simple_return")
    return returns.drop_nulls(strategy).group_by(keys).agg(compound).sort("year", "month")


def equity_figure(growth_of_one: pl.DataFrame, strategy: str, benchmark_name: str) -> Figure:
    """Growth of one rupee, strategies and benchmark."""
    ends = {name: _last(growth_of_one[name]) for name in growth_of_one.columns if name != "date"}
    against = f", against \u20b9{ends[BENCHMARK_KEY]:.2f} in {benchmark_name}" if ends[BENCHMARK_KEY] else ""
    return Figure(
        key="equity",
        title="Growth of \u20b91",
        unit="rupees, net of costs",
        reading=f"\u20b91 in {strategy} became \u20b9{ends[strategy] or math.nan:.2f}{against}.",
        x=_dates(growth_of_one),
        lines=_lines(growth_of_one, strategy, benchmark_name),
        axis_format=",.2~f",
        hover_format=",.3f",
        log_toggle=True,
        baseline=1.0,
    )


def drawdown_figure(drawdown: pl.DataFrame, strategy: str, benchmark_name: str) -> Figure:
    """Depth below the highest equity so far."""
    own, other = drawdown[strategy], drawdown[BENCHMARK_KEY]
    low = drawdown["date"][own.arg_min() or 0]
    against = f"; {benchmark_name} {percent(_number(other.min()))}" if other.null_count() < len(other) else ""
    return Figure(
        key="drawdown",
        title="Drawdown",
        unit="% below the highest value so far",
        reading=f"Deepest fall of {strategy}: {percent(_number(own.min()))}, on {low}{against}.",
        x=_dates(drawdown),
        lines=_lines(drawdown, strategy, benchmark_name),
        shape="area",
        baseline=0.0,
    )


def sharpe_figure(sharpe: pl.DataFrame, strategy: str, benchmark_name: str, risk_free_rate_ann: float) -> Figure:
    """Sharpe ratio of the trailing 252 sessions."""
    own = sharpe[strategy].drop_nulls()
    reading = f"The period has fewer than {SESSIONS_PER_YEAR} returns: no window is complete."
    if len(own):
        reading = (
            f"Latest 12 months: {ratio(own[-1])}; since the first full window between {ratio(_number(own.min()))} and "
            f"{ratio(_number(own.max()))}, below zero in {percent(_number((own < 0).mean()), 0)} of sessions."
        )
    return Figure(
        key="sharpe",
        title="Rolling Sharpe ratio",
        unit=f"ratio a year, trailing {SESSIONS_PER_YEAR} sessions, excess of {percent(risk_free_rate_ann)} a year",
        reading=reading,
        x=_dates(sharpe),
        lines=_lines(sharpe, strategy, benchmark_name),
        axis_format=".1f",
        hover_format=".2f",
        baseline=0.0,
    )


def turnover_figure(daily: pl.DataFrame, strategy: str) -> Figure:
    """One-way turnover of the chosen strategy, a calendar month."""
    own = daily.filter(pl.col("strategy") == strategy).sort("date")
    month = own.group_by(pl.col("date").dt.truncate("1mo")).agg(pl.col("turnover_1d").sum()).sort("date")
    years = max(own.height - 1, 1) / SESSIONS_PER_YEAR
    cost = _number(own["cost_inr"].sum()) / _number(own["equity_inr"].mean()) / years
    return Figure(
        key="turnover",
        title="Turnover",
        unit="% of equity a month, one-way",
        reading=(
            f"{percent(_number(month['turnover_1d'].mean()), 0)} of the portfolio is replaced in an average month "
            f"({times(_number(own['turnover_1d'].sum()) / years)} a year); "
            f"costs take {percent_fine(cost)} of equity a year."
        ),
        x=_dates(month),
        lines=(Line(strategy, "chosen", _rounded(month["turnover_1d"])),),
        shape="bar",
        hover_format=".0%",
    )


def rank_ic_figure(quality: pl.DataFrame, quality_summary: Sequence[dict[str, Any]], strategy: str) -> Figure:
    """Running sum of the daily rank ICs, a model; the one whose name is in the strategy's is drawn as chosen."""
    wide = quality.pivot(on="model", index="date", values="rank_ic").sort("date")
    total = wide.select("date", pl.exclude("date").fill_null(0.0).cum_sum())
    models = [name for name in wide.columns if name != "date"]
    chosen = next((name for name in sorted(models, key=len, reverse=True) if name in strategy), sorted(models)[0])
    rest = (Line(name, "other", _rounded(total[name])) for name in sorted(models) if name != chosen)
    return Figure(
        key="rank-ic",
        title="Cumulative rank IC",
        unit="sum of daily Spearman correlations between score and forward return",
        reading=_quality_reading(chosen, quality_summary),
        x=_dates(total),
        lines=(Line(chosen, "chosen", _rounded(total[chosen])), *rest),
        axis_format=".1f",
        hover_format=".2f",
        baseline=0.0,
    )


def _quality_reading(model: str, quality_summary: Sequence[dict[str, Any]]) -> str:
    row = next((row for row in quality_summary if row.get("model") == model), None)
    steady = "Steady skill is a straight rising line, none is a flat one."
    if row is None or not all(math.isfinite(row.get(name, math.nan)) for name in ("mean_rank_ic", "nw_t", "n_dates")):
        return steady
    t = row["nw_t"]
    verdict = "not distinguishable from zero at 5 %" if abs(t) < SIGNIFICANT_T else "away from zero at 5 %, one test"
    return (
        f"{model}: mean rank IC {correlation(row['mean_rank_ic'])} over {count(row['n_dates'])} days, "
        f"Newey\u2013West t {ratio(t)}: {verdict}. {steady}"
    )


def _without_gaps(name: str) -> pl.Expr:
    seen = pl.col(name).is_not_null()
    inside = (seen.cum_sum() > 0) & (seen.cum_sum(reverse=True) > 0)
    return pl.when(inside).then(pl.col(name).fill_null(0.0)).alias(name)


def _growth(name: str) -> pl.Expr:
    is_opening = pl.col(name).is_not_null().cum_sum() == 1
    return pl.when(is_opening).then(1.0).otherwise(1.0 + pl.col(name)).cum_prod().alias(name)


def _lines(wide: pl.DataFrame, strategy: str, benchmark_name: str) -> tuple[Line, ...]:
    """The chosen strategy, the benchmark, then the others by name; a benchmark without a value is left out."""
    others = sorted(name for name in wide.columns if name not in ("date", strategy, BENCHMARK_KEY))
    lines = [Line(strategy, "chosen", _rounded(wide[strategy]))]
    if wide[BENCHMARK_KEY].null_count() < wide.height:
        lines.append(Line(benchmark_name, "benchmark", _rounded(wide[BENCHMARK_KEY])))
    return (*lines, *(Line(name, "other", _rounded(wide[name])) for name in others))


def _rounded(values: pl.Series, digits: int = 4) -> list[float | None]:
    return values.cast(pl.Float64).fill_nan(None).round(digits).to_list()


def _dates(frame: pl.DataFrame) -> list[str]:
    return frame["date"].dt.to_string("%Y-%m-%d").to_list()


def _last(values: pl.Series) -> float | None:
    known = values.drop_nulls()
    return float(known[-1]) if len(known) else None


def _number(value: Any) -> float:
    """A polars scalar as a float; its stubs allow dates and None."""
    return math.nan if value is None or isinstance(value, date) else float(value)
