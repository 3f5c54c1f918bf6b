"""What a forecaster learns: the return from fill to fill over a horizon, its standing among the day's names, its
direction and its variance.

A decision at the close of t is filled at t+1, so the label of t runs open[t+1] -> open[t+1+h]. No feature is made here.
"""

import math
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import polars as pl

from quant_core.calendar import LAST_DAY, sessions
from quant_core.errors import DataError
from quant_core.folds import EMBARGO_SESSIONS, Fold, assert_purged, purge
from quant_core.schema import EQUITY, IS_QUARANTINED, TrainingLabels

Fill = Literal["open", "close"]
#: Returns that a volatility needs.
FEWEST_RETURNS = 20


@dataclass(frozen=True)
class LabelConfig:
    """What is labelled, and the embargo before a fold.

    Args:
        horizons_sessions: sessions held, each at least 1; every model learns one of them.
        embargo_sessions: sessions before the fold in which no label window may end.
        fill: "open" for open[t+1] -> open[t+1+h], "close" for close[t+1] -> close[t+1+h].
        direction_threshold: k; a return beyond k sigma sqrt(h) has a direction, sigma being the daily volatility of the
            `volatility_sessions` sessions up to the decision.
    """

    horizons_sessions: tuple[int, ...] = (1, 5, 21, 63)
    embargo_sessions: int = EMBARGO_SESSIONS
    fill: Fill = "open"
    direction_threshold: float = 0.5
    volatility_sessions: int = 63

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizons_sessions", tuple(self.horizons_sessions))
        if not 0 < len(set(self.horizons_sessions)) == len(self.horizons_sessions):
            raise DataError(f"label.horizons_sessions is {self.horizons_sessions}, wanted distinct horizons.")
        for horizon in self.horizons_sessions:
            _check(horizon, self.fill)
        if not (self.direction_threshold > 0.0 and self.volatility_sessions >= FEWEST_RETURNS):
            raise DataError(
                f"label: direction_threshold {self.direction_threshold} and volatility_sessions "
                f"{self.volatility_sessions}; wanted a number above 0 and at least {FEWEST_RETURNS} sessions."
            )


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
    rows = session_rows(prices, horizon)
    entry, held, leave = fill_legs(horizon, fill)
    growth = pl.when(~IS_QUARANTINED.fill_null(False)).then(
        pl.col("total_return_1d").fill_nan(None).fill_null(0.0) + 1.0
    )
    between = [growth.shift(-step).over("ticker") for step in held]
    product = pl.fold(entry * leave, lambda total, factor: total * factor, between)
    labelled = rows.with_columns((product - 1.0).alias(f"forward_return_{horizon}d")).filter(
        pl.col("date").is_not_null()
    )
    return labelled.select("date", "ticker", "label_end_date", f"forward_return_{horizon}d").sort("date", "ticker")


def training_labels(eligible: pl.DataFrame, prices: pl.DataFrame, fold: Fold, config: LabelConfig) -> pl.DataFrame:
    """Every label that may train `fold`, purged and embargoed, the horizons below one another.

    Args:
        eligible: rows (date, ticker, is_eligible); only eligible ones are labelled and ranked.
        prices: CleanPrices that cover the label windows; rows on or after the fold's start are never read.
    Returns:
        TrainingLabels, sorted by (horizon_sessions, date, ticker); rows without a forward return are left out.
    Raises:
        DataError: no row is left. LookaheadError: a label window reaches into the embargo.
    """
    known = prices.filter(pl.col("date") < fold.test_start)
    if known.is_empty():
        raise DataError(
            f"fold {fold.name}: no price before {fold.test_start}; materialize clean_prices from {fold.train_start}."
        )
    keys = eligible.filter("is_eligible").select("date", "ticker")
    known = known.join(keys.select(pl.col("ticker").unique()), on="ticker", how="semi")
    parts = [_labels_of(keys, known, horizon, fold, config) for horizon in sorted(config.horizons_sessions)]
    table = pl.concat([TrainingLabels.create_empty(), *parts])
    if table.is_empty():
        raise DataError(
            f"fold {fold.name}: no eligible row with a label in {fold.train_start}..{fold.train_end}; "
            "materialize features and clean_prices for these months or start with a later fold."
        )
    assert_purged(table, fold, config.embargo_sessions)
    return table


