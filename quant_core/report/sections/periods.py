"""Returns by month, year and rolling window, and every measure of every strategy."""

import math

import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.report import series
from quant_core.report.blocks import (
    Block,
    Cell,
    Figure,
    Note,
    Rule,
    Section,
    Series,
    Table,
    cell,
    frame_table,
    iso_dates,
    rounded,
)
from quant_core.report.formats import percent, plural, ratio, spec
from quant_core.report.inputs import BENCHMARK, Prepared
from quant_core.report.sections.lines import own_and_benchmark
from quant_core.report.series import BENCHMARK_KEY, number

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HEAT_FULL = 0.10  # a monthly return of 10 % or more has the full colour
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Return",
        ("cagr", "gross_cagr", "total_return", "final_equity_inr", "hit_rate", "best_return_1d", "worst_return_1d"),
    ),
    ("Return for risk", ("sharpe_ann", "sortino_ann", "calmar", "omega", "profit_factor")),
    (
        "Risk",
        (
            "volatility_ann",
            "max_drawdown",
            "max_drawdown_sessions",
            "var_95_1d",
            "cvar_95_1d",
            "var_95_1d_cornish_fisher",
            "cvar_95_1d_cornish_fisher",
            "skewness",
            "kurtosis",
            "tail_ratio",
        ),
    ),
    (
        "Against the benchmark",
        (
            "beta",
            "alpha_ann",
            "correlation",
            "tracking_error_ann",
            "information_ratio_ann",
            "up_capture",
            "down_capture",
        ),
    ),
    (
        "Trading and cost",
        (
            "turnover_ann",
            "cost_ann",
            "cost_inr",
            "n_fills",
            "n_unfilled",
            "traded_inr",
            "holding_sessions",
            "trip_count",
            "trip_win_rate",
            "trip_profit_factor",
            "trip_mean_holding_sessions",
            "trip_open_share",
            "exposure",
            "effective_names",
            "largest_weight",
        ),
    ),
    ("Span", ("n_sessions", "first_date", "last_date")),
)
OTHER = "Other measures"


def performance_section(book: Prepared) -> Section:
    """Calendar returns, rolling measures, all measures."""
    monthly = series.calendar_returns(book.returns[1:], book.strategy, by_month=True)
    blocks: list[Block] = [monthly_table(book, monthly) if monthly.height else _too_short("no full session")]
    if monthly.height:
        blocks += annual_blocks(book)
    blocks += [sharpe_block(book), active_block(book), metrics_table(book)]
    return Section("performance", "Performance", tuple(blocks))


def monthly_table(book: Prepared, monthly: pl.DataFrame) -> Table:
    """Years down, months across, and the year's compounded return."""
    rows = []
    for (year,), months in monthly.group_by("year", maintain_order=True):
        value = dict(months.select("month", "simple_return").iter_rows())
        total = math.prod(1.0 + x for x in value.values()) - 1.0
        cells = [_heat(value.get(month)) for month in range(1, 13)]
        rows.append((Cell(str(year), str(year)), *cells, cell("total_return", total)))
    ordered = monthly.sort("simple_return")
    (low_year, low_month, low), (high_year, high_month, high) = ordered.row(0), ordered.row(-1)
    up = monthly.filter(pl.col("simple_return") > 0).height
    return Table(
        "monthly",
        "Monthly returns",
        f"% a month, {book.strategy}, net of costs",
        f"{up} of {plural(monthly.height, 'month')} above zero; best {percent(high)} ({high_year}-{high_month:02d}), "
        f"worst {percent(low)} ({low_year}-{low_month:02d}). "
        "Blue is above zero, orange below; full colour from 10\u202f%.",
        ("Year", *MONTHS, "Year"),
        ("year", *MONTHS, "full_year"),
        tuple(rows),
    )


def annual_blocks(book: Prepared) -> list[Block]:
    """Calendar years against the benchmark, as bars and as a table."""
    own = series.calendar_returns(book.returns[1:], book.strategy, by_month=False)
    years = own.rename({"simple_return": "strategy_return"})
    drawn = [Series(book.strategy, rounded(own["simple_return"]))]
    reading = f"{own.filter(pl.col('simple_return') > 0).height} of {plural(own.height, 'calendar year')} above zero"
    if book.has_benchmark:
        other = series.calendar_returns(book.returns[1:], BENCHMARK_KEY, by_month=False)
        years = years.join(other.rename({"simple_return": "benchmark_return"}), on="year", how="left").sort("year")
        years = years.with_columns((pl.col("strategy_return") - pl.col("benchmark_return")).alias("active_return"))
        drawn.append(Series(book.benchmark_name, rounded(years["benchmark_return"]), "benchmark"))
        ahead = years.filter(pl.col("active_return") > 0).height
        reading += (
            f", {ahead} above {book.benchmark_name}; mean difference {percent(number(years['active_return'].mean()))}"
        )
    x = [str(year) for year in years["year"].to_list()]
    first, final = book.returns["date"][0], book.returns["date"][-1]
    figure = Figure(
        "annual",
        "Annual returns",
        "% a calendar year, net of costs",
        f"{reading}. The period runs from {first} to {final}: its first and last year may be partial.",
        x,
        tuple(drawn),
        "grouped",
        "category",
        hover_format=".1%",
        rules=(Rule(0.0),),
    )
    labels = {
        "year": "Year",
        "strategy_return": book.strategy,
        "benchmark_return": book.benchmark_name,
        "active_return": "Difference",
    }
    as_text = years.with_columns(pl.col("year").cast(pl.String))
    return [
        figure,
        frame_table("annual", "Annual returns, table", as_text, unit="% a calendar year", labels=labels, folded=True),
    ]


