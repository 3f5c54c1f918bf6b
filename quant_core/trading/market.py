"""What a ledger needs to know of the market: one dense panel, checked once, shared by every strategy that trades it.

It knows arrays only. Which tables they came from, and what may be traded when, is decided by the caller
(`panel`). Prices enter for whole shares only; holdings drift with simple returns, so splits are in.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant_core.dense import Floats, Integers
from quant_core.errors import DataError
from quant_core.trading.arrays import MarketArrays

Fill = Literal["open", "close", "vwap"]
Dividends = Literal["reinvest", "cash"]
FILLS: tuple[Fill, ...] = get_args(Fill)


#: Bits of `open_to`: what an order in a name can do in a session.
CLOSED, BUY, SELL = 0, 1, 2
BOTH = BUY | SELL


class Delistings(NamedTuple):
    """What ends a position: E events, by session; in a session, names that receive others' shares come last."""

    rows: Integers  # (E,) session
    columns: Integers  # (E,) name
    factor: Floats  # (E,) what a holder gets over the last value; NaN where nobody said: the rules' haircut applies
    into: Integers  # (E,) column whose shares are received at the session's open; -1 for cash


def _nothing() -> Floats:
    return np.empty((0, 0))


def _no_delistings() -> Delistings:
    nothing = np.empty(0, np.int64)
    return Delistings(nothing, nothing, np.empty(0), nothing)


