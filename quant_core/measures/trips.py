"""Round trips: every stretch of sessions over which a name was held, what it earned, and how such stretches turned out.

They are read off the backtest's trades and positions; the accounting itself is `ledger`. The money of all trips of a
strategy and the interest on its cash add up to the change of its equity.
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from quant_core.errors import DataError
from quant_core.schema import BUY, DELISTING, SELL, RoundTrips, validate

KEYS = ("strategy", "ticker")
REMEDY = "trades and positions must be those of one backtest; run it again."


def round_trips(trades: pl.DataFrame, positions: pl.DataFrame, sessions: Sequence[date]) -> pl.DataFrame:
    """One row for each name held without a gap at consecutive closes, or come and gone between two of them.

    A trip takes the trades of its name from its first close until the session after its last, on which nothing is left:
    sold, or paid out after a delisting. Its profit is sales, dividends and delisting proceeds less purchases less every
    charge, and the last value where it is still held.

    Args:
        trades: BacktestTrades.
        positions: BacktestPositions, the names held after each close.
        sessions: every session of the backtest, ascending.
    Returns:
        RoundTrips, sorted by strategy, entry_date, ticker. A trip that is held at the last session is open.
    Raises:
        DataError: a date that is no session, a trade that belongs to no trip, a trip without a purchase, or one that
            ended without a sale or delisting.
    """
    days = _numbered(sessions)
    names = pl.concat([positions.select(KEYS), trades.select(KEYS)]).unique().sort(KEYS).with_row_index("name")
    held = _coded(positions.select("date", *KEYS, "value_inr"), names, days).sort("code")
    coded = _coded(trades, names, days)
    runs = _with_passing(_runs(held), coded)
    exits = days.select((pl.col("session") - 1).alias("last_session"), pl.col("date").alias("exit_date"))
    left = pl.when(pl.col("exit_date").is_null()).then("last_value_inr").otherwise(0.0)
    trips = (
        runs.join(_flows(coded, runs), on="trip", how="left")
        .join(exits, on="last_session", how="left")
        .with_columns((pl.col("flow_inr") + left).alias("pnl_inr"))
        .with_columns((pl.col("pnl_inr") / pl.col("bought_inr")).alias("simple_return"))
    )
    _check_ends(trips)
    trips = validate(trips, RoundTrips, "round trips", REMEDY).select(RoundTrips.column_names())
    return trips.sort("strategy", "entry_date", "ticker")


def trip_summary(trips: pl.DataFrame) -> pl.DataFrame:
    """How the trips of each strategy turned out.

    Args:
        trips: RoundTrips.
    Returns:
        one row a strategy: `n_trips`, `open_share` (of all trips), and over closed trips only `win_rate` (share with a
        profit), `profit_factor` (rupees gained over rupees lost), `mean_win_inr`, `mean_loss_inr`, `mean_win_return`,
        `mean_loss_return` (a loss is negative), `mean_holding_sessions` and `median_holding_sessions`; null where there
        is nothing to divide by. Trips still open at the end are not in the holding times, which are short by that.
    """
    closed = pl.col("exit_date").is_not_null()
    won, lost = closed & (pl.col("pnl_inr") > 0.0), closed & (pl.col("pnl_inr") < 0.0)
    profit, earned, held = pl.col("pnl_inr"), pl.col("simple_return"), pl.col("n_sessions").filter(closed)
    losses = -profit.filter(lost).sum()
    return (
        trips.group_by("strategy", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int32).alias("n_trips"),
            (~closed).mean().alias("open_share"),
            (profit.filter(closed) > 0.0).mean().alias("win_rate"),
            pl.when(losses > 0.0).then(profit.filter(won).sum() / losses).alias("profit_factor"),
            profit.filter(won).mean().alias("mean_win_inr"),
            profit.filter(lost).mean().alias("mean_loss_inr"),
            earned.filter(won).mean().alias("mean_win_return"),
            earned.filter(lost).mean().alias("mean_loss_return"),
            held.mean().alias("mean_holding_sessions"),
            held.median().alias("median_holding_sessions"),
        )
        .sort("strategy")
    )


def _numbered(sessions: Sequence[date]) -> pl.DataFrame:
    days = pl.Series("date", sessions, dtype=pl.Date)
    if not (days.is_sorted() and days.is_unique().all()):
        raise DataError("round_trips: sessions are not ascending; give every session of the backtest once, in order.")
    return pl.DataFrame({"date": days}).with_row_index("session").with_columns(pl.col("session").cast(pl.Int64))


def _coded(rows: pl.DataFrame, names: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `session` and `code`, one number for name and session: the next session of a name is code + 1.

    Each name has one code more than there are sessions, so that the last of one and the first of the next are apart.
    """
    coded = rows.join(days, on="date", how="left").join(names, on=list(KEYS), how="left")
    code = pl.col("name").cast(pl.Int64) * (len(days) + 1) + pl.col("session")
    stray = coded.filter(pl.col("session").is_null())
    if stray.height:
        raise DataError(
            f"round_trips: {_where(stray.row(0, named=True))} is not one of the {len(days)} sessions; {REMEDY}"
        )
    return coded.with_columns(code.alias("code"))


