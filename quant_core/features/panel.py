"""The dense session panel that features are computed on: N tickers x T sessions, one contiguous row a ticker.

Belongs here: clean prices to panel, the market index beside it, and the one rule for when a trailing window may be
used. Does not belong here: what a feature means (`price.py` and its neighbours), how it is normalised (`normalize.py`)
and the way back to long rows (`melt.py`).

Window rule. A window of w sessions ending at t is full when t has a price of its own (not a filled one), at least
ceil(0.9 w) of the window's sessions have a value, and the ticker had a price within the ten sessions before the
window's first session. So each ticker's first w rows are null and nothing further back than w + 10 sessions is ever
read. A session that the data lost for the whole market (2021-11-04) is held against nobody: it counts as having a
value, and the return of the next session spans it, so that a five-day return just after it is the five-day return. A
quarantined row (a move that may be a corporate action) makes every window that holds it unusable. The market index
follows the same rule: a session without an index row is a missing value.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.calendar import session_number, sessions
from quant_core.errors import DataError
from quant_core.features.shapes import BoolPanel, FloatPanel
from quant_core.schema import IS_QUARANTINED

#: Sessions before a window within which its ticker must have had a price.
ANCHOR_REACH_SESSIONS = 10
#: With fewer names a session without prices cannot be told from their own halts.
FEWEST_NAMES = 5
#: Share of a window's sessions that must have a value, in tenths: integers, so that no rounding decides.
FULL_WINDOW_TENTHS = 9
#: Long rows that are laid out together: their columns take a few megabytes.
ROWS_AT_ONCE = 1 << 17
KEYS = ("date", "ticker", "is_member", "is_filled")
FLAGS = "flags"
RETURN = "total_return_1d"


def needed(window_sessions: int) -> int:
    """Values that a full window must have: nine tenths of its sessions, rounded up."""
    return -(-FULL_WINDOW_TENTHS * window_sessions // 10)


@dataclass(frozen=True)
class Panel:
    """Equities over consecutive sessions, and the market index over the same sessions.

    Args:
        tickers: N names, sorted.
        first_session: absolute number of column 0 (`quant_core.calendar.session_number`).
        days: (T,) session dates.
        listed: (N, T) a row exists.
        priced: (N, T) a row exists and is not filled.
        lost: (T,) the data have no price of anything, although names traded just before.
        broken: (N, T) the row is quarantined.
        member: (N, T) in the universe that day.
        eligible: (N, T) member with enough history and few enough gaps as of that day.
        inputs: the columns that features read, as (N, T) float64; NaN where absent or filled.
        log_return_1d: (N, T) log of one plus the one-day total return; NaN where there is none.
        index_log_return_1d: (1, T) the same of the market index.
        index_priced: (1, T) the index has a row that is not filled.
        sector: (N,) sector number, -1 for a ticker whose sector is unknown.
    """

    tickers: pl.Series
    first_session: int
    days: list[date]
    listed: BoolPanel
    priced: BoolPanel
    lost: NDArray[np.bool_]
    broken: BoolPanel
    member: BoolPanel
    eligible: BoolPanel
    inputs: dict[str, FloatPanel]
    log_return_1d: FloatPanel
    index_log_return_1d: FloatPanel
    index_priced: BoolPanel
    sector: NDArray[np.int64]
    _kept: dict[tuple[str, int], NDArray[Any]] = field(default_factory=dict, repr=False)

    def keep(self, what: str, window_sessions: int, make: Callable[[], NDArray[Any]]) -> Any:
        """The array `make()`, made once for this panel because several features start from it; never write to it."""
        key = (what, window_sessions)
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def forget_below(self, window_sessions: int) -> None:
        """Let go of what was kept for windows from 2 sessions up to the one before; it is made again when needed."""
        for key in [key for key in self._kept if 1 < key[1] < window_sessions]:
            del self._kept[key]

    def full_of(self, values: FloatPanel, window_sessions: int) -> BoolPanel:
        """(N, T) where a window of `values` ending today may be used (see the module's rule)."""
        from quant_core.features import kernels

        need, given = needed(window_sessions), self.lost_given(values)
        full = kernels.full_windows(given, self.priced, window_sessions, need, ANCHOR_REACH_SESSIONS)
        return full & ~self._breaks(window_sessions) if self.broken.any() else full

    def full_before_of(self, values: FloatPanel, window_sessions: int) -> BoolPanel:
        """The same for the window that ends yesterday; today needs a price."""
        from quant_core.features import kernels

        need, given = needed(window_sessions), self.lost_given(values)
        full = kernels.full_windows_before(given, self.priced, window_sessions, need, ANCHOR_REACH_SESSIONS)
        return full & ~self._breaks(window_sessions + 1) if self.broken.any() else full

    def lost_given(self, values: FloatPanel) -> FloatPanel:
        """`values` with something in the sessions that the whole market lost, for counting what is missing."""
        return np.where(self.lost, 0.0, values) if self.lost.any() else values

    def _breaks(self, window_sessions: int) -> BoolPanel:
        """(N, T) where the window ending today holds a quarantined row."""
        from quant_core.features import kernels

        make = partial(kernels.any_in_window, self.broken, window_sessions)
        return cast("BoolPanel", self.keep("breaks", window_sessions, make))

    def full(self, window_sessions: int) -> BoolPanel:
        """(N, T) where a window of one-day returns ending today may be used."""
        mask = self.keep("full", window_sessions, lambda: self.full_of(self.log_return_1d, window_sessions))
        return cast("BoolPanel", mask)

    def log_return(self, window_sessions: int) -> FloatPanel:
        """(N, T) sum of the window's daily log total returns; shared by several features, so never write to it."""
        from quant_core.features import kernels

        def make() -> FloatPanel:
            full = self.full(window_sessions)
            return kernels.window_sum(self.log_return_1d, window_sessions, self.first_session, full)

        return cast("FloatPanel", self.keep("log_return", window_sessions, make))

    def some(self, begin: int, end: int) -> "Panel":
        """The same sessions for tickers begin..end-1; arrays are views."""
        rows = slice(begin, end)
        return replace(
            self,
            tickers=self.tickers[begin:end],
            listed=self.listed[rows],
            priced=self.priced[rows],
            broken=self.broken[rows],
            member=self.member[rows],
            eligible=self.eligible[rows],
            inputs={name: values[rows] for name, values in self.inputs.items()},
            log_return_1d=self.log_return_1d[rows],
            sector=self.sector[rows],
            _kept={},
        )


def build_panel(
    rows: pl.DataFrame,
    reads: tuple[str, ...] = (),
    *,
    index: pl.DataFrame | None = None,
    sectors: pl.DataFrame | None = None,
    min_history_sessions: int = 252,
    max_missing_share: float = 0.20,
) -> Panel:
    """The panel of `rows`: non-empty CleanPrices rows of equities in any order, each (date, ticker) once.

    Args:
        reads: value columns to keep in `inputs`; each must be numeric.
        index: the market index's rows; days outside those of `rows` are not read. None for no index.
        sectors: columns ticker, sector; None for no sectors.
        min_history_sessions, max_missing_share: who is eligible, see `FeatureConfig`.
    Raises:
        DataError: a date that is no session, a repeated row, a return that is not a finite number above -1, a ticker
            with two sectors.
    """
    from quant_core.features import day_kernels, kernels

    tickers = rows["ticker"].unique().sort()
    days = sessions(*_bounds(rows))
    layout = _lay_out(rows, tickers, days, tuple(dict.fromkeys((RETURN, *reads))))
    steps = layout.inputs[RETURN].copy() if RETURN in reads else layout.inputs.pop(RETURN)
    kernels.to_log1p(steps)
    index_return, index_priced = _index_series(index, days)
    history = min_history_sessions
    need = math.ceil(round(history * (1.0 - max_missing_share), 9))
    who = day_kernels.eligible(layout.listed, layout.priced, layout.member, history, need, ANCHOR_REACH_SESSIONS)
    return Panel(
        tickers=tickers,
        first_session=session_number(days[0]),
        days=days,
        listed=layout.listed,
        priced=layout.priced,
        lost=_lost_sessions(layout.priced),
        broken=layout.broken,
        member=layout.member,
        eligible=who,
        inputs=layout.inputs,
        log_return_1d=steps,
        index_log_return_1d=kernels.log1p_panel(index_return),
        index_priced=index_priced,
        sector=_sector_numbers(tickers, sectors),
    )


def _lost_sessions(priced: BoolPanel) -> NDArray[np.bool_]:
    """(T,) where nothing has a price although FEWEST_NAMES had one within the sessions before.

    Fewer names make no market: a session without any of them may be their own halt.
    """
    from quant_core.features import kernels

    recently = kernels.any_in_window(priced, ANCHOR_REACH_SESSIONS + 1).sum(axis=0)
    return np.asarray(~priced.any(axis=0) & (recently >= FEWEST_NAMES))


@dataclass(frozen=True)
class _Layout:
    listed: BoolPanel
    priced: BoolPanel
    broken: BoolPanel
    member: BoolPanel
    inputs: dict[str, FloatPanel]


def _lay_out(rows: pl.DataFrame, tickers: pl.Series, days: list[date], reads: tuple[str, ...]) -> _Layout:
    """Long rows to (N, T) arrays, some rows at a time: columns on the way would take more room than the panel."""
    from quant_core.features import day_kernels

    _check_dates(rows, days)
    _check_returns(rows)
    shape = (len(tickers), len(days))
    flags = {name: np.zeros(shape, dtype=np.bool_) for name in ("listed", "priced", "broken", "member")}
    inputs = {name: np.full(shape, np.nan) for name in reads}
    names, column_of_day = pl.Enum(tickers), _column_of_day(days)
    for some in rows.iter_slices(ROWS_AT_ONCE):
        ticker = some["ticker"].cast(names).to_physical().to_numpy().astype(np.uint32, copy=False)
        session = column_of_day[some["date"].cast(pl.Int32).to_numpy() - _day_number(days[0])]
        truths = {name: truth.to_numpy() for name, truth in _truths(some).to_dict().items()}
        for name, panel in flags.items():
            day_kernels.scatter(truths[name], truths[name], ticker, session, panel)
        for name, values in inputs.items():
            column = np.ascontiguousarray(some[name].cast(pl.Float64).to_numpy())
            day_kernels.scatter(column, truths["priced"], ticker, session, values)
    if int(np.count_nonzero(flags["listed"])) != rows.height:
        raise DataError(_repeated(rows))
    return _Layout(**flags, inputs=inputs)


def _truths(rows: pl.DataFrame) -> pl.DataFrame:
    """What is true of each row, named as in `Panel`."""
    return rows.select(
        listed=pl.lit(True),
        priced=~pl.col("is_filled").fill_null(True),
        broken=IS_QUARANTINED.fill_null(False) if FLAGS in rows.columns else pl.lit(False),
        member=pl.col("is_member").fill_null(False),
    )


def _index_series(index: pl.DataFrame | None, days: list[date]) -> tuple[FloatPanel, BoolPanel]:
    """(1, T) one-day returns of the index and where it has a row of its own."""
    inside = None if index is None else index.filter(pl.col("date").is_between(days[0], days[-1]))
    if inside is None or inside.is_empty():
        return np.full((1, len(days)), np.nan), np.zeros((1, len(days)), dtype=np.bool_)
    layout = _lay_out(inside, inside["ticker"].unique(), days, (RETURN,))
    return layout.inputs[RETURN], layout.priced


def _sector_numbers(tickers: pl.Series, sectors: pl.DataFrame | None) -> NDArray[np.int64]:
    if sectors is None:
        return np.full(len(tickers), -1, dtype=np.int64)
    known = sectors.select("ticker", "sector").drop_nulls().unique()
    twice = known.filter(known["ticker"].is_duplicated()).sort("ticker", "sector")
    if twice.height:
        names = twice.filter(pl.col("ticker") == twice["ticker"][0])["sector"].to_list()
        raise DataError(f"sectors: {twice['ticker'][0]} is in {names}; wanted one sector a ticker.")
    numbers = known.with_columns(number=pl.col("sector").rank("dense").cast(pl.Int64))
    joined = tickers.alias("ticker").to_frame().join(numbers, on="ticker", how="left", maintain_order="left")
    return joined["number"].fill_null(-1).to_numpy().astype(np.int64)


def _bounds(rows: pl.DataFrame) -> tuple[date, date]:
    first, last = rows["date"].min(), rows["date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        raise DataError(
            f"clean_prices: column date is {rows['date'].dtype}, wanted dates without nulls; fix the table."
        )
    return first, last


def _day_number(day: date) -> int:
    """Days since 1970, as polars counts them."""
    return (day - date(1970, 1, 1)).days


def _column_of_day(days: list[date]) -> NDArray[np.uint32]:
    """Panel column of each calendar day from the first session to the last; 0 for days without a session."""
    table = np.zeros((days[-1] - days[0]).days + 1, dtype=np.uint32)
    table[[(day - days[0]).days for day in days]] = np.arange(len(days))
    return table


def _check_dates(rows: pl.DataFrame, days: list[date]) -> None:
    strays = set(rows["date"].unique()) - set(days)
    if strays:
        off = rows.filter(pl.col("date").is_in(list(strays))).sort("date", "ticker")
        raise DataError(
            f"clean_prices: {off['ticker'][0]} has a row on {off['date'][0]}, which is no NSE session "
            f"({off.height} such rows); drop it in cleaning, or add the session to quant_core/calendar.py."
        )


def _repeated(rows: pl.DataFrame) -> str:
    row = rows.filter(rows.select("date", "ticker").is_duplicated()).sort("date", "ticker").row(0, named=True)
    return (
        f"clean_prices: {row['ticker']} {row['date']} appears more than once; "
        "wanted one row per (date, ticker); drop duplicates in cleaning."
    )


def _check_returns(rows: pl.DataFrame) -> None:
    returns = pl.col(RETURN).cast(pl.Float64)
    bad = rows.filter(~pl.col("is_filled").fill_null(True), (returns <= -1.0) | returns.is_infinite())
    if bad.height:
        row = bad.sort("date", "ticker").row(0, named=True)
        raise DataError(
            f"clean_prices: {row['ticker']} {row['date']}: total_return_1d is {row['total_return_1d']}, wanted a "
            "finite fraction above -1; fix the source row or mark it filled."
        )
