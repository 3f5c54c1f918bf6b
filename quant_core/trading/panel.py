"""From clean prices to the market that a ledger trades: dense returns, and what may be bought or sold when.

What a session is open to is judged from that session's own prices, as an exchange would enforce it; traded value and
volatility are trailing and known before the session. What ends a position comes from terminal rows, or from an absence
that lasted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core import calendar, dense
from quant_core.errors import DataError
from quant_core.schema import CASH, EQUITY, INDEX
from quant_core.trading.account_config import AccountConfig
from quant_core.trading.decisions import Decisions
from quant_core.trading.market import BOTH, BUY, CLOSED, SELL, Delistings, Fill, Market
from quant_core.trading.risk_free import cash_return_1d as cash_returns

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

TRAILING_SESSIONS = 21  # for traded value and volatility
FEWEST_SESSIONS = 5  # with a value, before a trailing volatility counts
ROUNDING = 1e-9  # of a previous close that is worked out from a return
LONGEST_OUTAGE = 5  # sessions in a row on which some stocks have prices and most do not; then it is the new normal
TICK_INR = 0.05  # NSE's tick; a limit price is a whole number of ticks inside the band

COLUMNS = (
    "overnight_return_1d", "intraday_return_1d", "dividend_return_1d", "total_return_1d", "open_inr", "high_inr",
    "low_inr", "close_inr", "volume_shares", "turnover_inr", "is_member", "is_filled", "is_tradable", "instrument",
    "flags", "terminal_factor", "terminal_into",
)  # fmt: skip


@dataclass(frozen=True)
class MarketPanel:
    """The market with its labels: T sessions, N tickers in ascending order."""

    sessions: list[date]
    tickers: pl.Series
    market: Market
    fill_price_inr: Floats  # (T, N) NaN without a price

    def decisions(self, targets: pl.DataFrame) -> Decisions:
        """What a strategy decided, as the ledger reads it.

        Args:
            targets: rows (date, ticker, weight) of one strategy on sessions of the panel; those for cash name nothing,
                a null weight keeps what is held.
        """
        row_of = {day: row for row, day in enumerate(self.sessions)}
        named = targets.filter(pl.col("ticker") != CASH)
        return Decisions.of(
            [row_of[day] for day in targets["date"].unique()],
            named["date"].replace_strict(row_of, return_dtype=pl.Int64).to_numpy(),
            self.tickers.search_sorted(named["ticker"]).to_numpy(),
            named["weight"].fill_null(np.nan).to_numpy(),
        )


def market_panel(prices: pl.DataFrame, tickers: pl.Series, start: date, config: AccountConfig) -> MarketPanel:
    """The market of `tickers` from `start` to the last price, as an account with these settings trades it.

    Args:
        prices: CleanPrices, see `assemble_panel`, which has the rules.
    Raises:
        DataError: as `assemble_panel`; no prices, or none before the table of cash rates begins.
    """
    last = prices["date"].max()
    assert isinstance(last, date)
    return assemble_panel(
        prices, tickers, start,
        cash_return_1d=cash_returns(calendar.sessions(start, last), config.risk_free_rate_ann),
        fill=config.fill, price_band=config.price_band, delisted_after_sessions=config.delisted_after_sessions,
    )  # fmt: skip


def assemble_panel(
    prices: pl.DataFrame,
    tickers: pl.Series,
    start: date,
    cash_return_1d: Floats,
    fill: Fill = "open",
    price_band: float = 0.0,
    delisted_after_sessions: int = 60,
) -> MarketPanel:
    """Dense returns and tradability of `tickers` for every NSE session from `start` to the last price.

    - A session without a row has no return and is closed; so is a carried row, and one without volume. An index is open
      wherever the source gave a row, as it has no volume of its own to prove it, and is limited by nothing.
    - A stock that is no member can be sold, not bought.
    - One price all day above the previous close is a stock locked at its upper band: nobody could buy. Below it, nobody
      could sell. With a `price_band`, a fill price within a tick of it is locked as well.
    - A terminal row ends a position by its terms: at `terminal_factor` times the last value, in cash or in shares of
      `terminal_into`, which joins the panel where no target names it. Without terms a position is paid out after
      `delisted_after_sessions` sessions without a row: by then a holder knows. 0: never. Sessions of an outage do not
      count, nor do those of a name that is `suspended`, until it trades again.
    - An outage is a session on which no stock has a price, or fewer than half as many as in the last session that was
      none; it is judged from all of `prices`.

    Args:
        prices: CleanPrices; rows before `start` feed the trailing averages. Tables without the terminal columns or
            flags know of no terms.
        cash_return_1d: (T,) what cash earns.
    Raises:
        DataError: a ticker without any price, prices on a date that is no session, a row that repeats, or shares
            received of a ticker without a price from then on.
    """
    prices = _with_terms(prices)
    tickers = _with_received(prices, tickers, start)
    rows = prices.filter(pl.col("ticker").is_in(tickers.implode())).select("date", "ticker", *COLUMNS)
    lacking = sorted(set(tickers.to_list()) - set(rows.filter(pl.col("date") >= start)["ticker"].unique().to_list()))
    if lacking:
        raise DataError(
            f"backtest: targets hold {lacking[:5]} ({len(lacking)} tickers) that prices from {start} do not have."
        )
    first, last = rows["date"].min(), prices["date"].max()
    assert isinstance(first, date) and isinstance(last, date)  # noqa: PT018 - for the type checker
    days = calendar.sessions(first, last)
    grid = _Grid(rows, days, tickers)
    kept = slice(days.index(start), None)
    out = outages(prices, days)
    fills = grid.fill_price_inr(fill)
    market = Market(
        overnight_return=grid.values("overnight_return_1d")[kept],
        intraday_return=grid.values("intraday_return_1d")[kept],
        open_to=grid.open_to(fills, price_band)[kept],
        cash_return_1d=cash_return_1d,
        dividend_return=grid.values("dividend_return_1d")[kept],
        vwap_return=(fills / grid.values("open_inr") - 1.0)[kept] if fill == "vwap" else np.empty((0, 0)),
        traded_value_inr=grid.traded_value_inr()[kept],
        volatility_1d=grid.volatility()[kept],
        open_inr=grid.values("open_inr")[kept],
        delistings=_endings(grid, out, delisted_after_sessions, kept.start),
        outage=out[kept],
    )
    return MarketPanel(days[kept], tickers, market, fills[kept])


def _with_terms(prices: pl.DataFrame) -> pl.DataFrame:
    """`prices` with flags and the terminal columns, empty where the table has none."""
    missing = {
        "flags": pl.lit(""), "terminal_factor": pl.lit(None, pl.Float64), "terminal_into": pl.lit(None, pl.String),
    }  # fmt: skip
    return prices.with_columns(value.alias(name) for name, value in missing.items() if name not in prices.columns)


def _with_received(prices: pl.DataFrame, tickers: pl.Series, start: date) -> pl.Series:
    """`tickers` and every name whose shares their holders may receive from `start` on, ascending."""
    heirs = prices.filter(pl.col("terminal_into").is_not_null(), pl.col("date") >= start)
    while True:
        known = pl.col("ticker").is_in(tickers.implode())
        new = heirs.filter(known, ~pl.col("terminal_into").is_in(tickers.implode()))
        if new.is_empty():
            return tickers.sort()
        first = new.sort("date", "ticker").row(0, named=True)
        into, day = pl.col("ticker") == first["terminal_into"], pl.col("date") >= first["date"]
        if prices.filter(into, day).is_empty():
            raise DataError(
                f"backtest: holders of {first['ticker']} receive shares of {first['terminal_into']} on "
                f"{first['date']}, which has no price from then on; load its prices, or make the action a cash_out."
            )
        tickers = pl.concat([tickers, pl.Series(tickers.name, [first["terminal_into"]], dtype=pl.String)])


class _Grid:
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


def outages(prices: pl.DataFrame, days: Sequence[date]) -> Flags:
    """(T,) sessions of `days` on which the market as a whole has no prices.

    Those on which no stock has a price, or fewer than half as many as in the last session that was no outage; the
    latter for LONGEST_OUTAGE sessions in a row at most. Where only one stock has prices there is no market to judge by.

    Args:
        prices: CleanPrices of every name there is.
        days: consecutive sessions; those of `prices` before them are the past that the first ones are judged by.
    """
    counts = prices.filter(pl.col("instrument") == EQUITY, ~pl.col("is_filled")).group_by("date").len()
    n_priced = dict(counts.iter_rows())
    first = min([days[0], *n_priced])
    found, usual, run = {}, 0, 0
    for day in calendar.sessions(first, days[-1]):
        n = n_priced.get(day, 0)
        found[day] = usual > 1 and (n == 0 or (2 * n < usual and run < LONGEST_OUTAGE))
        usual, run = (usual, run + 1) if found[day] else (n, 0)
    return np.array([found[day] for day in days], dtype=np.bool_)


def _endings(grid: _Grid, outage: Flags, after: int, first: int) -> Delistings:
    """Terminal rows by their terms, and names absent for long at the haircut; rows counted from `first`."""
    rows, columns = delistings(~grid.priced, after, first, ~(outage[:, None] | grid.suspended()))
    terms = grid.terms()
    inside = terms.rows >= first
    lasting = [terms.rows[inside] - first, *(part[inside] for part in terms[1:])]
    unsaid = [rows, columns, np.full(len(rows), np.nan), np.full(len(rows), -1)]
    return Delistings(*(np.concatenate(parts) for parts in zip(lasting, unsaid, strict=True)))


def delistings(
    absent: Flags, after: int, first: int, counted: Flags | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows counted from `first`, columns) of the sessions on which a name has been without a price for `after` rows.

    Args:
        absent: (T, N) no price in the session; a name before its first price is not delisted.
        counted: (T, N) sessions that count; by default all.
    """
    if after < 1:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    listed = np.cumsum(~absent, axis=0) > 0
    counts = absent & listed if counted is None else absent & listed & counted
    run, events = np.zeros(absent.shape[1], np.int64), []
    for t in range(absent.shape[0]):
        run = np.where(absent[t], run + counts[t], 0)
        columns = np.flatnonzero(counts[t] & (run == after))
        if t >= first:
            events += [(t - first, column) for column in columns]
    rows, names = zip(*events, strict=True) if events else ((), ())
    return np.array(rows, dtype=np.int64), np.array(names, dtype=np.int64)


