"""The dense session panel that features are computed on: N tickers x T sessions, one contiguous row a ticker.

Belongs here: clean prices to panel, panel to long rows, and the one rule for when a trailing window may be used. Does
not belong here: what a feature means (`price.py`) and how it is normalised (`normalize.py`).

Window rule. A window of w sessions ending at t is full when t has a price of its own (not a filled one), at least
ceil(0.9 w) of the window's sessions have a return, and the ticker had a price within the ten sessions before the
window's first session. So each ticker's first w rows are null, one session missing for the whole market (2021-11-04)
does not null a year, and nothing further back than w + 10 sessions is ever read.
"""

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.calendar import session_number, sessions
from quant_core.errors import DataError

FloatPanel = NDArray[np.float64]
BoolPanel = NDArray[np.bool_]

#: Sessions before a window within which its ticker must have had a price.
ANCHOR_REACH_SESSIONS = 10
#: Share of a window's sessions that must have a return, in tenths: integers, so that no rounding decides.
FULL_WINDOW_TENTHS = 9
KEYS = ("date", "ticker", "is_member", "is_filled")


@dataclass(frozen=True)
class Panel:
    """Equities over consecutive sessions.

    Args:
        tickers: N names, sorted.
        first_session: absolute number of column 0 (`quant_core.calendar.session_number`).
        days: (T,) session dates.
        listed: (N, T) a row exists.
        priced: (N, T) a row exists and is not filled.
        member: (N, T) in the universe that day.
        inputs: price columns as (N, T) float64; NaN where absent or filled.
    """

    tickers: pl.Series
    first_session: int
    days: list[date]
    listed: BoolPanel
    priced: BoolPanel
    member: BoolPanel
    inputs: dict[str, FloatPanel]
    _full: dict[int, BoolPanel] = field(default_factory=dict, repr=False)

    @cached_property
    def log_return_1d(self) -> FloatPanel:
        """(N, T) log of one plus the one-day total return; NaN where there is none."""
        from quant_core.features import kernels

        return kernels.log1p_panel(self.inputs["total_return_1d"])

    def full(self, window_sessions: int) -> BoolPanel:
        """(N, T) where a window ending today may be used (see the module's rule)."""
        from quant_core.features import kernels

        if window_sessions not in self._full:
            need = -(-FULL_WINDOW_TENTHS * window_sessions // 10)
            self._full[window_sessions] = kernels.full_windows(
                self.log_return_1d, self.priced, window_sessions, need, ANCHOR_REACH_SESSIONS
            )
        return self._full[window_sessions]


def build_panel(rows: pl.DataFrame, reads: tuple[str, ...]) -> Panel:
    """The panel of `rows`: non-empty CleanPrices rows of equities in any order, each (date, ticker) once.

    Args:
        reads: value columns to lay out beside the keys; each must be numeric.
    Raises:
        DataError: a date that is no session, a repeated row, a return that is not a finite number above -1.
    """
    tickers = rows["ticker"].unique().sort()
    days = sessions(*_bounds(rows))
    ticker = rows["ticker"].cast(pl.Enum(tickers)).to_physical().to_numpy().astype(np.int64)
    cell = ticker * len(days) + _session_index(rows, days)
    shape = (len(tickers), len(days))

    def lay(values: NDArray[Any] | bool, empty: bool | float) -> NDArray[Any]:
        panel = np.full(shape[0] * shape[1], empty)
        panel[cell] = values
        return panel.reshape(shape)

    listed = lay(True, False)
    if int(listed.sum()) != rows.height:
        raise DataError(_repeated(rows))
    filled = rows["is_filled"].fill_null(True).to_numpy()
    inputs = {}
    for name in reads:
        values = np.where(filled, np.nan, rows[name].cast(pl.Float64).to_numpy())
        if name == "total_return_1d":
            _check_returns(rows, values)
        inputs[name] = lay(values, np.nan)
    member = lay(rows["is_member"].fill_null(False).to_numpy(), False)
    return Panel(tickers, session_number(days[0]), days, listed, lay(~filled, False), member, inputs)


def melt_panels(panel: Panel, start: date) -> "Melter":
    """What turns the panel's (N, T) arrays into long columns for sessions from `start` on."""
    begin = int(np.searchsorted(np.array(panel.days, dtype="datetime64[D]"), np.datetime64(start)))
    counts = panel.listed[:, begin:].sum(axis=0, dtype=np.int64)
    first_row = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)[:-1]]) if len(counts) else counts
    return Melter(panel, begin, counts, first_row)


