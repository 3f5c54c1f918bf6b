"""What a forecaster learns: the return from fill to fill over the horizon, and its standing among the day's names.

A decision at the close of t is filled at t+1, so the label of t runs open[t+1] -> open[t+1+h]. No feature is made here.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import polars as pl

from quant_core.calendar import LAST_DAY, sessions
from quant_core.errors import DataError
from quant_core.folds import EMBARGO_SESSIONS, Fold, assert_purged, purge
from quant_core.schema import EQUITY, IS_QUARANTINED

Kind = Literal["rank", "zscore"]
Fill = Literal["open", "close"]


@dataclass(frozen=True)
class LabelConfig:
    """Horizon, cross-sectional form and fill of the label, and the embargo before a fold."""

    horizon_sessions: int = 5
    kind: Kind = "rank"
    embargo_sessions: int = EMBARGO_SESSIONS
    fill: Fill = "open"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DataError(f"label.kind is {self.kind!r}, wanted one of {get_args(Kind)}; correct the setting.")
        _check(self.horizon_sessions, self.fill)


def forward_returns(prices: pl.DataFrame, horizon: int = 5, fill: Fill = "open") -> pl.DataFrame:
    """Simple total return that a decision at the close of `date` earns from fill to fill.

    Args:
        prices: CleanPrices rows; a session without a row counts as a halt. Indices are left out.
        horizon: sessions held, at least 1.
        fill: "open" for open[t+1] -> open[t+1+h], "close" for close[t+1] -> close[t+1+h].
    Returns:
        rows (date, ticker) with `label_end_date`, the session t+1+h (null past the calendar's end), and
        `forward_return_{h}d`, null past the data's end, where the entry or exit session has no fill, and where a
        session from entry to exit is quarantined. A session without a return in between (halt) counts as 0: the
        spanning return arrives on resumption.
    Raises:
        DataError: no equity row, or a row off the NSE calendar.
    """
    _check(horizon, fill)
    rows = prices.filter(pl.col("instrument") == EQUITY).sort("ticker", "date")
    if rows.is_empty():
        raise DataError("forward_returns: prices hold no equity row; materialize clean_prices for the window.")
    rows = _one_row_a_session(rows.join(_session_ends(rows["date"].min(), horizon), on="date", how="left"))  # type: ignore[arg-type]
    entry, held, leave = _legs(horizon, fill)
    growth = pl.when(~IS_QUARANTINED.fill_null(False)).then(
        pl.col("total_return_1d").fill_nan(None).fill_null(0.0) + 1.0
    )
    between = [growth.shift(-step).over("ticker") for step in held]
    product = pl.fold(entry * leave, lambda total, factor: total * factor, between)
    labelled = rows.with_columns((product - 1.0).alias(f"forward_return_{horizon}d")).filter(
        pl.col("date").is_not_null()
    )
    return labelled.select("date", "ticker", "label_end_date", f"forward_return_{horizon}d").sort("date", "ticker")


def labels(forward: pl.DataFrame, eligible: pl.DataFrame, config: LabelConfig) -> pl.DataFrame:
    """Forward returns of the eligible rows and their cross-sectional `label`.

    Args:
        forward: the result of `forward_returns`.
        eligible: rows (date, ticker, is_eligible).
    Returns:
        rows that are eligible and have a forward return, with `label`: the centred rank in (-0.5, 0.5), average for
        ties, or the z-score (population standard deviation; 0 where all are equal), over the day's rows.
    """
    value = pl.col(f"forward_return_{config.horizon_sessions}d")
    keys = eligible.filter(pl.col("is_eligible")).select("date", "ticker")
    rows = keys.join(forward, on=["date", "ticker"], how="inner").filter(value.is_not_null())
    if config.kind == "rank":
        label = (value.rank("average") - 0.5) / pl.len() - 0.5
    else:
        label = pl.when(value.n_unique() > 1).then((value - value.mean()) / value.std(ddof=0)).otherwise(0.0)
    return rows.with_columns(label.over("date").alias("label")).sort("date", "ticker")


def training_window(features: pl.DataFrame, prices: pl.DataFrame, fold: Fold, config: LabelConfig) -> pl.DataFrame:
    """Every labelled row that may train `fold`, purged and embargoed.

    Args:
        features: Features rows; every column beyond date, ticker and is_eligible is an input and is passed on as it is
            (nulls included: what to do with them is the model's decision).
        prices: CleanPrices rows that cover the label windows; rows on or after the fold's start are never read.
    Returns:
        columns date, ticker, label_end_date, forward_return_{h}d, label, then the inputs; sorted by (date, ticker).
    Raises:
        DataError: no row is left. LookaheadError: a label window reaches into the embargo.
    """
    known = prices.filter(pl.col("date") < fold.test_start)
    if known.is_empty():
        raise DataError(
            f"fold {fold.year}: no price before {fold.test_start}; materialize clean_prices from {fold.train_start}."
        )
    forward = purge(forward_returns(known, config.horizon_sessions, config.fill), fold, config.embargo_sessions)
    window = labels(forward, features, config).join(features.drop("is_eligible"), on=["date", "ticker"], how="inner")
    if window.is_empty():
        raise DataError(
            f"fold {fold.year}: no eligible row with a label in {fold.train_start}..{fold.train_end}; "
            "materialize features and clean_prices for these months or start with a later fold."
        )
    assert_purged(window, fold, config.embargo_sessions)
    return window.sort("date", "ticker")


def _legs(horizon: int, fill: Fill) -> tuple[pl.Expr, range, pl.Expr]:
    """Growth on the entry session, the steps ahead of the sessions held in full, growth on the exit session."""
    tradable = pl.col("is_tradable")
    if fill == "open":
        into = pl.when(tradable).then(1.0 + pl.col("intraday_return_1d").fill_nan(None))
        out = pl.when(tradable).then(1.0 + pl.col("overnight_return_1d").fill_nan(None))
    else:
        into = pl.when(tradable).then(1.0)
        out = pl.when(tradable).then(1.0 + pl.col("total_return_1d").fill_nan(None))
    return into.shift(-1).over("ticker"), range(2, horizon + 1), out.shift(-1 - horizon).over("ticker")


def _session_ends(first: date, horizon: int) -> pl.DataFrame:
    days = pl.Series("date", sessions(first, LAST_DAY), dtype=pl.Date)
    return pl.DataFrame(
        {"date": days, "label_end_date": days.shift(-1 - horizon), "session": pl.int_range(len(days), eager=True)}
    )


def _check(horizon: int, fill: str) -> None:
    if horizon < 1:
        raise DataError(f"label horizon is {horizon} sessions, wanted at least 1; correct the setting.")
    if fill not in get_args(Fill):
        raise DataError(f"label fill is {fill!r}, wanted one of {get_args(Fill)}; correct the setting.")


def _one_row_a_session(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows sorted by ticker and session, a row of nulls for each session that a ticker lacks between two of its own.

    Shifting by rows is then shifting by sessions.
    """
    stray = rows.filter(pl.col("session").is_null())
    if stray.height:
        first = stray.row(0, named=True)
        raise DataError(
            f"forward_returns: {first['ticker']} {first['date']} is not an NSE session ({stray.height} such rows); "
            "clean the month again."
        )
    spans = rows.group_by("ticker").agg(
        pl.int_range(pl.col("session").min(), pl.col("session").max() + 1).alias("session")
    )
    grid = spans.explode("session").with_columns(pl.col("session").cast(rows.schema["session"]))
    dense = grid.join(rows, on=["ticker", "session"], how="left").sort("ticker", "session")
    return dense.with_columns(pl.col("is_tradable").fill_null(False))