class Closing(NamedTuple):
    """N names after the close of a session, as an order for the next one knows them."""

    close_inr: Floats  # (N,) the carried one of a name without a price that day; NaN for one without a row
    traded_value_inr: Floats  # (N,) as the next session's row of `Market` has it: this session is in the mean
    volatility_1d: Floats  # (N,)
    can: NDArray[np.uint8]  # (N,) bits BUY and SELL that the session was open to
    is_open: Flags  # (N,) traded at all that day
    is_member: Flags  # (N,)
    is_index: Flags  # (N,)


def closing(prices: pl.DataFrame, tickers: pl.Series, day: date, price_band: float = 0.0) -> Closing:
    """What is known of `tickers` after the close of `day`.

    Args:
        prices: CleanPrices, of which three times TRAILING_SESSIONS up to `day` count; a ticker may lack rows.
        tickers: ascending.
        price_band: as in `assemble_panel`.
    """
    known = _with_terms(prices).filter(pl.col("ticker").is_in(tickers.implode()), pl.col("date") <= day)
    # Three windows: a name that was halted at the first one's begin is listed all the same, as for a whole history.
    days = calendar.sessions(calendar.sessions_before(day, 3 * TRAILING_SESSIONS), day)
    rows = known.filter(pl.col("date") >= days[0]).select("date", "ticker", *COLUMNS)
    # A row for the session that follows, in which nothing is known yet, looks back on this one.
    following = calendar.next_session(day)
    grid = _Grid(rows, [*days, following], tickers)
    bits = grid.open_to(grid.values("close_inr"), price_band)[-2]
    is_index = grid.is_index[-2]
    is_open = np.where(is_index, grid.priced[-2], grid.flags(pl.col("is_tradable"))[-2])
    return Closing(
        grid.values("close_inr")[-2], grid.traded_value_inr()[-1], grid.volatility()[-1], bits, is_open,
        grid.flags(pl.col("is_member"))[-2], is_index,
    )  # fmt: skip