@dataclass(frozen=True, eq=False)
class Market:
    """T sessions of N names; a NaN return is a session without a price, and the spanning return arrives later.

    Args:
        overnight_return: (T, N) simple return from the previous close to the open, dividends included.
        intraday_return: (T, N) simple return from the open to the close.
        open_to: (T, N) bits BUY and SELL: a halted name is CLOSED, one locked at its upper band can only be sold, one
            that is no member can only be sold. A boolean array stands for BOTH and CLOSED.
        cash_return_1d: what cash earns since the session before, one number or (T,); the first is not used.
        dividend_return: (T, N) the part of the overnight return that was paid out; for dividends="cash".
        vwap_return: (T, N) from the open to the session's average price; for fill="vwap". NaN fills at the open.
        traded_value_inr: (T, N) average daily traded value known before the session; for participation and impact.
            NaN counts as unknown: no fill under a participation cap, no impact; infinite is no limit.
        volatility_1d: (T, N) daily volatility known before the session; for impact.
        open_inr: (T, N) price of a share at the open; for whole shares and share targets.
        delistings: the events that end a position, see `Delistings`; (rows, columns) alone for events without terms.
        outage: (T,) sessions on which the market as a whole has no prices: no decision falls due.
    Raises:
        DataError: shapes that differ; a return of -1 or less or infinite; a negative dividend, value or volatility; a
            dividend of a session without an overnight return, or larger than what the name was worth; a delisting
            outside the panel, with a negative factor, into itself or at the haircut into another name.
    """

    overnight_return: Floats
    intraday_return: Floats
    open_to: NDArray[np.uint8]
    cash_return_1d: Floats = field(default_factory=lambda: np.zeros(1))
    dividend_return: Floats = field(default_factory=_nothing)
    vwap_return: Floats = field(default_factory=_nothing)
    traded_value_inr: Floats = field(default_factory=_nothing)
    volatility_1d: Floats = field(default_factory=_nothing)
    open_inr: Floats = field(default_factory=_nothing)
    delistings: Delistings = field(default_factory=_no_delistings)
    outage: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    _legs: dict[tuple[Fill, Dividends], tuple[Floats, Floats]] = field(default_factory=dict, init=False, repr=False)
    _arrays: dict[tuple[Fill, Dividends, bool], MarketArrays] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._set("overnight_return", _floats(self.overnight_return))
        shape = self.overnight_return.shape
        if len(shape) != 2 or shape[0] == 0:
            raise DataError(f"ledger: overnight_return has shape {shape}; wanted (sessions, names).")
        for name in ("intraday_return", "dividend_return", "vwap_return", "traded_value_inr", "volatility_1d"):
            self._set(name, _floats(getattr(self, name)))
        self._set("open_inr", _floats(self.open_inr))
        self._set("open_to", _bits(self.open_to))
        wrong = {name: a.shape for name, a in self._panels().items() if a.shape != shape}
        if wrong:
            raise DataError(f"ledger: {wrong} beside overnight_return {shape}; wanted one shape (sessions, names).")
        for name in ("overnight_return", "intraday_return", "vwap_return"):
            _check_returns(getattr(self, name), name)
        for name in ("dividend_return", "traded_value_inr", "volatility_1d", "open_inr"):
            _check_not_negative(getattr(self, name), name)
        if self.dividend_return.size:
            _check_dividends(self.overnight_return, self.dividend_return)
        self._set("cash_return_1d", _cash_returns(self.cash_return_1d, shape[0]))
        self._set("delistings", _events(self.delistings, shape))
        outage = np.asarray(self.outage, dtype=np.bool_)
        if outage.size and outage.shape != (shape[0],):
            raise DataError(f"ledger: outage has shape {outage.shape}; wanted ({shape[0]},), one flag a session.")
        self._set("outage", outage if outage.size else np.zeros(shape[0], np.bool_))

    @property
    def n_sessions(self) -> int:
        return self.overnight_return.shape[0]

    @property
    def n_names(self) -> int:
        return self.overnight_return.shape[1]

    def legs(self, fill: Fill, dividends: Dividends) -> tuple[Floats, Floats]:
        """(T, N) returns from the previous close to the fill and from the fill to the close; the second may be empty.

        With dividends="cash" they are price returns: what was paid out is not in them. Made once for all books.
        """
        if (fill, dividends) not in self._legs:
            self._legs[fill, dividends] = self._make_legs(fill, dividends)
        return self._legs[fill, dividends]

    def _make_legs(self, fill: Fill, dividends: Dividends) -> tuple[Floats, Floats]:
        before = self.overnight_return
        if dividends == "cash":
            self.need("dividend_return", "dividends='cash'")
            before = before - np.nan_to_num(self.dividend_return)
        if fill == "open":
            return before, self.intraday_return
        before, intraday = np.nan_to_num(before), np.nan_to_num(self.intraday_return)
        if fill == "close":
            return (1.0 + before) * (1.0 + intraday) - 1.0, _nothing()
        self.need("vwap_return", "fill='vwap'")
        to_fill = np.nan_to_num(self.vwap_return)
        return (1.0 + before) * (1.0 + to_fill) - 1.0, (1.0 + intraday) / (1.0 + to_fill) - 1.0

    def due_sessions(self, rows: Integers, delay: int) -> Integers:
        """(D,) session in which a decision at the close of each of `rows` falls due; T for one that never does.

        That is `delay` sessions later, or the next session that is no outage.
        """
        earliest = np.asarray(rows, dtype=np.int64) + delay
        if not self.outage.any():
            return np.minimum(earliest, self.n_sessions)
        usable = np.flatnonzero(~self.outage)
        return np.append(usable, self.n_sessions)[np.searchsorted(usable, earliest)]

    def fill_price_inr(self, fill: Fill) -> Floats:
        """(T, N) rupees a share at the fill, NaN where there was no price; empty for a market without prices."""
        if not self.open_inr.size or fill == "open":
            return self.open_inr
        move = self.intraday_return if fill == "close" else self.vwap_return
        return np.asarray(self.open_inr * (1.0 + np.nan_to_num(move)))

    def arrays(self, fill: Fill, dividends: Dividends, whole_shares: bool) -> MarketArrays:
        """The market as the day loop reads it under these rules. Made once for all books."""
        key = (fill, dividends, whole_shares)
        if key not in self._arrays:
            self._arrays[key] = self._make_arrays(*key)
        return self._arrays[key]

    def _make_arrays(self, fill: Fill, dividends: Dividends, whole_shares: bool) -> MarketArrays:
        before, after = self.legs(fill, dividends)
        rows, columns, factor, into = self.delistings
        return MarketArrays(
            before=before,
            after=after,
            dividend=self.dividend_return if dividends == "cash" else _nothing(),
            open_to=self.open_to,
            cash_return=self.cash_return_1d,
            traded_value=self.traded_value_inr,
            volatility=self.volatility_1d,
            price=self.fill_price_inr(fill) if whole_shares else _nothing(),
            delisted_start=np.searchsorted(rows, np.arange(self.n_sessions + 1)).astype(np.int64),
            delisted_name=columns.view(np.uint64),
            delisted_factor=factor,
            delisted_into=into,
            delisted_growth=self._received_growth(fill, before),
        )

    def _received_growth(self, fill: Fill, before: Floats) -> Floats:
        """(E,) growth of the name received, open to fill, over its drift from the close before to the fill."""
        rows, _, _, into = self.delistings
        to_fill = np.zeros(len(rows))
        if fill != "open":
            to_fill = (self.intraday_return if fill == "close" else self.vwap_return)[rows, into]
        grown = (1.0 + np.nan_to_num(to_fill)) / (1.0 + np.nan_to_num(before[rows, into]))
        return np.where(into < 0, 1.0, grown)

    def need(self, name: str, purpose: str) -> None:
        """Raise a DataError unless the optional panel `name` was given."""
        if not getattr(self, name).size:
            raise DataError(f"ledger: {purpose} needs the market's {name}; give it, or choose another rule.")

    def _panels(self) -> dict[str, NDArray[Any]]:
        """The panels that are given; the two returns and `open_to` always are."""
        always: dict[str, NDArray[Any]] = {"intraday_return": self.intraday_return, "open_to": self.open_to}
        names = ("dividend_return", "vwap_return", "traded_value_inr", "volatility_1d", "open_inr")
        return always | {name: getattr(self, name) for name in names if getattr(self, name).size}

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def _floats(values: ArrayLike) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)


