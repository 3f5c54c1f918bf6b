"""Where raw daily rows come from: one module a source, each a frozen configuration with `fetch` and `version`.

A source hands over what its vendor gave, defects included; repairing is the cleaning stage's work. The clock is an
argument, so that the same request gives the same rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import polars as pl

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.registry import Registry
from quant_core.schema import RawOhlcv, validate

INDIA = ZoneInfo("Asia/Kolkata")
PUBLISHED_HOUR = 18
RAW_SCHEMA: dict[str, pl.DataType] = {name: column.dtype for name, column in RawOhlcv.columns().items()}


@dataclass(frozen=True)
class Problem:
    """Something that a reader of the log should know about one ticker or file; it stops nothing by itself.

    `ticker` is empty where the problem belongs to a file or to the whole request.
    """

    ticker: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Fetch:
    """Rows (schema `RawOhlcv`, sorted by date and ticker) and what went wrong on the way."""

    rows: pl.DataFrame
    problems: tuple[Problem, ...] = ()


class Source(Protocol):
    """What a registered class must offer; its fields are its configuration."""

    def fetch(self, tickers: Sequence[str] | None, start: date, end: date, now: datetime) -> Fetch:
        """Rows from `start` to `end`, both included; `tickers=None` is everything, indices are asked for by name."""
        ...

    def version(self, start: date, end: date, now: datetime) -> str:
        """A text that changes when the same request would give other rows."""
        ...


SOURCES: Registry[type[Source]] = Registry("source", "quant_core.market.sources")


def check_span(where: str, start: date, end: date) -> None:
    """Raise a DataError unless `start` <= `end`."""
    if start > end:
        raise DataError(f"{where}: start {start} is after end {end}; swap them.")


def last_closed_session(now: datetime) -> date:
    """The last NSE session whose row is final at `now` (18:00 Indian time; the market closes at 15:30)."""
    if now.tzinfo is None:
        raise DataError(f"source: now is {now} without a time zone; pass an aware datetime.")
    local = now.astimezone(INDIA)
    day = local.date() if local.hour >= PUBLISHED_HOUR else local.date() - timedelta(days=1)
    known = sessions(day - timedelta(days=30), day)
    if not known:
        raise DataError(f"source: no session in the 30 days before {day}; extend quant_core/calendar.py.")
    return known[-1]


def raw_rows(rows: pl.DataFrame, where: str, remedy: str) -> pl.DataFrame:
    """`rows` as the `RawOhlcv` table: its columns only, sorted by (date, ticker), validated.

    A vendor that knows no series leaves it null.
    """
    if "series" not in rows.columns:
        rows = rows.with_columns(series=pl.lit(None, pl.String))
    table = rows.select(list(RAW_SCHEMA)).sort("date", "ticker", maintain_order=True)
    return validate(table, RawOhlcv, where, remedy)


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
