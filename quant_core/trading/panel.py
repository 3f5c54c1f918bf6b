"""From clean prices to the market that a ledger trades: dense returns, and what may be bought or sold when.

What a session is open to is judged from that session's own prices, as an exchange would enforce it; traded value and
volatility are trailing and known before the session. What ends a position comes from terminal rows, or from an absence
that lasted.
"""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core import calendar
from quant_core.dense import Flags, Floats
from quant_core.errors import DataError
from quant_core.schema import CASH
from quant_core.trading.absences import delistings, outages
from quant_core.trading.account_config import AccountConfig
from quant_core.trading.decisions import Decisions
from quant_core.trading.grid import TRAILING_SESSIONS, Grid
from quant_core.trading.market import Delistings, Fill, Market
from quant_core.trading.risk_free import cash_return_1d as cash_returns

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
    grid = Grid(rows, days, tickers)
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


def _endings(grid: Grid, outage: Flags, after: int, first: int) -> Delistings:
    """Terminal rows by their terms, and names absent for long at the haircut; rows counted from `first`."""
    rows, columns = delistings(~grid.priced, after, first, ~(outage[:, None] | grid.suspended()))
    terms = grid.terms()
    inside = terms.rows >= first
    lasting = [terms.rows[inside] - first, *(part[inside] for part in terms[1:])]
    unsaid = [rows, columns, np.full(len(rows), np.nan), np.full(len(rows), -1)]
    return Delistings(*(np.concatenate(parts) for parts in zip(lasting, unsaid, strict=True)))


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
    grid = Grid(rows, [*days, following], tickers)
    bits = grid.open_to(grid.values("close_inr"), price_band)[-2]
    is_index = grid.is_index[-2]
    is_open = np.where(is_index, grid.priced[-2], grid.flags(pl.col("is_tradable"))[-2])
    return Closing(
        grid.values("close_inr")[-2], grid.traded_value_inr()[-1], grid.volatility()[-1], bits, is_open,
        grid.flags(pl.col("is_member"))[-2], is_index,
    )  # fmt: skip
