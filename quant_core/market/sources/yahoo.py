"""Prices from Yahoo through yfinance. The only module of the core that touches pandas.

Yahoo's Open, High, Low, Close, Volume and dividends are always adjusted for every split up to the download
(`auto_adjust=False` only leaves out the dividends), so two downloads around a split would be on different bases. Each
request therefore reaches to the end of its own day in India, whose split is in the prices before that day's session
has closed, and its splits bring every row back to what was traded that day: rows are unadjusted whenever they were
fetched, with the split as the price factor of its ex-date. The unfinished session itself is left out.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from quant_core.calendar import last_closed_session
from quant_core.errors import DataError, SourceError
from quant_core.market.listings import since_listing
from quant_core.market.sources.source import (
    SOURCES,
    Fetch,
    Problem,
    check_span,
    early_rows,
    empty_rows,
    missing_tickers,
    plain_rows,
    raw_rows,
)
from quant_core.schema import EQUITY, INDEX

INDIA_TIME = "Asia/Kolkata"
#: Indices that Yahoo knows under a symbol of its own.
INDEX_SYMBOLS = {"INDIA VIX": "^INDIAVIX"}
COLUMNS = {
    "Open": "open_inr",
    "High": "high_inr",
    "Low": "low_inr",
    "Close": "close_inr",
    "Volume": "volume_shares",
    "Dividends": "dividend_inr",
    "Stock Splits": "split_ratio",
}
#: Parts of Yahoo's answers for a known name without rows in the span, e.g. before its listing.
EMPTY_SPAN = ("data doesn't exist", "no price data found")

#: Smaller splits than 3 for 2 cannot be told from a day's move; a step is a split's within this (log).
LEAST_SPLIT, SAME_STEP = 1.5, 0.2

if TYPE_CHECKING:
    import pandas as pd

Sleep = Callable[[float], None]


@SOURCES.register("yahoo")
@dataclass(frozen=True)
class YahooSource:
    """Daily prices of Yahoo Finance, downloaded through yfinance; free, splits and dividends included.

    Args:
        suffix: appended to stock tickers (".NS" is NSE); names that start with ^ are indices and stay as they are.
        batch_size: tickers in flight between two pauses.
        workers: parallel requests.
        attempts: tries a ticker when Yahoo refuses (HTTP 429), is down or cannot be reached.
        backoff_s: pause before the second try; doubled before each further one.
        pause_s: pause between batches.
        timeout_s: of one request.
    """

    suffix: str = ".NS"
    batch_size: int = 25
    workers: int = 6
    attempts: int = 4
    backoff_s: float = 2.0
    pause_s: float = 0.0
    timeout_s: float = 20.0

    def __post_init__(self) -> None:
        if min(self.batch_size, self.workers, self.attempts) < 1:
            raise DataError("yahoo: batch_size, workers and attempts must be at least 1.")
        if min(self.backoff_s, self.pause_s) < 0.0 or self.timeout_s <= 0.0:
            raise DataError("yahoo: backoff_s and pause_s must be at least 0, timeout_s above 0.")

    def fetch(
        self, tickers: Sequence[str] | None, start: date, end: date, now: datetime, sleep: Sleep = time.sleep
    ) -> Fetch:
        """Rows of the span up to the last closed session.

        Raises:
            DataError: no tickers named (Yahoo has no list to offer).
            SourceError: not one ticker could be read.
        """
        check_span("yahoo", start, end)
        if tickers is None:
            raise DataError("yahoo: no tickers; Yahoo cannot list a market, so choose a universe with a list of names.")
        closed = last_closed_session(now)
        last = min(end, closed)
        problems = [
            Problem(name, "unknown_ticker", f"{name!r} is no Yahoo symbol (it has blanks)")
            for name in sorted(set(tickers))
            if " " in name and name not in INDEX_SYMBOLS
        ]
        wanted = sorted({name for name in tickers if " " not in name or name in INDEX_SYMBOLS})
        if not wanted or last < start:
            return Fetch(empty_rows(), tuple(problems + missing_tickers(wanted, empty_rows(), "yahoo")))
        found, failed = _download(self, wanted, start, now.astimezone(ZoneInfo(INDIA_TIME)).date(), sleep)
        if failed and not found:
            reason = next(iter(failed.values())).detail
            raise SourceError(
                f"yahoo: none of {len(failed)} tickers could be read for {start}..{last}; first reason: {reason}. "
                'Check the network, wait if Yahoo limits the rate, lower batch_size, or use source "files".'
            )
        tables = {name: _vendor_rows(table) for name, table in found.items()}
        problems += [said for name, table in tables.items() for said in _unapplied(name, table)]
        rows = pl.concat([empty_rows(), *(_as_rows(self, name, table, now) for name, table in tables.items())])
        rows, early = since_listing(rows.filter(pl.col("date").is_between(start, last)))
        problems += [early_rows(name, count) for name, count in early.items()]
        problems += [*failed.values(), *missing_tickers(list(found), rows, "yahoo")]
        return Fetch(raw_rows(rows, "yahoo", "Yahoo's answer changed; update yfinance."), tuple(problems))

    def version(self, start: date, end: date, now: datetime) -> str:
        """Empty for a span that ended before the last closed session, else that session."""
        last = last_closed_session(now)
        return "" if end < last else last.isoformat()


def _download(
    source: YahooSource, tickers: list[str], start: date, last: date, sleep: Sleep
) -> tuple[dict[str, "pd.DataFrame | None"], dict[str, Problem]]:
    """pandas tables by ticker, and the problem of each ticker that failed for good."""
    found: dict[str, pd.DataFrame | None] = {}
    failed: dict[str, Problem] = {}
    pending = tickers
    for attempt in range(source.attempts):
        if attempt:
            sleep(source.backoff_s * 2 ** (attempt - 1))
        again: list[str] = []
        for number, batch in enumerate(_batches(pending, source.batch_size)):
            if number and source.pause_s:
                sleep(source.pause_s)
            with ThreadPoolExecutor(min(source.workers, len(batch))) as pool:
                answers = list(pool.map(lambda name: _ask(source, name, start, last), batch))
            for name, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Problem):
                    failed[name] = answer
                    if answer.kind == "unreachable":
                        again.append(name)
                else:
                    found[name] = answer
                    failed.pop(name, None)
        pending = again
        if not pending:
            break
    return found, failed


def _batches(names: list[str], size: int) -> Iterator[list[str]]:
    for first in range(0, len(names), size):
        yield names[first : first + size]


def _ask(source: YahooSource, ticker: str, start: date, last: date) -> "pd.DataFrame | Problem | None":
    """One ticker's pandas table, or the Problem. Only a Problem of kind "unreachable" is worth another try."""
    import yfinance
    from yfinance.exceptions import YFTickerMissingError

    logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # problems are reported by the Fetch
    plain = ticker.startswith("^") or ticker.endswith(source.suffix)
    symbol = INDEX_SYMBOLS.get(ticker) or (ticker if plain else ticker + source.suffix)
    handle = yfinance.Ticker(symbol)
    handle._tz = INDIA_TIME  # saves the extra request by which yfinance learns the time zone
    try:
        return handle.history(
            start=start.isoformat(),
            end=(last + timedelta(days=1)).isoformat(),  # exclusive there
            interval="1d",
            auto_adjust=False,
            actions=True,
            timeout=source.timeout_s,
            raise_errors=True,
        )
    except YFTickerMissingError as failure:
        reason = str(failure)
        if any(text in reason.lower() for text in EMPTY_SPAN):
            return None
        return Problem(ticker, "not_found", f"Yahoo has nothing under {symbol}: {reason}")
    except Exception as failure:  # the network layers below raise types of their own
        return Problem(ticker, "unreachable", f"{symbol}: {type(failure).__name__}: {failure}")


