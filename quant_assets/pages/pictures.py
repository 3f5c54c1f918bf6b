"""What an asset's page shows as pictures: each takes a table and returns Markdown that holds a small SVG."""

from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg
import polars as pl

from quant_assets.pages.drawing import COLORS, INK, INLINE, Line, Write, area_chart, bar_chart, line_chart, markdown
from quant_core.report.formats import count, percent
from quant_core.report.series import BENCHMARK_KEY, drawdowns, growth, wide_returns

#: Points of one line, tried from the most to the fewest until the picture is short enough to be shown in place.
POINTS = (120, 100, *range(80, 5, -3))
#: Lines of one picture; more leave too few points to each.
MOST_LINES = 3
#: Bars, tried likewise.
BARS = (12, 11, 10, 9, 8, 7, 6, 5)
INDEX = "index"
#: Strategies that are drawn beside the index: the first of the models' own books, whose names begin so.
MODEL_BOOK, MOST_BOOKS = "top_n_", 2
#: Where a table has nothing to draw.
NOTHING = dg.MetadataValue.md("nothing to draw")


def coverage_picture(counts: pl.DataFrame) -> dg.MetadataValue:
    """Counts a session where the dates lie within one month, else the mean of each month, stacked.

    Args:
        counts: `date`, then one column of counts a part; the first stands on the ground.
    """
    if counts.is_empty():
        return NOTHING
    months = counts.group_by(pl.col("date").dt.truncate("1mo")).agg(pl.exclude("date").mean()).sort("date")
    shown, form = (months, "%Y" if months.height > 18 else "%b %Y") if months.height > 1 else (counts, "%d %b")
    shown = shown.sort("date")

    def drawn(points: int) -> str:
        """Where there are more months than points, the least covered one of each few: gaps must stay visible."""
        table = thinned(shown, points, pl.Expr.min)
        parts = [(name.replace("_", " "), table[name].to_list()) for name in table.columns if name != "date"]
        texts = table["date"].dt.to_string(form).to_list()
        marks = [(n, text) for n, text in enumerate(texts) if n == 0 or text != texts[n - 1]]
        return area_chart(parts, count, marks)

    return _fitting(drawn, (shown.height, *POINTS), "coverage")


def book_pictures(daily: pl.DataFrame, benchmark: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """`equity`: what one rupee became in the models' books and in the index; `drawdown`: the fall since its highest.

    Args:
        daily: BacktestDaily; where no book is a model's, all of its strategies by name count as such.
        benchmark: BenchmarkReturns.
    """
    value = growth(wide_returns(daily, benchmark)).rename({BENCHMARK_KEY: INDEX})
    others = sorted(name for name in value.columns if name not in ("date", INDEX))
    books = [name for name in others if name.startswith(MODEL_BOOK)] or others
    chosen = value.select("date", INDEX, *reversed(books[:MOST_BOOKS]))
    return {
        "equity": _lines(chosen, "{:g}×".format, "equity"),
        "drawdown": _lines(drawdowns(chosen), whole_percent, "drawdown", pl.Expr.min),
    }


def ic_picture(quality: pl.DataFrame) -> dg.MetadataValue:
    """Daily rank IC of each model, added up: a line that climbs steadily is a forecast that works.

    Args:
        quality: ForecastQuality; the first three models are drawn.
    """
    if quality.is_empty():
        return NOTHING
    wide = quality.pivot(on="model", index="date", values="rank_ic").sort("date")
    total = wide.select("date", pl.exclude("date").fill_nan(None).fill_null(0.0).cum_sum())
    return _lines(total, "{:g}".format, "cumulative rank IC")


def importance_picture(table: pl.DataFrame) -> dg.MetadataValue:
    """Bars of what a model leans on most, as in `bars_picture`."""
    return bars_picture(table, "importance")


def bars_picture(table: pl.DataFrame, alt: str) -> dg.MetadataValue:
    """A bar for each of the first rows, negative ones in another color.

    Args:
        table: names in the first column, figures in the second, largest first.
        alt: what is drawn.
    """
    labels, values = table.to_series(0).to_list(), [float(value) for value in table.to_series(1)]
    return _fitting(lambda n: bar_chart(labels[:n], values[:n], two_digits), BARS, alt) if values else NOTHING


def curve_picture(curve: pl.DataFrame) -> dg.MetadataValue:
    """A line for each figure that was logged while fitting; one that is missing at a step is left out there.

    Args:
        curve: the step (epoch) in the first column, a figure in each other one; the first three are drawn.
    """
    return _lines(curve, "{:.3g}".format, "learning curve")


def sessions_picture(table: pl.DataFrame) -> dg.MetadataValue:
    """How much of a forecast rests on each session of the window, 0 being the row's own.

    Args:
        table: `session` and `share`, the oldest first.
    """
    return _lines(table, percent, "sessions that are read")


def _lines(
    table: pl.DataFrame, write: Write, alt: str, of_bucket: Callable[[pl.Expr], pl.Expr] = pl.Expr.last
) -> dg.MetadataValue:
    """One line for each of the first columns over the leading one; null and infinite values are left out."""
    axis, *names = table.columns[: 1 + MOST_LINES]
    known = {
        name: found
        for name in names
        if (found := table.select(axis, pl.col(name).cast(pl.Float64)).filter(pl.col(name).is_finite())).height
    }
    colors = dict(zip([name for name in reversed(known) if name != INDEX], COLORS * 3, strict=False))

    def line(name: str, points: int) -> Line:
        rows = thinned(known[name], points, of_bucket)
        across = rows[axis].to_physical().to_list()  # dates as day numbers
        return Line(name, across, rows[name].to_list(), colors.get(name, INK))

    return (
        _fitting(
            lambda points: line_chart([line(name, points) for name in known], write, _marks(table[axis])), POINTS, alt
        )
        if known
        else NOTHING
    )


def _fitting(draw: Callable[[int], str], sizes: Sequence[int], alt: str) -> dg.MetadataValue:
    """The picture of the first size that is short enough to be shown in place, else of the last."""
    text = ""
    for size in sizes:
        text = markdown(draw(size), alt)
        if len(text) <= INLINE:
            break
    return dg.MetadataValue.md(text)


def thinned(table: pl.DataFrame, points: int, of_bucket: Callable[[pl.Expr], pl.Expr]) -> pl.DataFrame:
    """At most `points` rows: of each run of neighbours the last one's first column, and `of_bucket` of the others."""
    size = max(-(-table.height // points), 1)
    key = table.columns[0]
    bucket = (pl.int_range(pl.len()) // size).alias("bucket")
    found = table.group_by(bucket, maintain_order=True).agg(pl.col(key).last(), of_bucket(pl.exclude(key)))
    return found.drop("bucket")


def _marks(axis: pl.Series) -> list[tuple[float, str]]:
    """Texts below an axis: the first date of every year, of every month within two years, or each number itself."""
    ordered = axis.unique().sort()
    if ordered.dtype != pl.Date:
        return [(float(number), f"{number:g}") for number in ordered]
    marks: dict[str, date] = {}
    for day in ordered:
        marks.setdefault(f"{day:%b %Y}" if (ordered[-1] - ordered[0]).days < 730 else f"{day:%Y}", day)
    numbers = pl.Series(list(marks.values())).to_physical().to_list()
    return list(zip(numbers, marks, strict=True))


def two_digits(value: float) -> str:
    """-0.00253 -> -0.0025."""
    return f"{value:.2g}"


def whole_percent(value: float) -> str:
    """-0.25 -> -25 %."""
    return percent(value, 0)
