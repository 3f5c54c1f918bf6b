"""One self-contained HTML report of a backtest, and its Markdown summary. Same input, same bytes: no clock, no chance.

Figures are in figures.py, tables in tables.py, the writing of numbers in formats.py; nothing is measured here that
`metrics` already holds.
"""

import math
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.errors import DataError
from quant_core.report import figures
from quant_core.report.figures import BENCHMARK_KEY, Figure
from quant_core.report.formats import count, percent, ratio, spec, write
from quant_core.report.tables import (
    COMPARED,
    comparison_table,
    holdings_table,
    metrics_table,
    monthly_table,
    quality_table,
)

if TYPE_CHECKING:
    from jinja2 import Environment

SPARKS, SPARK_WIDTH = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588", 32


@dataclass(frozen=True)
class ReportInput:
    """Everything that a report shows.

    Args:
        strategy: the one to detail; it is in `daily`.
        start, end: period, both included; rows outside are left out.
        daily, positions, benchmark, quality: BacktestDaily, BacktestPositions, BenchmarkReturns, ForecastQuality rows.
        metrics: one row a strategy and one for the benchmark: `strategy` and numeric columns with units in their names.
        quality_summary: one mapping a model, as forecast scoring makes it.
        notes: sentences on what limits the numbers: survivorship, suspected actions, trials, costs, fill rule.
        provenance: label -> text; a value that starts with http:// or https:// becomes a link.
        risk_free_rate_ann: subtracted in the rolling Sharpe ratio; the same as in `metrics`.
    """

    title: str
    profile: str
    strategy: str
    start: date
    end: date
    daily: pl.DataFrame
    positions: pl.DataFrame
    benchmark: pl.DataFrame
    metrics: pl.DataFrame
    quality: pl.DataFrame
    quality_summary: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)
    risk_free_rate_ann: float = 0.0


def render_report(data: ReportInput) -> str:
    """The report as one HTML page that needs no network.

    Raises:
        DataError: the strategy has no row in the period.
    """
    data = _within_period(data)
    benchmark_name = _benchmark_name(data)
    drawn = _figures(data, benchmark_name)
    measured = _with_extras(data)
    monthly = figures.monthly_returns(figures.wide_returns(data.daily, data.benchmark)[1:], data.strategy)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            benchmark_name=benchmark_name,
            reading=_reading(data, measured, benchmark_name),
            headlines=_headlines(data, measured),
            comparison=comparison_table(measured, data.strategy),
            metrics=metrics_table(measured),
            monthly=monthly_table(monthly),
            monthly_reading=_monthly_reading(monthly),
            quality=quality_table(data.quality_summary),
            holdings=holdings_table(data.positions, data.strategy),
            notes=[*data.notes, *_benchmark_gaps(data)],
            figures=drawn,
            plotly_js=_plotly_js(),
        )
    )


