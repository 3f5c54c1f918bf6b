"""Long rows of prices as dense (T, N) arrays, and what a session's own prices say of it: who could buy, at which price.

Traded value and volatility are trailing and known before the session.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core import dense
from quant_core.dense import Flags, Floats
from quant_core.schema import INDEX
from quant_core.trading.market import BOTH, BUY, CLOSED, SELL, Delistings, Fill

TRAILING_SESSIONS = 21  # for traded value and volatility
FEWEST_SESSIONS = 5  # with a value, before a trailing volatility counts
ROUNDING = 1e-9  # of a previous close that is worked out from a return
TICK_INR = 0.05  # NSE's tick; a limit price is a whole number of ticks inside the band


class Grid:
    """Long rows as (T, N) arrays."""

    def __init__(self, rows: pl.DataFrame, days: Sequence[date], tickers: pl.Series) -> None:
        self.rows, self.tickers = rows, tickers
        self.laid_out: dict[str, Floats] = {}
        self.cells = dense.cells(rows, pl.Series(days, dtype=pl.Date), tickers, "backtest")
        self.priced = self.flags(~pl.col("is_filled"))
        self.is_index = self.flags(pl.col("instrument") == INDEX)

    def values(self, column: str) -> Floats:
        """One column, laid out once; not to be written to."""
        if column not in self.laid_out:
            self.laid_out[column] = self.cells.floats(self.rows[column])
        return self.laid_out[column]

    def flags(self, rule: pl.Expr) -> Flags:
        return self.cells.flags(self.rows.select(rule).to_series())

    def fill_price_inr(self, fill: Fill) -> Floats:
        """Open or close; or turnover over volume where that lies in the day's range, else the mean of open, high, low
        and close."""
        if fill != "vwap":
            return self.values(f"{fill}_inr")
        low, high, volume = self.values("low_inr"), self.values("high_inr"), self.values("volume_shares")
        with np.errstate(divide="ignore", invalid="ignore"):
            average = self.values("turnover_inr") / volume
        typical = (self.values("open_inr") + high + low + self.values("close_inr")) / 4.0
        return np.where((average >= low) & (average <= high), average, typical)

    def open_to(self, fills: Floats, price_band: float) -> NDArray[np.uint8]:
        """(T, N) bits BUY and SELL."""
        open_, high, low = (self.values(f"{name}_inr") for name in ("open", "high", "low"))
        with np.errstate(divide="ignore", invalid="ignore"):
            paid = np.nan_to_num(self.values("dividend_return_1d"))
            before = open_ / (1.0 + self.values("overnight_return_1d") - paid)  # previous close on today's basis
            one_price = (high == low) & (before > 0.0)
            no_buy = one_price & (low > before * (1.0 + ROUNDING))
            no_sell = one_price & (high < before * (1.0 - ROUNDING))
            if price_band > 0.0:
                no_buy |= fills >= before * (1.0 + price_band) - TICK_INR
                no_sell |= fills <= before * (1.0 - price_band) + TICK_INR
        is_open, member = self.flags(pl.col("is_tradable")), self.flags(pl.col("is_member"))
        bits = np.where(is_open & member & ~no_buy, BUY, CLOSED) | np.where(is_open & ~no_sell, SELL, CLOSED)
        return np.where(self.is_index & self.priced, BOTH, bits).astype(np.uint8)

    def suspended(self) -> Flags:
        """(T, N) from a row that says so until the name trades again."""
        says = self.flags(pl.col("flags").str.contains("suspended", literal=True))
        newest = np.maximum.accumulate(np.where(says | self.priced, np.arange(len(says))[:, None], -1), axis=0)
        return np.where(newest >= 0, np.take_along_axis(says, np.maximum(newest, 0), axis=0), False)

    def terms(self) -> Delistings:
        """The terminal rows."""
        rows = self.rows.with_columns(row=pl.Series(self.cells.row), column=pl.Series(self.cells.column))
        last = rows.filter(pl.col("terminal_factor").is_not_null()).sort("row", "column")
        into = last["terminal_into"]
        received = np.where(into.is_not_null(), self.tickers.search_sorted(into.fill_null("")).cast(pl.Int64), -1)
        return Delistings(
            last["row"].to_numpy().astype(np.int64), last["column"].to_numpy().astype(np.int64),
            last["terminal_factor"].to_numpy(), received.astype(np.int64),
        )  # fmt: skip

    def traded_value_inr(self) -> Floats:
        """Mean rupee turnover of the sessions before; an index is taken for as deep as anyone wants."""
        own, by_price = self.values("turnover_inr"), self.values("close_inr") * self.values("volume_shares")
        value = np.where(np.isnan(own), by_price, own)
        value[~self.priced] = 0.0  # a session without trading traded nothing
        before_listing = np.cumsum(self.priced, axis=0) == 0
        value[before_listing] = np.nan
        mean, _ = _trailing(value)
        return np.where(self.is_index.any(axis=0), np.inf, mean)

    def volatility(self) -> Floats:
        """Standard deviation of the daily returns of the sessions before."""
        mean, n = _trailing(self.values("total_return_1d"))
        square, _ = _trailing(self.values("total_return_1d") ** 2)
        with np.errstate(invalid="ignore"):
            spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        return np.where(n >= FEWEST_SESSIONS, spread, np.nan)


def _trailing(values: Floats) -> tuple[Floats, Floats]:
    """Mean and count of the known values in the TRAILING_SESSIONS rows before each row; NaN for none."""
    known = ~np.isnan(values)
    total = _window_sum(np.where(known, values, 0.0))
    n = _window_sum(known.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n > 0.5, total / n, np.nan), np.rint(n)


def _window_sum(values: Floats) -> Floats:
    total = np.zeros_like(values)
    for lag in range(1, TRAILING_SESSIONS + 1):  # no running sum: it would carry rounding of large values along
        total[lag:] += values[:-lag]
    return total
