"""For every source a small market to ask it for, and the promises that each of them is held to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal
from yahoo_service import Yahoo, chart

from quant_core.calendar import sessions
from quant_core.market.sources import SOURCES, Source
from quant_core.schema import RawOhlcv, validate


@dataclass(frozen=True)
class Case:
    """A market that a source can be asked for.

    Args:
        name: of the source.
        settings: that it is made with.
        tickers: stocks that it has rows of in the span, at least two.
        first, last: the span; something of it may be open still at `now`.
        now: time of the request.
        change: makes the same request give other rows; returns when to ask again.
        refused: settings, each beside the others, that are an error.
    """

    name: str
    settings: dict[str, Any]
    tickers: Sequence[str]
    first: date
    last: date
    now: datetime
    change: Callable[[], datetime]
    refused: Sequence[dict[str, Any]] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return SOURCES[self.name](**self.settings)

    def rows(
        self, tickers: Sequence[str] | None = None, first: date | None = None, last: date | None = None
    ) -> pl.DataFrame:
        """What is fetched; by default the case's tickers over its span."""
        return self.source.fetch(tickers or self.tickers, first or self.first, last or self.last, self.now).rows

    @property
    def version(self) -> str:
        return self.source.version(self.first, self.last, self.now)


def files(folder: Path, yahoo: Yahoo) -> Case:
    def write(close: float) -> None:
        lines = [
            f"{day},{name},10,12,9,{close},100" for day in sessions(date(2021, 3, 1), date(2021, 4, 9)) for name in "AB"
        ]
        (folder / "prices.csv").write_text("\n".join(["date,ticker,open,high,low,close,volume", *lines, ""]))

    now = datetime(2021, 5, 3, 14, tzinfo=UTC)

    def change() -> datetime:
        write(11.0)
        return now

    write(10.5)
    refused = [{"basis": "adjusted"}]
    return Case("files", {"path": str(folder)}, "AB", date(2021, 3, 1), date(2021, 4, 9), now, change, refused)


def simulated(folder: Path, yahoo: Yahoo) -> Case:
    now = datetime(2016, 3, 10, 14, tzinfo=UTC)
    refused = [{"n_tickers": 0}, {"missing_rate": 1.0}, {"alpha_half_life_sessions": 0.0}]
    return Case(
        "simulated", {"n_tickers": 4}, ["SIM001", "SIM002"], date(2016, 2, 1), date(2016, 3, 31), now,
        lambda: now + timedelta(days=30), refused,
    )  # fmt: skip


def yahoo(folder: Path, service: Yahoo) -> Case:
    days = [day.day for day in sessions(date(2023, 3, 1), date(2023, 3, 31))]
    bars = {day: (100.0 + day, 103.0 + day, 99.0 + day, 102.0 + day, 101.0 + day, 5000 + day) for day in days}
    service.answers = {
        "TCS.NS": (200, chart("TCS.NS", bars, dividends={9: 4.0})),
        "INFY.NS": (200, chart("INFY.NS", bars, splits={10: 2})),
    }
    now = datetime(2023, 3, 16, 14, tzinfo=UTC)
    refused = [{"batch_size": 0}, {"workers": 0}, {"attempts": 0}]
    return Case(
        "yahoo", {"backoff_s": 0.0}, ["TCS", "INFY"], date(2023, 3, 1), date(2023, 3, 31), now,
        lambda: now + timedelta(days=15), refused,
    )  # fmt: skip


#: source -> its case, made in an empty folder and with a Yahoo that gives no answer yet.
CASES: dict[str, Callable[[Path, Yahoo], Case]] = {"files": files, "simulated": simulated, "yahoo": yahoo}


def certify(case: Case) -> None:
    """What rows of every source keep to: the contract, the request, and nothing else that is asked for with it."""
    whole = case.rows()
    validate(whole, RawOhlcv, case.name, "fix the source.")
    assert whole.columns == list(RawOhlcv.column_names())
    assert whole.equals(whole.sort("date", "ticker", maintain_order=True))
    assert set(whole["ticker"]) == set(case.tickers)
    assert whole["date"].is_between(case.first, case.last).all()
    assert_frame_equal(case.rows(), whole, check_exact=True)
    for ticker in case.tickers:
        assert_frame_equal(case.rows([ticker]), whole.filter(pl.col("ticker") == ticker), check_exact=True)
    middle = case.first + timedelta(days=9)
    parts = [case.rows(last=middle), case.rows(first=middle + timedelta(days=1))]
    assert min(part.height for part in parts) > 0
    assert_frame_equal(pl.concat(parts), whole, check_exact=True)
