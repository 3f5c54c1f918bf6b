"""Clean prices: one row per session and instrument."""

import dataframely as dy
import polars as pl

from quant_core.schema.market import EQUITY, INDEX

#: A row of CleanPrices whose stock may be bought: a tradable member of the universe.
IS_ELIGIBLE = pl.col("is_member") & pl.col("is_tradable") & (pl.col("instrument") == EQUITY)
#: A row of CleanPrices whose return may hold a corporate action that nobody confirmed: null, untradable, see cleaning.
IS_QUARANTINED = pl.col("flags").str.contains("quarantined", literal=True)


class CleanPrices(dy.Schema):
    """One row per session and instrument since its first price; the one-day total return is the primary quantity."""

    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    instrument = dy.String(check=lambda c: c.is_in([EQUITY, INDEX]))
    open_inr = dy.Float64(nullable=True)
    high_inr = dy.Float64(nullable=True)
    low_inr = dy.Float64(nullable=True)
    close_inr = dy.Float64()
    volume_shares = dy.Int64(nullable=True)
    turnover_inr = dy.Float64(nullable=True)
    overnight_return_1d = dy.Float64(
        nullable=True
    )  # previous close -> open, dividend and split aware; null where is_filled
    intraday_return_1d = dy.Float64(nullable=True)  # open -> close
    total_return_1d = dy.Float64(nullable=True)  # (1 + overnight) x (1 + intraday) - 1
    dividend_return_1d = dy.Float64(
        nullable=True
    )  # the part of the return that was paid out, over the previous close; null where the return is
    is_member = dy.Bool()  # in the universe on this date
    is_filled = dy.Bool()  # no row from the source: prices carried forward
    is_tradable = dy.Bool()  # a sound row with volume
    flags = dy.String()  # kinds of defect found, joined by "|"; "" for none
    terminal_factor = dy.Float64(
        nullable=True
    )  # what a holder gets on this last row over the value before it: 0 for a write-off; null: not the last row
    terminal_into = dy.String(nullable=True)  # ticker whose shares are received on the last row; null for cash
