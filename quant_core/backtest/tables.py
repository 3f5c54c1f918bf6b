"""A ledger's arrays as the tables that leave the backtest."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_core.backtest.panel import Panel
from quant_core.schema import BUY, DELISTING, DIVIDEND, SELL
from quant_core.trading import book as accounts
from quant_core.trading.ledger import Ledger

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


def trades_table(name: str, panel: Panel, start: int, book: Ledger) -> pl.DataFrame:
    """BacktestTrades of one strategy whose book opens at row `start` of the panel."""
    trades, sessions = book.trades, pl.Series(panel.sessions[start:], dtype=pl.Date)
    is_order = trades.kind == accounts.ORDER
    side = np.where(is_order, (trades.amount < 0.0).astype(np.int64), np.where(trades.kind == accounts.DELISTING, 2, 3))
    price = np.where(is_order, panel.fill_price_inr[trades.row + start, trades.name], np.nan)
    decided = sessions.gather(np.maximum(trades.decided, 0))
    return pl.DataFrame(
        {
            "date": sessions.gather(trades.row),
            "strategy": pl.repeat(name, len(side), eager=True),
            "ticker": panel.tickers.gather(trades.name),
            "side": SIDES.gather(side),
            "decision_date": pl.select(pl.when(pl.Series(is_order)).then(decided)).to_series(),
            "value_inr": np.abs(trades.amount),
            "price_inr": price,
            "shares": np.abs(trades.amount) / price,
            "cost_inr": trades.cost,
        }
    ).with_columns(pl.col("price_inr", "shares").fill_nan(None))


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
