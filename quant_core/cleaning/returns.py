"""The row before and the one-day return: the first return after an absence spans from the last close, however old."""

from datetime import date, timedelta

import polars as pl

from quant_core.calendar import FIRST_DAY, sessions
from quant_core.cleaning.quality import add_flag

#: PREV_CLOSE stands in where no row came before, and only where the open lies within this share of it: on a first
#: listing the field may hold anything (NESTLEIND 2010-01-08: five times the price).
PREV_CLOSE_TRUST = 0.25
#: Where prices change over from adjusted to unadjusted ones, the source joins the two levels if the rows lie at most
#: this far apart; beyond it the row before is on another basis and no close to compare with.
SEAM_SPAN = timedelta(days=95)
#: Series in which every trade is delivered: no netting within the day, a price band of 5 %.
TRADE_TO_TRADE = ("BE", "BZ", "T")
RETURNS = ("overnight_return_1d", "intraday_return_1d", "total_return_1d", "dividend_return_1d")
_BEFORE = {"close_inr": pl.Float64, "session": pl.Int32, "basis": pl.String, "date": pl.Date}


def numbered_sessions(first: date, last: date) -> pl.DataFrame:
    """(date, session) from `first` to `last`; the number counts NSE's sessions since 2000, whatever the span."""
    days = sessions(max(first, FIRST_DAY), last) if last >= FIRST_DAY else []
    begin = len(sessions(FIRST_DAY, days[0])) if days else 0
    numbers = range(begin, begin + len(days))
    return pl.DataFrame({"date": days, "session": numbers}, schema={"date": pl.Date, "session": pl.Int32})


def carry_actions(flagged: pl.DataFrame, sound: pl.DataFrame) -> pl.DataFrame:
    """Move the price factors and dividends of rows that are not sound onto the next sound row of the ticker."""
    lost = flagged.filter(
        ~pl.col("is_sound") & ~pl.col("is_repeat") & ((pl.col("price_factor") != 1.0) | (pl.col("dividend_inr") != 0.0))
    )
    if lost.is_empty():
        return sound
    arrivals = sound.select("ticker", "date", arrives=pl.col("date")).sort("date")
    lost = lost.sort("ticker", "date").select("ticker", "date", "price_factor", "dividend_inr")
    carried = (
        lost.sort("date", maintain_order=True)
        .join_asof(arrivals, on="date", by="ticker", strategy="forward", check_sortedness=False)
        .group_by("ticker", pl.col("arrives").alias("date"), maintain_order=True)
        .agg(
            pl.col("price_factor").product().alias("factor_before"),
            pl.col("dividend_inr").sum().alias("dividend_before"),
        )
    )
    return (
        sound.join(carried, on=["ticker", "date"], how="left")
        .with_columns(
            price_factor=pl.col("price_factor") * pl.col("factor_before").fill_null(1.0),
            dividend_inr=pl.col("dividend_inr") + pl.col("dividend_before").fill_null(0.0),
        )
        .drop("factor_before", "dividend_before")
    )


def with_previous(rows: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    """Rows by ticker and date with session, and close_inr, session, basis and date of the ticker's row before."""
    if rows.is_empty():
        nothing = [pl.lit(None, dtype).alias(f"{name}_before") for name, dtype in _BEFORE.items()]
        return rows.with_columns(pl.lit(None, pl.Int32).alias("session"), *nothing)
    rows = rows.join(numbers, on="date").sort("ticker", "date")
    same = pl.col("ticker") == pl.col("ticker").shift(1)
    joined = (pl.col("basis") == pl.col("basis").shift(1)) | (pl.col("date") - pl.col("date").shift(1) <= SEAM_SPAN)
    return rows.with_columns(
        pl.when(same & joined).then(pl.col(name).shift(1)).alias(f"{name}_before") for name in _BEFORE
    )


def with_returns(rows: pl.DataFrame) -> pl.DataFrame:
    """One-day returns against the last sound close: dividends and splits counted at the open.

    overnight = (open + dividend) / (previous close x price factor) - 1; an instrument without opens (a total-return
    index) has its whole return in the session. A quarantined row has none; the next return starts from its close.
    """
    first_price = pl.coalesce("open_inr", "close_inr")
    field = pl.col("prev_close_inr") * pl.col("price_factor")
    trusted = (first_price / field - 1).abs() <= PREV_CLOSE_TRUST
    last = pl.col("close_inr_before") * pl.col("price_factor")
    base = pl.coalesce(last, pl.when(trusted).then(field))
    has_open = pl.col("open_inr").is_not_null()
    priced = (
        rows.with_columns(base=pl.when(~pl.col("quarantined")).then(base))
        .with_columns(
            overnight_return_1d=pl.when(has_open)
            .then((pl.col("open_inr") + pl.col("dividend_inr")) / pl.col("base") - 1)
            .when(pl.col("base").is_not_null())
            .then(0.0),
            intraday_return_1d=pl.when(has_open)
            .then(pl.col("close_inr") / pl.col("open_inr") - 1)
            .otherwise((pl.col("close_inr") + pl.col("dividend_inr")) / pl.col("base") - 1),
            dividend_return_1d=pl.when(has_open)
            .then(pl.col("dividend_inr") / pl.col("base"))
            .when(pl.col("base").is_not_null())
            .then(0.0),
        )
        .with_columns(total_return_1d=(1 + pl.col("overnight_return_1d")) * (1 + pl.col("intraday_return_1d")) - 1)
    )
    return priced.with_columns(
        pl.when(~pl.col("quarantined")).then(pl.col("intraday_return_1d")).alias("intraday_return_1d"),
        flags=_row_kinds(),
    )


def _row_kinds() -> pl.Expr:
    """`flags` with `gap` where the return spans more than one session, and `trade_to_trade`."""
    spans = (pl.col("session") - pl.col("session_before") > 1).fill_null(False)
    delivered = pl.col("series").is_in(TRADE_TO_TRADE).fill_null(False)
    return add_flag(add_flag(pl.col("flags"), "gap", spans), "trade_to_trade", delivered)
