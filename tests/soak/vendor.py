"""A vendor of daily exchange files: it publishes, is late, sends half a day, restates an old one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from quant_core.calendar import sessions
from quant_core.market.sources.simulated import SimulatedSource

IST = ZoneInfo("Asia/Kolkata")
FIRST, LAST = date(2016, 6, 1), date(2020, 2, 28)
SOURCE = SimulatedSource(
    n_tickers=8, n_sectors=2, seed=5, start=FIRST, missing_rate=0.0, late_listing_sessions=40, delisting_sessions=5000
)
INDICES = {"^NSEI": "Nifty 50", "NIFTY 50 TRI": "Nifty 50 TRI"}
#: From here on a file a session; what came before is one file.
DAILY_FROM = date(2019, 9, 1)
#: When a day's file usually comes.
USUAL = time(17, 45)


@dataclass(frozen=True)
class Vendor:
    """The files of a folder; `rows` is what truly happened."""

    folder: Path

    @cached_property
    def rows(self) -> pl.DataFrame:
        rows = SOURCE.fetch(None, FIRST, LAST, datetime.combine(LAST, time(23), IST)).rows
        before = pl.col("close_inr").shift(1).over("ticker", order_by="date")
        return rows.with_columns(prev_close_inr=pl.coalesce(before, "open_inr"))

    def begin(self, until: date, wrong: Mapping[date, float]) -> None:
        """Everything up to `until`, and the lists beside the prices; a factor on a close of some days."""
        self.folder.mkdir(parents=True)
        old = self.rows.filter(pl.col("date") < DAILY_FROM)
        self._write_stocks("history.csv", old, FIRST)
        self._write_indices("index.csv", old, FIRST)
        for day in sessions(DAILY_FROM, until):
            self.publish(day, close_factor=wrong.get(day, 1.0))
        actions = self.rows.filter((pl.col("price_factor") != 1.0) | (pl.col("dividend_inr") > 0.0))
        lines = ["ticker,ex_date,kind,value,source,known_until"]
        for day, ticker, factor, paid in actions.select("date", "ticker", "price_factor", "dividend_inr").iter_rows():
            if factor != 1.0:
                lines.append(f"{ticker},{day},split_or_bonus_confirmed,{factor!r},list,{LAST}")
            if paid > 0.0:
                lines.append(f"{ticker},{day},dividend,{paid!r},list,{LAST}")
        (self.folder / "corporate_actions.csv").write_text("\n".join(lines) + "\n")
        lines = ["ticker,from_date,to_date,known_until", *(f"{name},{FIRST},,2020-12-31" for name in SOURCE.tickers)]
        (self.folder / "index_membership.csv").write_text("\n".join(lines) + "\n")

    def publish(self, day: date, tickers: int | None = None, close_factor: float = 1.0, on: date | None = None) -> None:
        """The files of a session.

        Args:
            tickers: so many of the stocks only, as where the vendor was cut off.
            close_factor: on the first stock's close, as where it was wrong and is restated.
            on: the day on which the files come, where that is a later one.
        """
        own = self.rows.filter(pl.col("date") == day)
        if tickers is not None:
            own = own.filter((pl.col("instrument") == "index") | pl.col("ticker").is_in(SOURCE.tickers[:tickers]))
        if close_factor != 1.0:
            moved = pl.when(pl.col("ticker") == SOURCE.tickers[0]).then(close_factor).otherwise(1.0)
            own = own.with_columns(close_inr=pl.col("close_inr") * moved)
            own = own.with_columns(
                high_inr=pl.max_horizontal("high_inr", "close_inr"), low_inr=pl.min_horizontal("low_inr", "close_inr")
            )
        self._write_stocks(f"sec_bhavdata_full_{day:%d%m%Y}.csv", own, on or day)
        self._write_indices(f"ind_close_all_{day:%d%m%Y}.csv", own, on or day)

    def _write_stocks(self, name: str, rows: pl.DataFrame, on: date) -> None:
        table = rows.filter(pl.col("instrument") == "equity").select(
            SYMBOL="symbol", SERIES=pl.lit("EQ"), DATE1=pl.col("date").dt.strftime("%d-%b-%Y"),
            PREV_CLOSE="prev_close_inr", OPEN_PRICE="open_inr", HIGH_PRICE="high_inr", LOW_PRICE="low_inr",
            CLOSE_PRICE="close_inr", TTL_TRD_QNTY="volume_shares", TURNOVER_LACS=pl.col("turnover_inr") / 1e5,
        )  # fmt: skip
        self._put(name, table, on)

    def _write_indices(self, name: str, rows: pl.DataFrame, on: date) -> None:
        own = rows.filter(pl.col("instrument") == "index")
        table = own.select("date", index="ticker", open="open_inr", high="high_inr", low="low_inr", close="close_inr")
        self._put(name, table, on)

    def _put(self, name: str, table: pl.DataFrame, on: date) -> None:
        """Whole or not at all, with the time at which it came: that is what the lab says of a row."""
        path, temporary = self.folder / name, self.folder / f".{name}"
        table.write_csv(temporary)
        came = datetime.combine(on, USUAL, IST).timestamp()
        os.utime(temporary, (came, came))
        temporary.rename(path)