def _vendor_rows(table: "pd.DataFrame | None") -> pl.DataFrame | None:
    """A pandas table as date, prices and `split_ratio` on Yahoo's basis; None for one without rows."""
    if table is None or table.empty:
        return None
    columns = {
        name: pl.Series(table[column].to_numpy(dtype=float), nan_to_null=True) for column, name in COLUMNS.items()
    }
    days = [stamp.date() for stamp in table.index]
    return pl.DataFrame({"date": pl.Series(days, dtype=pl.Date), **columns}).sort("date")


def _as_rows(source: YahooSource, ticker: str, table: pl.DataFrame | None, now: datetime) -> pl.DataFrame:
    """Yahoo's rows as rows of `RawOhlcv`."""
    if table is None:
        return empty_rows()
    rows = as_traded(table)
    is_index = ticker.startswith("^") or ticker in INDEX_SYMBOLS
    named = rows.with_columns(
        pl.col("volume_shares").round().cast(pl.Int64),
        pl.col("dividend_inr").fill_null(0.0),
        ticker=pl.lit(ticker.removesuffix(source.suffix)),
        instrument=pl.lit(INDEX if is_index else EQUITY),
    )
    return plain_rows(named, "yahoo", now).select(empty_rows().columns)


def unapplied_splits(rows: pl.DataFrame) -> pl.Series:
    """Ex-dates of listed splits that the prices before them are not adjusted for, as the step over the ex-date shows.

    On Yahoo's basis the price moves by a day's move over an ex-date. A step nearer to 1 / ratio than to 1, and within
    `SAME_STEP` of it, is the split itself: it was listed before the history was adjusted.

    Args:
        rows: see `as_traded`, ascending.
    """
    step = pl.coalesce("open_inr", "close_inr") / pl.col("close_inr").fill_null(strategy="forward").shift(1)
    ratio = pl.col("split_ratio")
    off = (step * ratio).log().abs()  # of the step from the split's own
    is_split = (ratio > 0) & ((ratio >= LEAST_SPLIT) | (ratio <= 1.0 / LEAST_SPLIT))
    return rows.filter(is_split & (off < step.log().abs()) & (off < SAME_STEP))["date"]