def _bits(values: ArrayLike) -> NDArray[np.uint8]:
    array = np.asarray(values)
    if array.dtype == np.bool_:
        array = np.where(array, BOTH, CLOSED)
    if array.size and not 0 <= int(array.min()) <= int(array.max()) <= BOTH:
        raise DataError(f"ledger: open_to runs from {array.min()} to {array.max()}; wanted bits, BUY | SELL at most.")
    return np.ascontiguousarray(array, dtype=np.uint8)


def _check_returns(panel: Floats, name: str) -> None:
    if _count_outside(panel.ravel(), -1.0):
        row, column = np.argwhere((panel <= -1.0) | np.isposinf(panel))[0]
        raise DataError(
            f"ledger: {name} row {row} column {column} is {panel[row, column]}; "
            "wanted a finite number above -1, or NaN."
        )


def _check_not_negative(panel: Floats, name: str) -> None:
    bad = (panel < 0.0) | (np.isinf(panel) & (name != "traded_value_inr"))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"ledger: {name} row {row} column {column} is {panel[row, column]}; wanted a finite number >= 0, or NaN."
        )


def _check_dividends(overnight: Floats, dividend: Floats) -> None:
    bad = (dividend > 0.0) & ~(1.0 + overnight > dividend)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"ledger: dividend_return row {row} column {column} is {dividend[row, column]} beside an overnight_return "
            f"of {overnight[row, column]}; wanted a part of what the name was worth, in a session with a price."
        )


def _cash_returns(cash_return_1d: ArrayLike, n_sessions: int) -> Floats:
    rate = np.asarray(cash_return_1d, dtype=np.float64)
    if rate.size != 1 and rate.shape != (n_sessions,):
        raise DataError(f"ledger: cash_return_1d has shape {rate.shape}; wanted one number or ({n_sessions},).")
    bad = np.flatnonzero(~(np.isfinite(rate) & (rate > -1.0)))
    if len(bad):
        raise DataError(
            f"ledger: cash_return_1d row {bad[0]} is {rate.ravel()[bad[0]]}; wanted a finite number above -1."
        )
    return np.broadcast_to(rate.ravel(), (n_sessions,)).copy()  # a view could not be written to, which is another type


def _events(delistings: tuple[ArrayLike, ...], shape: tuple[int, ...]) -> Delistings:
    rows, columns = (np.asarray(part, dtype=np.int64) for part in delistings[:2])
    given = delistings[2:] if len(delistings) == 4 else (np.full(len(rows), np.nan), np.full(len(rows), -1))
    events = Delistings(rows, columns, np.asarray(given[0], np.float64), np.asarray(given[1], np.int64))
    if rows.ndim != 1 or any(part.shape != rows.shape for part in events):
        raise DataError(
            f"ledger: delistings have shapes {' and '.join(str(np.shape(part)) for part in delistings)}; "
            "wanted a row and a column each, or these with a factor and a column received."
        )
    outside = (rows < 0) | (rows >= shape[0]) | (columns < 0) | (columns >= shape[1]) | (events.into >= shape[1])
    terms = (events.factor < 0.0) | np.isinf(events.factor) | (events.into == columns)
    terms |= (events.into >= 0) & np.isnan(events.factor)
    for bad, what in ((outside, f"lies outside the panel; it is {shape}"), (terms, "has terms that cannot be")):
        if bad.any():
            k = int(np.argmax(bad))
            raise DataError(
                f"ledger: the delisting in row {rows[k]} column {columns[k]} {what} (factor {events.factor[k]}, into "
                f"column {events.into[k]}); wanted a factor >= 0, and one wherever another name is received."
            )
    receives = {(int(row), int(into)) for row, into in zip(rows, events.into, strict=True)}
    late = np.array([(int(row), int(name)) in receives for row, name in zip(rows, columns, strict=True)], np.bool_)
    order = np.lexsort((late, rows))
    return Delistings(rows[order], columns[order], events.factor[order], events.into[order])


@numba.njit(cache=True, fastmath={"reassoc"})
def _count_outside(values, low):  # type: ignore[no-untyped-def]
    bad = 0.0  # a float sum over an index is what the compiler turns into vector instructions
    for i in range(values.size):
        bad += 1.0 if values[i] <= low else 0.0
        bad += 1.0 if values[i] == np.inf else 0.0
    return bad
