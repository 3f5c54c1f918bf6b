"""What a source is: settings, rows of a span as its vendor gave them, and what tells that they would be others now.

A source hands over defects as they are; repairing is the cleaning stage's work. The clock is an argument, so that the
same request gives the same rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import Problem
from quant_core.registry import Registry
from quant_core.schema import EQUITY, UNADJUSTED, RawOhlcv, dtypes_of, validate

RAW_SCHEMA = dtypes_of(RawOhlcv)


@dataclass(frozen=True)
class Fetch:
    """Rows (schema `RawOhlcv`, sorted by date and ticker) and what went wrong on the way."""

    rows: pl.DataFrame
    problems: tuple[Problem, ...] = ()


class Source(Protocol):
    """What a registered class must offer; its fields are its settings, checked when it is made.

    A source that knows more than prices may also offer `membership(universe)`, `universe(name)` and `sectors()`, which
    win over the shipped lists, `lists()` (until when each of them is known) and `listed_events()` (corporate actions
    that no row carries); `files` has all of them.
    """

    def fetch(self, tickers: Sequence[str] | None, start: date, end: date, now: datetime) -> Fetch:
        """Rows from `start` to `end`, both included, the same whatever else is asked for with them.

        Args:
            tickers: None for every stock that there is; indices are asked for by name.
            now: time of the request, with a time zone.
        Raises:
            DataError: a request or data that no second try can mend. SourceError: the vendor did not answer.
        """
        ...

    def version(self, start: date, end: date, now: datetime) -> str:
        """A text that changes when the same request would give other rows."""
        ...


SOURCES: Registry[type[Source]] = Registry("source", "quant_core.market.sources")


def check_span(where: str, start: date, end: date) -> None:
    """Raise a DataError unless `start` <= `end`."""
    if start > end:
        raise DataError(f"{where}: start {start} is after end {end}; swap them.")


def raw_rows(rows: pl.DataFrame, where: str, remedy: str) -> pl.DataFrame:
    """`rows` as the `RawOhlcv` table: its columns only, sorted by (date, ticker), validated.

    A vendor that knows no series leaves it null.
    """
    if "series" not in rows.columns:
        rows = rows.with_columns(series=pl.lit(None, pl.String))
    table = rows.select(list(RAW_SCHEMA)).sort("date", "ticker", maintain_order=True)
    return validate(table, RawOhlcv, where, remedy)


def plain_rows(bars: pl.DataFrame, source: str, now: datetime) -> pl.DataFrame:
    """`bars` with every column of `RawOhlcv` that the vendor does not have.

    A symbol is the ticker, an instrument a stock, a basis unadjusted; there is no action, and the rest is not known.

    Args:
        bars: at least date, ticker and the prices.
    """
    known: dict[str, pl.Expr] = {
        "symbol": pl.col("ticker"), "instrument": pl.lit(EQUITY), "basis": pl.lit(UNADJUSTED),
        "source": pl.lit(source), "fetched_at": pl.lit(now.astimezone(UTC)).cast(RAW_SCHEMA["fetched_at"]),
        "dividend_inr": pl.lit(0.0), "price_factor": pl.lit(1.0),
    }  # fmt: skip
    missing = [name for name in RAW_SCHEMA if name not in bars.columns]
    return bars.with_columns(known.get(name, pl.lit(None, RAW_SCHEMA[name])).alias(name) for name in missing)


def empty_rows() -> pl.DataFrame:
    """A `RawOhlcv` table without rows."""
    return pl.DataFrame(schema=RAW_SCHEMA)


def missing_tickers(tickers: Sequence[str] | None, rows: pl.DataFrame, where: str) -> list[Problem]:
    """One Problem for every requested ticker that got no row."""
    if tickers is None:
        return []
    found: Iterable[str] = rows["ticker"].unique().to_list()
    return [
        Problem(ticker, "no_rows", f"{where} has no row of {ticker} in the requested span")
        for ticker in sorted(set(tickers) - set(found))
    ]


def early_rows(ticker: str, count: int) -> Problem:
    """What is said about vendor rows before a listing, which are left out."""
    return Problem(ticker, "before_listing", f"{count} rows before the first session of {ticker} on NSE are left out")