def _runs(held: pl.DataFrame) -> pl.DataFrame:
    """One row for each stretch of consecutive codes: its name, dates, first code and last value."""
    if held["code"].is_duplicated().any():
        twice = held.filter(pl.col("code").is_duplicated()).row(0, named=True)
        raise DataError(f"round_trips: positions hold {_where(twice)} more than once; {REMEDY}")
    begins = (pl.col("code").diff() != 1).fill_null(True)
    return (
        held.with_columns(begins.cum_sum().alias("trip"))
        .group_by("trip", maintain_order=True)
        .agg(
            pl.first(*KEYS, "code"),
            pl.col("date").first().alias("entry_date"),
            pl.col("session").last().alias("last_session"),
            pl.len().cast(pl.Int32).alias("n_sessions"),
            pl.col("value_inr").last().alias("last_value_inr"),
        )
    )


def _with_passing(runs: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """`runs` and, as runs of no close, the names that came and left (sold, or delisted) on one day in no other run."""
    code, side = pl.col("code"), pl.col("side")
    comes, leaves = (side == BUY).any(), side.is_in([SELL, DELISTING]).any()
    passing = trades.group_by("code", maintain_order=True).agg(
        pl.first(*KEYS, "date", "session"), (comes & leaves).alias("passes")
    )
    passing = passing.filter("passes").drop("passes")
    ends = runs.select(begins="code", end=code + pl.col("n_sessions")).sort("begins")
    inside = passing.sort("code").join_asof(ends, left_on="code", right_on="begins", strategy="backward")
    alone = inside.filter((code > pl.col("end")).fill_null(True)).select(
        (pl.int_range(pl.len()) + runs.height + 1).cast(runs.schema["trip"]).alias("trip"),
        *KEYS, "code", pl.col("date").alias("entry_date"), (pl.col("session") - 1).alias("last_session"),
        pl.lit(0, pl.Int32).alias("n_sessions"), pl.lit(0.0).alias("last_value_inr"),
    )  # fmt: skip
    return pl.concat([runs, alone.select(runs.columns)]) if alone.height else runs


def _flows(trades: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Rows (trip, bought_inr, flow_inr, exit_trades): the trades of each trip, money received being positive."""
    starts = runs.select("trip", "code", (pl.col("code") + pl.col("n_sessions")).alias("end")).sort("code")
    if runs.is_empty():
        assigned = trades.with_columns(pl.lit(None, pl.UInt32).alias("trip"), pl.lit(None, pl.Int64).alias("end"))
    else:
        assigned = trades.sort("code").join_asof(starts, on="code", strategy="backward")
    orphan = assigned.filter(~(pl.col("code") <= pl.col("end")).fill_null(False))
    if orphan.height:
        first = orphan.row(0, named=True)
        raise DataError(
            f"round_trips: {first['side']} of {_where(first)} belongs to no held position "
            f"({orphan.height} such trades); {REMEDY}"
        )
    value, side = pl.col("value_inr"), pl.col("side")
    leaving = side.is_in([SELL, DELISTING]) & (pl.col("code") == pl.col("end"))
    return assigned.group_by("trip", maintain_order=True).agg(
        value.filter(side == BUY).sum().alias("bought_inr"),
        (pl.when(side == BUY).then(-value).otherwise(value) - pl.col("cost_inr")).sum().alias("flow_inr"),
        leaving.sum().alias("exit_trades"),
    )


def _check_ends(trips: pl.DataFrame) -> None:
    unbought = trips.filter(~(pl.col("bought_inr") > 0.0).fill_null(False))
    unsold = trips.filter(pl.col("exit_date").is_not_null() & (pl.col("exit_trades") == 0))
    for bad, what in ((unbought, "has no purchase"), (unsold, "ended without a sale or delisting")):
        if bad.height:
            first = bad.row(0, named=True)
            raise DataError(
                f"round_trips: {first['strategy']}/{first['ticker']} held from {first['entry_date']} {what} "
                f"({bad.height} such trips); {REMEDY}"
            )


def _where(row: dict[str, object]) -> str:
    return f"{row['strategy']}/{row['ticker']} {row['date']}"