def sharpe_block(book: Prepared) -> Block:
    """Sharpe ratio of the trailing 252 sessions."""
    sharpe = series.rolling_sharpe(book.returns, book.risk_free)
    own = sharpe[book.strategy].drop_nulls()
    if own.is_empty():
        return _too_short(f"fewer than {SESSIONS_PER_YEAR} returns, so no rolling 12-month Sharpe ratio")
    shown = sharpe.filter(pl.any_horizontal(pl.col(book.strategy, BENCHMARK_KEY).is_not_null()))
    reading = (
        f"Latest 12 months: {ratio(own[-1])}; since the first full window between {ratio(number(own.min()))} and "
        f"{ratio(number(own.max()))}, below zero in {percent(number((own < 0).mean()), 0)} of sessions."
    )
    return Figure(
        "sharpe",
        "Rolling 12-month Sharpe ratio",
        f"ratio a year, trailing {SESSIONS_PER_YEAR} sessions, in excess of cash",
        reading,
        iso_dates(shown["date"]),
        own_and_benchmark(book, shown, digits=3),
        y_format=".2~f",
        hover_format=".2f",
        rules=(Rule(0.0),),
        half=True,
    )


def active_block(book: Prepared) -> Block:
    """Return over the trailing 252 sessions less the benchmark's."""
    active = series.active_return(book.growth, book.strategy)
    if active.is_empty():
        why = "no benchmark" if not book.has_benchmark else f"fewer than {SESSIONS_PER_YEAR} returns"
        return _too_short(f"{why}, so no rolling active return")
    own = active["active_return"]
    return Figure(
        "active",
        "Rolling 12-month active return",
        f"percentage points, {book.strategy} less {book.benchmark_name}",
        f"Latest 12 months: {percent(own[-1])}; ahead in {percent(number((own > 0).mean()), 0)} of the windows, "
        f"between {percent(number(own.min()))} and {percent(number(own.max()))}.",
        iso_dates(active["date"]),
        (Series(book.strategy, rounded(own)),),
        "area",
        rules=(Rule(0.0),),
        half=True,
    )


def metrics_table(book: Prepared) -> Table:
    """Every measure, the chosen strategy, the benchmark and the others side by side; an unknown measure at the end."""
    first = [pl.col("strategy") == name for name in (book.strategy, BENCHMARK)]
    table = book.measured.sort(*first, descending=True, maintain_order=True)
    measures = [name for name in table.columns if name != "strategy"]
    placed = [(title, [name for name in names if name in measures]) for title, names in GROUPS]
    seen = {name for _, names in placed for name in names}
    placed.append((OTHER, [name for name in measures if name not in seen]))
    rows: list[tuple[Cell, ...]] = []
    groups: list[tuple[int, str]] = []
    for title, names in placed:
        if names:
            groups.append((len(rows), title))
        for name in names:
            rows.append((Cell(spec(name).label, name), *(cell(name, value) for value in table[name].to_list())))
    names = table["strategy"].to_list()
    return Table(
        "metrics",
        "All measures",
        "every strategy, net of costs",
        "Ratios are annualised with 252 sessions and in excess of cash; value at risk and expected shortfall are "
        "historical unless they say Cornish\u2013Fisher, and negative for a loss.",
        ("Measure", *names),
        ("measure", *names),
        tuple(rows),
        groups=tuple(groups),
    )


def _heat(value: float | None) -> Cell:
    """Blue above zero, orange below; the depth of the colour is the size of the return."""
    if value is None:
        return Cell("", "")
    return Cell(percent(value), repr(value), heat_style(value / HEAT_FULL))


def heat_style(share: float) -> str:
    """Background of a cell: `share` of the full colour, blue above zero and orange below."""
    side = "up" if share >= 0 else "down"
    return f"--depth:{0.75 * min(abs(share), 1.0):.2f};--tone:var(--{side})"


def _too_short(why: str) -> Note:
    return Note(f"The period has {why}.")
