"""A ledger's arrays as the tables that leave the backtest."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_core.schema import BUY, DELISTING, DIVIDEND, SELL
from quant_core.trading import arrays as accounts
from quant_core.trading.ledger import Ledger
from quant_core.trading.panel import MarketPanel

SIDES = pl.Series([BUY, SELL, DELISTING, DIVIDEND])


def daily_table(name: str, sessions: Sequence[date], book: Ledger) -> pl.DataFrame:
    """BacktestDaily of one strategy."""
    return pl.DataFrame(
        {
            "date": pl.Series(sessions, dtype=pl.Date),
            "strategy": [name] * len(sessions),
            "equity_inr": book.equity,
            "cash_inr": book.cash,
            "simple_return_1d": book.simple_return,
            "turnover_1d": book.turnover,
            "cost_inr": book.cost,
            "interest_inr": book.interest,
            "dividend_inr": book.dividend,
            "n_holdings": np.diff(book.holdings.start).astype(np.int32),
            "n_fills": book.n_fills.astype(np.int32),
            "n_unfilled": book.n_unfilled.astype(np.int32),
        }
    )


def positions_table(name: str, sessions: Sequence[date], tickers: pl.Series, book: Ledger) -> pl.DataFrame:
    """BacktestPositions of one strategy."""
    row = np.repeat(np.arange(len(sessions)), np.diff(book.holdings.start))
    return pl.DataFrame(
        {
            "date": pl.Series(sessions, dtype=pl.Date).gather(row),
            "strategy": pl.repeat(name, len(row), eager=True),
            "ticker": tickers.gather(book.holdings.name),
            "weight": book.holdings.value / book.equity[row],
            "value_inr": book.holdings.value,
        }
    )


def trades_table(name: str, panel: MarketPanel, start: int, book: Ledger) -> pl.DataFrame:
    """BacktestTrades of one strategy whose book opens at row `start` of the panel.

    Shares received for a name that ended are a purchase without a decision; bought on the same day as well, they are
    one row with the order.
    """
    trades, sessions = book.trades, pl.Series(panel.sessions[start:], dtype=pl.Date)
    is_order, received = trades.kind == accounts.ORDER, trades.kind == accounts.RECEIVED
    sides = [trades.kind == accounts.DELISTING, trades.kind == accounts.DIVIDEND, is_order & (trades.amount < 0.0)]
    at = (trades.row + start, trades.name)
    price = np.select([is_order, received], [panel.fill_price_inr[at], panel.market.open_inr[at]], np.nan)
    decided = sessions.gather(np.maximum(trades.decided, 0))
    table = pl.DataFrame(
        {
            "date": sessions.gather(trades.row),
            "strategy": pl.repeat(name, len(price), eager=True),
            "ticker": panel.tickers.gather(trades.name),
            "side": SIDES.gather(np.select(sides, [2, 3, 1], 0)),
            "decision_date": pl.select(pl.when(pl.Series(is_order)).then(decided)).to_series(),
            "value_inr": np.abs(trades.amount),
            "price_inr": price,
            "shares": np.abs(trades.amount) / price,
            "cost_inr": trades.cost,
        }
    ).with_columns(pl.col("price_inr", "shares").fill_nan(None))
    return _one_a_key(table) if received.any() else table


def _one_a_key(trades: pl.DataFrame) -> pl.DataFrame:
    """One row for each date, name and side."""
    keys, summed = ["date", "strategy", "ticker", "side"], ["value_inr", "shares", "cost_inr"]
    one = trades.group_by(keys, maintain_order=True).agg(
        pl.col("decision_date").max(), pl.col(summed).sum(), pl.col("price_inr").first(), pl.len().alias("n")
    )
    unpriced = pl.col("price_inr").is_null()
    mean = pl.when(pl.col("n") > 1).then(pl.col("value_inr") / pl.col("shares")).otherwise("price_inr")
    return one.with_columns(price_inr=pl.when(~unpriced).then(mean), shares=pl.when(~unpriced).then("shares")).select(
        trades.columns
    )


def costs_table(name: str, sessions: Sequence[date], book: Ledger) -> pl.DataFrame:
    """BacktestCosts of one strategy."""
    row, kind = np.nonzero(book.cost_by_kind > 0.0)
    return pl.DataFrame(
        {
            "date": pl.Series(sessions, dtype=pl.Date).gather(row),
            "strategy": pl.repeat(name, len(row), eager=True),
            "kind": pl.Series(book.cost_kinds).gather(kind),
            "cost_inr": book.cost_by_kind[row, kind],
        }
    )