def _unapplied(ticker: str, rows: pl.DataFrame | None) -> list[Problem]:
    """What is said of splits that Yahoo lists and has not adjusted the prices for."""
    found = []
    for day in unapplied_splits(rows).to_list() if rows is not None else []:
        assert rows is not None
        ratio = rows.filter(pl.col("date") == day)["split_ratio"].item()
        detail = (
            f"{ticker}: Yahoo lists a split of {ratio:g} on {day} and its prices step by as much on that day, so the "
            "rows before it are taken as traded, not as adjusted; fetch the months again once Yahoo has adjusted them"
        )
        found.append(Problem(ticker, "unapplied_split", detail))
    return found


def as_traded(rows: pl.DataFrame) -> pl.DataFrame:
    """Undo a vendor's adjustment for the splits after each row; the rows must reach to the day of the download.

    Args:
        rows: date, prices, dividend and volume adjusted for all later splits; `split_ratio` (shares after for one
            before) on its ex-date, 0 or null for none. Splits that are listed and not adjusted for are found:
            `unapplied_splits`.
    Returns:
        the same rows as they were traded, and `price_factor` (1 / ratio) on each ex-date.
    """
    rows = rows.sort("date")
    ratio = pl.when(pl.col("split_ratio") > 0).then(pl.col("split_ratio")).otherwise(1.0)
    applied = pl.when(pl.col("date").is_in(unapplied_splits(rows).implode())).then(1.0).otherwise(ratio)
    later = applied.cum_prod(reverse=True).shift(-1).fill_null(1.0)  # of the splits after the row's own date
    prices = ("open_inr", "high_inr", "low_inr", "close_inr", "dividend_inr")
    return rows.with_columns(
        *(pl.col(name) * later for name in prices),
        volume_shares=pl.col("volume_shares") / later,
        price_factor=1.0 / ratio,
    )
