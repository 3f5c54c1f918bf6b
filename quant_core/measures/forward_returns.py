"""What a decision earns: the simple total return from fill to fill, as rows for one horizon, as arrays for any.

A decision at the close of t is filled at t+1, so its return over h sessions runs open[t+1] -> open[t+1+h], or from
close to close. It is the future: labels and the measuring of scores read it, nothing else may.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl

from quant_core import dense
from quant_core.calendar import LAST_DAY, sessions
from quant_core.dense import Cells, Floats
from quant_core.errors import DataError
from quant_core.schema import EQUITY, IS_QUARANTINED

Fill = Literal["open", "close"]


@dataclass(frozen=True, eq=False)
class Growth:
    """Factors by which holdings of N stocks grow over T consecutive sessions.

    Args:
        days: (T,) sessions, from the first row of any stock to the last.
        tickers: (N,) ascending.
        into: (T, N) from the fill to the close of the session of entry; NaN where nothing is filled.
        held: (T, N) over a session held in full; 1 without a return (a halt: the spanning return arrives on
            resumption), NaN where the session is quarantined.
        out: (T, N) from the close before to the fill of the session of exit; NaN where nothing is filled.
        total_return_1d: (T, N) NaN where there is none.
    """

    days: pl.Series
    tickers: pl.Series
    into: Floats
    held: Floats
    out: Floats
    total_return_1d: Floats

    def forward_return(self, horizon: int) -> Floats:
        """(T, N) return of a decision at each close over `horizon` sessions; NaN where it cannot be known.

        into[t+1] out[t+1+h] held[t+2] .. held[t+h] - 1
        """
        known = max(len(self.days) - 1 - horizon, 0)
        growth = self.into[1 : 1 + known] * self.out[len(self.days) - known :]
        for step in range(2, horizon + 1):
            growth *= self.held[step : step + known]
        return self._from_the_first(growth - 1.0)

    def realized_variance(self, horizon: int) -> Floats:
        """(T, N) sum of squared log returns from fill to fill, a halt counting as 0; NaN where it cannot be known.

        ln^2 into[t+1] + ln^2 held[t+2] + .. + ln^2 held[t+h] + ln^2 out[t+1+h]
        """
        known = max(len(self.days) - 1 - horizon, 0)
        held = np.log(self.held) ** 2
        variance = np.log(self.into[1 : 1 + known]) ** 2 + np.log(self.out[len(self.days) - known :]) ** 2
        for step in range(2, horizon + 1):
            variance += held[step : step + known]
        return self._from_the_first(variance)

    def end_dates(self, horizon: int) -> pl.Series:
        """(T,) session of the exit of each session's decision, `label_end_date`; null past the calendar's end."""
        days = pl.Series("label_end_date", sessions(self.days[0], LAST_DAY), dtype=pl.Date)
        return days.shift(-1 - horizon).head(len(self.days))

    def _from_the_first(self, known: Floats) -> Floats:
        """(T, N) that begins with `known` and ends in NaN."""
        whole = np.full(self.into.shape, np.nan)
        whole[: len(known)] = known
        return whole


def forward_returns(prices: pl.DataFrame, horizon: int = 5, fill: Fill = "open") -> pl.DataFrame:
    """Simple total return that a decision at the close of `date` earns from fill to fill.

    Args:
        prices: CleanPrices rows; a session without a row counts as a halt. Indices are left out.
        horizon: sessions held, at least 1.
        fill: "open" for open[t+1] -> open[t+1+h], "close" for close[t+1] -> close[t+1+h].
    Returns:
        rows (date, ticker) with `label_end_date`, the session t+1+h (null past the calendar's end), and
        `forward_return_{h}d`, null past the data's end, where the entry or exit session has no fill, and where a
        session from entry to exit is quarantined. A session without a return in between (halt) counts as 0: the
        spanning return arrives on resumption.
    Raises:
        DataError: no equity row, a row off the NSE calendar or one that repeats.
    """
    check_horizon(horizon, fill)
    rows = _equities(prices).sort("date", "ticker")
    growth, cells = _laid_out(rows, fill)
    end, value = growth.end_dates(horizon).gather(cells.row), cells.at(growth.forward_return(horizon))
    return rows.select("date", "ticker").with_columns(end, value.alias(f"forward_return_{horizon}d"))


def growth_of(prices: pl.DataFrame, fill: Fill = "open") -> Growth:
    """The stocks of `prices` as arrays, for `Growth.forward_return` over many horizons.

    Args:
        prices: CleanPrices rows in any order.
    Raises:
        DataError: as in `forward_returns`.
    """
    return _laid_out(_equities(prices), fill)[0]


def check_horizon(horizon: int, fill: str) -> None:
    """Raise a DataError for a horizon below 1 or an unknown fill."""
    if horizon < 1:
        raise DataError(f"label horizon is {horizon} sessions, wanted at least 1; correct the setting.")
    if fill not in get_args(Fill):
        raise DataError(f"label fill is {fill!r}, wanted one of {get_args(Fill)}; correct the setting.")


def _equities(prices: pl.DataFrame) -> pl.DataFrame:
    rows = prices.filter(pl.col("instrument") == EQUITY)
    if rows.is_empty():
        raise DataError("forward returns: prices hold no equity row; materialize clean_prices for the window.")
    return rows


def _laid_out(rows: pl.DataFrame, fill: Fill) -> tuple[Growth, Cells]:
    first, last = rows["date"].min(), rows["date"].max()
    days = pl.Series(sessions(first, last), dtype=pl.Date)  # type: ignore[arg-type]
    tickers = rows["ticker"].unique().sort()
    cells = dense.cells(rows, days, tickers, "forward returns")
    into, out = ("intraday_return_1d", "overnight_return_1d") if fill == "open" else (None, "total_return_1d")
    tradable, known = pl.col("is_tradable"), pl.lit(True)
    if "flags" in rows.columns:
        known = ~IS_QUARANTINED.fill_null(False)
    factors = rows.select(
        into=pl.when(tradable).then(1.0 + pl.col(into) if into else 1.0),
        held=pl.when(known).then(1.0 + pl.col("total_return_1d").fill_nan(None).fill_null(0.0)),
        out=pl.when(tradable).then(1.0 + pl.col(out)),
    )
    growth = Growth(
        days,
        tickers,
        cells.floats(factors["into"]),
        cells.floats(factors["held"], empty=1.0),
        cells.floats(factors["out"]),
        cells.floats(rows["total_return_1d"]),
    )
    return growth, cells
