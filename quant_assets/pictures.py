"""What an asset's page shows as pictures: each takes a table and returns Markdown that holds a small SVG."""

import base64
from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg
import polars as pl

from quant_assets.drawing import COLORS, INK, PALE, Line, bar_chart, column_chart, line_chart
from quant_core.report.formats import count, percent
from quant_core.report.series import BENCHMARK_KEY, drawdowns, growth, wide_returns

#: Points of one line; more cannot be seen at this size.
POINTS = 120
INDEX = "index"
#: Strategies that a picture names beside the models' own books, whose names begin with MODEL_BOOK.
MODEL_BOOK, NAMED, MOST_NAMED = "top_n_", ("equal_weight",), 5
BARS = 12


def picture(svg: str, alt: str) -> dg.MetadataValue:
    """An SVG as Markdown: the UI shows `data:` images."""
    data = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{alt}](data:image/svg+xml;base64,{data})")


def coverage_picture(counts: pl.DataFrame) -> dg.MetadataValue:
    """Columns a session, of a span within one month, or a month: the mean of its sessions, stacked.

    Args:
        counts: `date`, then one column of counts a part; the first stands on the ground.
    """
    if counts.is_empty():
        return NOTHING
    by_month = counts.group_by(pl.col("date").dt.truncate("1mo")).agg(pl.exclude("date").mean()).sort("date")
    shown = by_month if by_month.height > 1 else counts.sort("date")
    texts = [f"{day:%Y}" if by_month.height > 18 else f"{day:%b %Y}" for day in shown["date"]]
    if by_month.height == 1:
        texts = [f"{day:%d %b}" for day in shown["date"]]
    marks = [(n, text) for n, text in enumerate(texts) if n == 0 or text != texts[n - 1]]
    parts = [(name.replace("_", " "), shown[name].to_list()) for name in counts.columns if name != "date"]
    return picture(column_chart(parts, count, marks), "coverage")


def book_pictures(daily: pl.DataFrame, benchmark: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """`equity`: what one rupee became in each strategy and in the index; `drawdown`: below its highest value so far.

    Args:
        daily: BacktestDaily.
        benchmark: BenchmarkReturns.
    """
    value = growth(wide_returns(daily, benchmark)).rename({BENCHMARK_KEY: INDEX})
    named = _named(value)
    return {
        "equity": _lines(value, "{:g}×".format, "equity", named),
        "drawdown": _lines(drawdowns(value), whole_percent, "drawdown", list(dict.fromkeys([named[0], INDEX]))),
    }


def ic_picture(quality: pl.DataFrame) -> dg.MetadataValue:
    """Daily rank IC of each model, added up: a line that climbs steadily is a forecast that works.

    Args:
        quality: ForecastQuality.
    """
    if quality.is_empty():
        return NOTHING
    wide = quality.pivot(on="model", index="date", values="rank_ic").sort("date")
    total = wide.select("date", pl.exclude("date").fill_nan(None).fill_null(0.0).cum_sum())
    return _lines(total, "{:g}".format, "cumulative rank IC", total.columns[1:])


def importance_picture(table: pl.DataFrame) -> dg.MetadataValue:
    """Bars of what a model leans on most, negative ones in another color.

    Args:
        table: names in the first column, figures in the second, largest first.
    """
    top = table.head(BARS)
    values = [float(value) for value in top.to_series(1)]
    return picture(bar_chart(top.to_series(0).to_list(), values, two_digits), "importance") if values else NOTHING


def curve_picture(curve: pl.DataFrame) -> dg.MetadataValue:
    """A line for each figure that was logged while fitting; one that is missing at a step is left out there.

    Args:
        curve: the step (epoch) in the first column, a figure in each other one.
    """
    step, *names = curve.columns
    lines: list[Line] = []
    for name in names:
        known = thinned(curve.select(step, pl.col(name).cast(pl.Float64)).filter(pl.col(name).is_finite()))
        if known.height:
            label, color = name.replace("_", " "), COLORS[len(lines) % len(COLORS)]
            lines.append(Line(known[step].to_list(), known[name].to_list(), label, color))
    if not lines:
        return NOTHING
    steps = curve[step].unique().sort().to_list()
    return picture(line_chart(lines, "{:.3g}".format, [(n, f"{n:g}") for n in steps]), "learning curve")


def _named(value: pl.DataFrame) -> list[str]:
    """Which columns get a color and a name: the models' books, the index and the plainest rival."""
    books = [name for name in value.columns if name.startswith(MODEL_BOOK)]
    rivals = [name for name in (INDEX, *NAMED) if name in value.columns]
    return [*books[: MOST_NAMED - len(rivals)], *rivals]


def _lines(table: pl.DataFrame, write: Callable[[float], str], alt: str, named: Sequence[str]) -> dg.MetadataValue:
    """One line a column over `date`; those in `named` in color, the others pale."""
    colors = dict(zip([name for name in named if name != INDEX], COLORS, strict=False)) | {INDEX: INK}
    lines = []
    for name in table.columns[1:]:
        known = thinned(table.select("date", name).drop_nulls())
        days = [day.toordinal() for day in known["date"]]
        label = name if name in named else ""
        lines.append(Line(days, known[name].to_list(), label, colors.get(name, PALE)))
    lines.sort(key=lambda line: named.index(line.label) if line.label else -1)
    drawn = [line for line in lines if line.x]
    return picture(line_chart(drawn, write, date_marks(table["date"])), alt) if drawn else NOTHING


def thinned(table: pl.DataFrame) -> pl.DataFrame:
    """At most about POINTS rows, the last one among them."""
    step = max(table.height // POINTS, 1)
    return table.reverse().gather_every(step).reverse()


def date_marks(dates: pl.Series) -> list[tuple[float, str]]:
    """The first date of every year as its year; of every month where the dates span less than two years."""
    ordered = dates.unique().sort()
    is_short = (ordered[-1] - ordered[0]).days < 730
    marks: dict[str, date] = {}
    for day in ordered:
        marks.setdefault(f"{day:%b %Y}" if is_short else f"{day:%Y}", day)
    return [(day.toordinal(), text) for text, day in marks.items()]


def two_digits(value: float) -> str:
    """-0.00253 -> -0.0025."""
    return f"{value:.2g}"


def whole_percent(value: float) -> str:
    """-0.25 -> -25 %."""
    return percent(value, 0)


#: Where a table has no rows to draw.
NOTHING = dg.MetadataValue.md("nothing to draw")