def markdown_summary(data: ReportInput) -> str:
    """A compact Markdown table of the strategies, sparklines of equity, and each model's rank IC."""
    data = _within_period(data)
    measured = _with_extras(data)
    columns = [name for name in COMPARED if name in measured.columns]
    head = ["strategy", *(spec(name).label for name in columns)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in measured.iter_rows(named=True):
        name = _markdown(row["strategy"])
        shown = [f"**{name}**" if row["strategy"] == data.strategy else name]
        lines.append(f"| {' | '.join(shown + [write(column, row[column]) for column in columns])} |")
    growth = figures.growth(figures.wide_returns(data.daily, data.benchmark))
    sparks = [f"`{sparkline(growth[data.strategy])}` {_markdown(data.strategy)}"]
    if growth[BENCHMARK_KEY].null_count() < growth.height:
        sparks.append(f"`{sparkline(growth[BENCHMARK_KEY])}` {_markdown(_benchmark_name(data))}")
    title = f"**{_markdown(data.title)}** \u00b7 {data.start} to {data.end}"
    scores = [
        f"{_markdown(row['model'])}: mean rank IC {row['mean_rank_ic']:.3f} over {row['n_dates']:,} sessions, "
        f"Newey-West t {row['nw_t']:.1f}"
        for row in data.quality_summary
    ]
    blocks = [title, "\n".join(lines), "  \n".join(sparks), "  \n".join(scores)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def sparkline(values: pl.Series, width: int = SPARK_WIDTH) -> str:
    """Block characters from the lowest to the highest value, at most `width` of them, evenly spaced in rows."""
    known = values.drop_nulls().to_list()
    if not known:
        return ""
    n = min(width, len(known))
    picked = [known[round(k * (len(known) - 1) / max(n - 1, 1))] for k in range(n)]
    low, span = min(picked), max(picked) - min(picked)
    return "".join(SPARKS[round((value - low) / span * (len(SPARKS) - 1)) if span > 0 else 0] for value in picked)


def _figures(data: ReportInput, benchmark_name: str) -> dict[str, Figure]:
    returns = figures.wide_returns(data.daily, data.benchmark)
    growth = figures.growth(returns)
    sharpe = figures.rolling_sharpe(returns, data.risk_free_rate_ann)
    drawn = [
        figures.equity_figure(growth, data.strategy, benchmark_name),
        figures.drawdown_figure(figures.drawdowns(growth), data.strategy, benchmark_name),
        figures.sharpe_figure(sharpe, data.strategy, benchmark_name, data.risk_free_rate_ann),
        figures.turnover_figure(data.daily, data.strategy),
    ]
    if data.quality.height:
        drawn.append(figures.rank_ic_figure(data.quality, data.quality_summary, data.strategy))
    return {figure.key: figure for figure in drawn}


def _within_period(data: ReportInput) -> ReportInput:
    inside = pl.col("date").is_between(data.start, data.end)
    tables = {name: getattr(data, name).filter(inside) for name in ("daily", "positions", "benchmark", "quality")}
    known = sorted(tables["daily"]["strategy"].unique().to_list())
    if data.strategy not in known:
        raise DataError(
            f"report {data.profile}: strategy {data.strategy!r} has no row in {data.start}..{data.end}, found {known}; "
            "run its backtest for the period or choose another."
        )
    return ReportInput(**{**data.__dict__, **tables})


def _with_extras(data: ReportInput) -> pl.DataFrame:
    """Metrics, with cost and final equity where the caller has not measured them; the chosen strategy first."""
    equity, cost = pl.col("equity_inr"), pl.col("cost_inr")
    years = (pl.len() - 1).clip(1) / SESSIONS_PER_YEAR
    extras = (
        data.daily.sort("date")
        .group_by("strategy")
        .agg(
            (cost.sum() / equity.mean() / years).alias("cost_ann"),
            cost.sum(),
            equity.last().alias("final_equity_inr"),
            pl.col("n_unfilled").sum().cast(pl.Int64),
        )
    )
    new = ["strategy", *(name for name in extras.columns if name not in data.metrics.columns)]
    joined = data.metrics.join(extras.select(new), on="strategy", how="left", maintain_order="left")
    is_chosen = pl.col("strategy") == data.strategy
    is_backtest = pl.col("strategy").is_in(extras["strategy"].to_list())
    return joined.sort(is_chosen, is_backtest, descending=True, maintain_order=True)


def _row(measured: pl.DataFrame, strategy: str) -> dict[str, Any]:
    rows = measured.filter(pl.col("strategy") == strategy)
    return rows.row(0, named=True) if rows.height else {}


def _benchmark_row(data: ReportInput, measured: pl.DataFrame) -> dict[str, Any]:
    """The row of `metrics` that is no strategy."""
    known = set(data.daily["strategy"].unique())
    return next((row for row in measured.iter_rows(named=True) if row["strategy"] not in known), {})


def _headlines(data: ReportInput, measured: pl.DataFrame) -> list[dict[str, str]]:
    own, other = _row(measured, data.strategy), _benchmark_row(data, measured)
    names = ("cagr", "sharpe_ann", "max_drawdown", "volatility_ann", "turnover_ann", "final_equity_inr")
    shown = []
    for name in names:
        if own.get(name) is None:
            continue
        against = f"benchmark {write(name, other[name])}" if _is_number(other.get(name)) else ""
        shown.append({"label": spec(name).label, "value": write(name, own[name]), "against": against})
    return shown


def _reading(data: ReportInput, measured: pl.DataFrame, benchmark_name: str) -> str:
    own, other = _row(measured, data.strategy), _benchmark_row(data, measured)
    if not _is_number(own.get("cagr")):
        return f"{data.strategy}, {data.start} to {data.end}."
    text = f"{data.strategy} returned {percent(own['cagr'])} a year net of costs"
    if _is_number(other.get("cagr")):
        gap = 100 * (own["cagr"] - other["cagr"])
        side = "above" if gap >= 0 else "below"
        text += f", {abs(gap):.1f} percentage points {side} {benchmark_name} ({percent(other['cagr'])})"
    if _is_number(own.get("sharpe_ann")):
        text += f", with a Sharpe ratio of {ratio(own['sharpe_ann'])}"
        text += f" against {ratio(other['sharpe_ann'])}" if _is_number(other.get("sharpe_ann")) else ""
    if _is_number(own.get("max_drawdown")):
        text += f"; its deepest fall was {percent(own['max_drawdown'])}"
        text += f" against {percent(other['max_drawdown'])}" if _is_number(other.get("max_drawdown")) else ""
    return text + "."


def _monthly_reading(monthly: pl.DataFrame) -> str:
    if monthly.is_empty():
        return "The period holds no full session."
    ordered = monthly.sort("simple_return")
    (low_year, low_month, low), (high_year, high_month, high) = ordered.row(0), ordered.row(-1)
    up = monthly.filter(pl.col("simple_return") > 0).height
    return (
        f"{up} of {monthly.height} months above zero; best {percent(high)} ({high_year}-{high_month:02d}), "
        f"worst {percent(low)} ({low_year}-{low_month:02d})."
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _benchmark_name(data: ReportInput) -> str:
    named = {name for name in data.benchmark["series"].unique().to_list() if name}
    return ", ".join(sorted(named)) or "no benchmark"


def _benchmark_gaps(data: ReportInput) -> list[str]:
    days = data.daily.filter(pl.col("strategy") == data.strategy).select("date")
    missing = days.join(data.benchmark, on="date", how="anti")
    if missing.is_empty():
        return []
    share = f"{count(missing.height)} of {count(days.height)} sessions"
    return [f"The benchmark has no return on {share} (first {missing['date'].min()!s}); they count as 0."]


def _markdown(text: str) -> str:
    """Text that cannot end a Markdown table cell or open an element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("quant_core.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@lru_cache(maxsize=1)
def _plotly_js() -> str:
    """Plotly's script as its package ships it; it holds no closing script tag."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
