"""How much could be lost: drawdowns, volatility, tails."""

import math

import polars as pl

from quant_core.report import series
from quant_core.report.blocks import Block, Figure, Note, Rule, Section, Series, Table, frame_table, iso_dates
from quant_core.report.formats import percent, percent_fine, plural, ratio
from quant_core.report.inputs import BENCHMARK, Prepared
from quant_core.report.sections.lines import own_and_benchmark
from quant_core.report.series import BENCHMARK_KEY, VOLATILITY_SESSIONS, number
from quant_core.report.verdict import known

WORST = 5
BIN_WIDTHS = (0.0005, 0.001, 0.0025, 0.005, 0.01)  # of a day's return; the first that gives at most MAX_BINS
MAX_BINS = 50
TAILS = (
    ("Historical", "var_95_1d", "cvar_95_1d"),
    ("Cornish\u2013Fisher", "var_95_1d_cornish_fisher", "cvar_95_1d_cornish_fisher"),
)


def risk_section(book: Prepared) -> Section:
    """Falls first, then what a day can do."""
    blocks = [*drawdown_blocks(book), volatility_block(book), histogram_block(book), tail_block(book)]
    return Section("risk", "Risk", tuple(blocks))


def drawdown_blocks(book: Prepared) -> list[Block]:
    """The chart and the five deepest falls."""
    shown = series.drawdowns(book.growth)
    own, other = shown[book.strategy], shown[BENCHMARK_KEY]
    low = shown["date"][own.arg_min() or 0]
    reading = f"Deepest fall of {book.strategy}: {percent(number(own.min()))}, on {low}"
    reading += f"; {book.benchmark_name} {percent(number(other.min()))}" if book.has_benchmark else ""
    reading += f". Below an earlier high in {percent(number((own < 0).mean()), 0)} of sessions."
    figure = Figure(
        "drawdown",
        "Drawdown",
        "% below the highest value so far",
        reading,
        iso_dates(shown["date"]),
        own_and_benchmark(book, shown),
        "area",
        rules=(Rule(0.0),),
    )
    known_days = book.growth.select("date", book.strategy).drop_nulls()
    falls = series.worst_drawdowns(known_days["date"].to_list(), known_days[book.strategy].to_list(), WORST)
    if falls.is_empty():
        return [figure, Note("The strategy never fell below an earlier high.")]
    return [figure, drawdown_table(falls)]


def drawdown_table(falls: pl.DataFrame) -> Table:
    """The deepest falls with their dates."""
    ranked = falls.select(pl.int_range(1, pl.len() + 1).cast(pl.String).alias("rank"), pl.all())
    is_open = falls["recovery_date"].null_count() > 0
    labels = {
        "rank": "Rank",
        "start_date": "From the high of",
        "trough_date": "Lowest on",
        "recovery_date": "Recovered on",
        "n_sessions": "Sessions below",
        "to_trough_sessions": "Sessions to the low",
    }
    caption = "Sessions below count from the day after the high to the last one below it."
    return frame_table(
        "drawdowns",
        "Worst drawdowns",
        ranked,
        unit="% from high to low",
        caption=caption + (" A dash: not recovered by the end of the period." if is_open else ""),
        labels=labels,
    )


def volatility_block(book: Prepared) -> Block:
    """Volatility of the trailing 63 sessions."""
    wide = series.rolling_volatility(book.returns)
    own = wide[book.strategy].drop_nulls()
    if own.is_empty():
        return Note(f"The period has fewer than {VOLATILITY_SESSIONS} returns, so no rolling volatility.")
    shown = wide.filter(pl.any_horizontal(pl.col(book.strategy, BENCHMARK_KEY).is_not_null()))
    peak = wide["date"][wide[book.strategy].arg_max() or 0]
    return Figure(
        "volatility",
        "Rolling volatility",
        f"% a year, trailing {VOLATILITY_SESSIONS} sessions",
        f"Latest {percent(own[-1])}, median {percent(number(own.median()))}, "
        f"highest {percent(number(own.max()))} on {peak}.",
        iso_dates(shown["date"]),
        own_and_benchmark(book, shown),
        half=True,
    )


