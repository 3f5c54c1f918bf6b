"""Daily lines of strategies for any figure, and the tables that compare strategies; not what they mean."""

from collections.abc import Sequence

import polars as pl

from quant_core.report.blocks import Series, iso_dates, rounded
from quant_core.report.inputs import Prepared
from quant_core.report.series import BENCHMARK_KEY, week_ends

THIN_ABOVE = 1_000  # sessions from which the other strategies are drawn weekly


def own_and_benchmark(book: Prepared, wide: pl.DataFrame, digits: int = 4) -> tuple[Series, ...]:
    """The chosen strategy and, where it has values, the benchmark."""
    lines = [Series(book.strategy, rounded(wide[book.strategy], digits))]
    if wide[BENCHMARK_KEY].null_count() < wide.height:
        lines.append(Series(book.benchmark_name, rounded(wide[BENCHMARK_KEY], digits), "benchmark"))
    return tuple(lines)


def every_strategy(book: Prepared, wide: pl.DataFrame) -> tuple[Series, ...]:
    """The chosen one, the benchmark, then the others by name, weekly in a long period."""
    thin = wide.filter(week_ends(wide["date"])) if is_thinned(wide) else wide
    x = iso_dates(thin["date"]) if is_thinned(wide) else None
    others = [Series(name, rounded(thin[name]), "other", slot, x) for name, slot in book.slots.items()]
    return (*own_and_benchmark(book, wide), *others)


def is_thinned(wide: pl.DataFrame) -> bool:
    """Whether `every_strategy` draws the others weekly."""
    return wide.height > THIN_ABOVE


def by_strategy(
    book: Prepared, frame: pl.DataFrame, value: str, x: Sequence[float], x_column: str, digits: int = 4
) -> tuple[Series, ...]:
    """A line a strategy over a few values of `x_column`, the chosen first.

    Args:
        frame: `strategy`, `x_column`, `value`; one row a pair at most.
    """
    drawn = []
    for name in [book.strategy, *book.slots]:
        at = dict(frame.filter(pl.col("strategy") == name).select(x_column, value).iter_rows())
        if any(at.get(level) is not None for level in x):
            y = rounded(pl.Series([at.get(level) for level in x], dtype=pl.Float64), digits)
            role, slot = ("chosen", 0) if name == book.strategy else ("other", book.slots[name])
            drawn.append(Series(name, y, role, slot))  # type: ignore[arg-type]
    return tuple(drawn)