@dataclass(frozen=True)
class Melter:
    """Panel to long rows, sorted by date then ticker; only listed cells.

    Args:
        begin: first session column that is kept.
        counts: listed tickers in each kept session.
        first_row: row of each kept session's first ticker.
    """

    panel: Panel
    begin: int
    counts: NDArray[np.int64]
    first_row: NDArray[np.int64]

    def column(self, name: str, values: FloatPanel | BoolPanel) -> pl.Series:
        """One long column; NaN becomes null."""
        from quant_core.features import kernels

        out = np.empty(int(self.counts.sum()), dtype=values.dtype)
        kernels.melt(values, self.panel.listed, self.begin, self.first_row, out)
        return pl.Series(name, out, nan_to_null=True)

    def keys(self) -> list[pl.Series]:
        """The date and ticker columns."""
        from quant_core.features import kernels

        index = np.broadcast_to(np.arange(len(self.panel.tickers), dtype=np.uint32)[:, None], self.panel.listed.shape)
        rows = np.empty(int(self.counts.sum()), dtype=np.uint32)
        kernels.melt(np.ascontiguousarray(index), self.panel.listed, self.begin, self.first_row, rows)
        days = np.repeat(np.array(self.panel.days[self.begin :], dtype="datetime64[D]"), self.counts)
        return [pl.Series("date", days, dtype=pl.Date), self.panel.tickers.gather(pl.Series(rows)).alias("ticker")]


def _bounds(rows: pl.DataFrame) -> tuple[date, date]:
    first, last = rows["date"].min(), rows["date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        raise DataError(
            f"clean_prices: column date is {rows['date'].dtype}, wanted dates without nulls; fix the table."
        )
    return first, last


def _session_index(rows: pl.DataFrame, days: list[date]) -> NDArray[np.int64]:
    """Column of each row's date, by a table over calendar days."""
    first, last = _bounds(rows)
    table = np.full((last - first).days + 1, -1, dtype=np.int64)
    table[[(day - first).days for day in days]] = np.arange(len(days))
    index: NDArray[np.int64] = table[rows["date"].cast(pl.Int32).to_numpy() - (first - date(1970, 1, 1)).days]
    off = index < 0
    if off.any():
        row = rows.filter(pl.Series(off)).sort("date", "ticker").row(0, named=True)
        raise DataError(
            f"clean_prices: {row['ticker']} has a row on {row['date']}, which is no NSE session "
            f"({int(off.sum())} such rows); drop it in cleaning, or add the session to quant_core/calendar.py."
        )
    return index


def _repeated(rows: pl.DataFrame) -> str:
    row = rows.filter(rows.select("date", "ticker").is_duplicated()).sort("date", "ticker").row(0, named=True)
    return (
        f"clean_prices: {row['ticker']} {row['date']} appears more than once; "
        "wanted one row per (date, ticker); drop duplicates in cleaning."
    )


def _check_returns(rows: pl.DataFrame, returns: FloatPanel) -> None:
    bad = (returns <= -1.0) | np.isinf(returns)
    if bad.any():
        row = rows.filter(pl.Series(bad)).sort("date", "ticker").row(0, named=True)
        raise DataError(
            f"clean_prices: {row['ticker']} {row['date']}: total_return_1d is {row['total_return_1d']}, wanted a "
            "finite fraction above -1; fix the source row or mark it filled."
        )
