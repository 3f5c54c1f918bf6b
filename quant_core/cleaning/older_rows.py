"""Rows older than the look-back, read only for tickers whose last row lies beyond it.

A month is cleaned from its own rows and three months before them. That holds the row before of everything that trades;
a ticker that was away longer has it anywhere. Its older rows are fetched and judged by the same rules, so a month has
the same rows whatever span it was cleaned within.
"""

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl

#: A ticker without a sound row so long before its first one of the span is looked for in the older rows. The look-back
#: begins at least 89 days before the span and must hold a volume median (45 days) before the row before.
RECENT = timedelta(days=40)


def with_older(
    raw: pl.DataFrame,
    older: pl.LazyFrame | None,
    judge: Callable[[pl.DataFrame], pl.DataFrame],
    start: date,
    expected: list[str],
) -> pl.DataFrame:
    """What `judge` makes of `raw`, with the older rows of the tickers that need them, in order of date and ticker.

    Args:
        raw: raw rows of the look-back and the span.
        older: raw rows from before `raw` begins, or None.
        judge: raw rows to the same rows with `is_sound` and flags; judges each ticker by its own rows.
        expected: tickers that get rows from `start` on though they may not trade (terminal events, suspensions).
    """
    flagged = judge(raw)
    names = [] if older is None else _away(flagged, start, expected)
    if older is None or not names:
        return flagged
    away = pl.col("ticker").is_in(names)
    rows = older.filter(away).collect()
    if not rows.height:
        return flagged
    whole = judge(pl.concat([rows, raw.filter(away)], how="diagonal"))
    both = pl.concat([flagged.filter(~away), whole.select(flagged.columns)])
    return both.sort("date", "ticker", maintain_order=True)


def _away(flagged: pl.DataFrame, start: date, expected: list[str]) -> list[str]:
    """Tickers whose first sound row from `start` on has no sound row in the `RECENT` days before it."""
    sound = flagged.lazy().filter("is_sound").select("ticker", "date")
    firsts = sound.filter(pl.col("date") >= start).group_by("ticker").agg(first=pl.col("date").min())
    lasts = sound.filter(pl.col("date") < start).group_by("ticker").agg(last=pl.col("date").max())
    both = firsts.join(lasts, on="ticker", how="full", coalesce=True)
    returning = pl.col("first").is_not_null() & (pl.col("first") - pl.col("last") > RECENT).fill_null(True)
    stale = pl.col("ticker").is_in(expected) & (pl.lit(start) - pl.col("last") > RECENT)
    found = both.filter(returning | stale.fill_null(False)).select("ticker").collect()["ticker"].to_list()
    present = set(both.select("ticker").collect()["ticker"])
    return sorted({*found, *(name for name in expected if name not in present)})