def _labels_of(keys: pl.DataFrame, prices: pl.DataFrame, horizon: int, fold: Fold, config: LabelConfig) -> pl.DataFrame:
    if prices.is_empty():
        return TrainingLabels.create_empty()
    returns = forward_returns(prices, horizon, config.fill).rename({f"forward_return_{horizon}d": "forward_return"})
    rows = cross_section(keys, purge(returns, fold, config.embargo_sessions))
    rows = rows.join(_spread(prices, horizon, config), on=["date", "ticker"], how="left")
    limit = config.direction_threshold * math.sqrt(horizon) * pl.col("volatility_1d")
    earned = pl.col("forward_return")
    direction = (earned > limit).cast(pl.Int8) - (earned < -limit).cast(pl.Int8)
    table = rows.with_columns(
        horizon_sessions=pl.lit(horizon, pl.Int32), direction=pl.when(limit.is_not_null()).then(direction)
    )
    return table.select(TrainingLabels.column_names()).sort("date", "ticker")


def cross_section(keys: pl.DataFrame, forward: pl.DataFrame) -> pl.DataFrame:
    """Standing of each name's `forward_return` among the date's `keys` that have one.

    Args:
        keys: rows (date, ticker) that take part.
        forward: rows (date, ticker, forward_return).
    Returns:
        `rank_label`, the centred rank (r - 1/2) / n - 1/2 in (-0.5, 0.5), average for ties; `zscore_label`,
        (x - mean) / population standard deviation, 0 where all are equal.
    """
    rows = keys.join(forward, on=["date", "ticker"], how="inner").filter(pl.col("forward_return").is_not_null())
    earned = pl.col("forward_return")
    rank = (earned.rank("average") - 0.5) / pl.len() - 0.5
    return rows.with_columns(rank_label=rank.over("date"), zscore_label=_zscore(earned).over("date"))


def _zscore(value: pl.Expr) -> pl.Expr:
    return pl.when(value.n_unique() > 1).then((value - value.mean()) / value.std(ddof=0)).otherwise(0.0)


def _spread(prices: pl.DataFrame, horizon: int, config: LabelConfig) -> pl.DataFrame:
    """Trailing `volatility_1d` at the decision, and `realized_variance` from fill to fill: the sum of squared log
    returns of its legs, a halt counting as 0."""
    rows = session_rows(prices, horizon)
    entry, held, leave = fill_legs(horizon, config.fill)
    daily = pl.col("total_return_1d").fill_nan(None)
    squares = daily.fill_null(0.0).log1p().pow(2)
    between = squares.rolling_sum(len(held)).shift(-horizon).over("ticker") if held else pl.lit(0.0)
    volatility = daily.rolling_std(config.volatility_sessions, min_samples=FEWEST_RETURNS).over("ticker")
    return rows.select(
        "date", "ticker", volatility_1d=volatility, realized_variance=entry.log().pow(2) + between + leave.log().pow(2)
    ).filter(pl.col("date").is_not_null())


def session_rows(prices: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """Equity rows by ticker, one a session (nulls where a ticker lacks one), with the `label_end_date` of `horizon`."""
    rows = prices.filter(pl.col("instrument") == EQUITY).sort("ticker", "date")
    if rows.is_empty():
        raise DataError("forward_returns: prices hold no equity row; materialize clean_prices for the window.")
    return _one_row_a_session(rows.join(_session_ends(rows["date"].min(), horizon), on="date", how="left"))  # type: ignore[arg-type]


def fill_legs(horizon: int, fill: Fill) -> tuple[pl.Expr, range, pl.Expr]:
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