def histogram_block(book: Prepared) -> Block:
    """Daily returns, with the value at risk as rules."""
    own = book.returns[1:][book.strategy].drop_nulls()
    if own.is_empty():
        return Note("The period has no return to draw a histogram of.")
    reach = max(abs(number(own.quantile(0.001))), abs(number(own.quantile(0.999))), BIN_WIDTHS[0])
    width = next((w for w in BIN_WIDTHS if 2.0 * reach / w <= MAX_BINS), BIN_WIDTHS[-1])
    limit = min(math.ceil(reach / width), 10 * MAX_BINS) * width
    n_bins = round(2.0 * limit / width)
    x, counts = series.histogram(own, -limit, limit, n_bins)
    drawn = [Series(book.strategy, [round(float(share), 5) for share in counts / len(own)])]
    if book.has_benchmark:
        other = book.returns[1:][BENCHMARK_KEY].drop_nulls()
        _, counts = series.histogram(other, -limit, limit, n_bins)
        shares = [round(float(share), 5) for share in counts / max(len(other), 1)]
        drawn.append(Series(book.benchmark_name, shares, "benchmark", as_line=True))
    row = book.metrics_of(book.strategy)
    rules = [
        Rule(float(row[name]), "x", label)
        for name, label in (("var_95_1d", "VaR 95\u202f%"), ("cvar_95_1d", "ES 95\u202f%"))
        if known(row.get(name))
    ]
    shape = "".join(
        f", {word} {ratio(row[name])}"
        for name, word in (("skewness", "skewness"), ("kurtosis", "excess kurtosis"))
        if known(row.get(name))
    )
    return Figure(
        "histogram",
        "Daily returns",
        f"% of sessions in bins of {percent_fine(width)}",
        f"From {percent(number(own.min()))} to {percent(number(own.max()))}; "
        f"{percent(number((own > 0).mean()), 0)} of days above zero{shape}. The outer bins hold what lies beyond.",
        x,
        tuple(drawn),
        "bar",
        "number",
        x_title="return of a session",
        x_format=".1%",
        hover_format=".1%",
        rules=tuple(rules),
        half=True,
    )


def tail_block(book: Prepared) -> Block:
    """Value at risk and expected shortfall, historical and Cornish-Fisher, as measured in `metrics`."""
    own, other = book.metrics_of(book.strategy), book.metrics_of(BENCHMARK)
    rows = []
    for method, *names in TAILS:
        for name, measure in zip(names, ("Value at risk", "Expected shortfall"), strict=True):
            if known(own.get(name)):
                row = {"measure": f"{measure}, {method}", "strategy_return_1d": own[name]}
                index = {"benchmark_return_1d": other[name]} if known(other.get(name)) else {}
                rows.append(row | index)
    if not rows:
        return Note("Value at risk was not measured.")
    table = pl.DataFrame(rows, infer_schema_length=None)
    equity = float(book.own["equity_inr"][-1])
    table = table.with_columns((pl.col("strategy_return_1d") * equity).alias("final_equity_loss_inr"))
    labels = {
        "measure": "95\u202f%, one session",
        "strategy_return_1d": book.strategy,
        "benchmark_return_1d": book.benchmark_name,
        "final_equity_loss_inr": "On the final equity",
    }
    return frame_table(
        "tails",
        "Value at risk and expected shortfall",
        table,
        unit="% a session, negative for a loss",
        caption=f"{_beyond(book, own.get('var_95_1d'))}Expected shortfall is the mean of the worst 5\u202f%. "
        "Cornish\u2013Fisher follows from mean, deviation, skewness and kurtosis.",
        labels=labels,
    )


def _beyond(book: Prepared, value_at_risk: object) -> str:
    """How often the loss was larger."""
    if not isinstance(value_at_risk, float) or not known(value_at_risk):
        return ""
    days = book.returns[1:][book.strategy].drop_nulls()
    return (
        f"{plural(int((days < value_at_risk).sum()), 'session')} of {len(days):,} lost more than the historical value. "
    )
