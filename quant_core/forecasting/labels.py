"""What a forecaster learns: the return from fill to fill over a horizon, its standing among the day's names, its
direction and its variance.

What a decision earns is `measures.forward_returns`. No feature is made here.
"""

import math
from dataclasses import dataclass

import polars as pl

from quant_core import dense
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.folds import EMBARGO_SESSIONS, Fold, assert_purged, purge
from quant_core.measures.forward_returns import Fill, Growth, check_horizon, growth_of
from quant_core.schema import TrainingLabels

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
            check_horizon(horizon, self.fill)
        if self.embargo_sessions < 0:
            raise DataError(f"label: embargo_sessions is {self.embargo_sessions}; wanted at least 0.")
        if not (self.direction_threshold > 0.0 and self.volatility_sessions >= FEWEST_RETURNS):
            raise DataError(
                f"label: direction_threshold {self.direction_threshold} and volatility_sessions "
                f"{self.volatility_sessions}; wanted a number above 0 and at least {FEWEST_RETURNS} sessions."
            )


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
    keys = keys.join(known, on=["date", "ticker"], how="semi")
    parts = [] if keys.is_empty() else _by_horizon(keys, growth_of(known, config.fill), fold, config)
    table = pl.concat([TrainingLabels.create_empty(), *parts])
    if table.is_empty():
        raise DataError(
            f"fold {fold.name}: no eligible row with a label in {fold.train_start}..{fold.train_end}; "
            "materialize features and clean_prices for these months or start with a later fold."
        )
    assert_purged(table, fold, config.embargo_sessions)
    return table


def _by_horizon(keys: pl.DataFrame, growth: Growth, fold: Fold, config: LabelConfig) -> list[pl.DataFrame]:
    """TrainingLabels of `keys`, one table a horizon."""
    cells = dense.cells(keys, growth.days, growth.tickers, "features")
    volatility = _trailing_volatility(growth.total_return_1d, config.volatility_sessions)
    keys = keys.with_columns(volatility_1d=cells.at(volatility))
    return [
        _labels_of(
            keys.with_columns(
                label_end_date=growth.end_dates(horizon).gather(cells.row),
                forward_return=cells.at(growth.forward_return(horizon)),
                realized_variance=cells.at(growth.realized_variance(horizon)),
            ),
            horizon, fold, config,
        )
        for horizon in sorted(config.horizons_sessions)
    ]  # fmt: skip


def _labels_of(earned: pl.DataFrame, horizon: int, fold: Fold, config: LabelConfig) -> pl.DataFrame:
    """What came of every eligible row over one horizon, purged and ranked."""
    rows = cross_section(purge(earned, fold, config.embargo_sessions))
    value, limit = pl.col("forward_return"), config.direction_threshold * math.sqrt(horizon) * pl.col("volatility_1d")
    direction = (value > limit).cast(pl.Int8) - (value < -limit).cast(pl.Int8)
    table = rows.with_columns(
        horizon_sessions=pl.lit(horizon, pl.Int32), direction=pl.when(limit.is_not_null()).then(direction)
    )
    return table.select(TrainingLabels.column_names()).sort("date", "ticker")


def cross_section(rows: pl.DataFrame) -> pl.DataFrame:
    """Standing of each name's return among those of the date that have one.

    Args:
        rows: date, ticker, forward_return.
    Returns:
        rows with a return, `rank_label`, the centred rank (r - 1/2) / n - 1/2 in (-0.5, 0.5), average for ties, and
        `zscore_label`, (x - mean) / population standard deviation, 0 where all are equal.
    """
    value = pl.col("forward_return")
    rank = (value.rank("average") - 0.5) / pl.len() - 0.5
    known = rows.filter(value.is_not_null())
    return known.with_columns(rank_label=rank.over("date"), zscore_label=_zscore(value).over("date"))


def _zscore(value: pl.Expr) -> pl.Expr:
    return pl.when(value.n_unique() > 1).then((value - value.mean()) / value.std(ddof=0)).otherwise(0.0)


def _trailing_volatility(total_return_1d: Floats, sessions: int) -> Floats:
    """(T, N) standard deviation of the returns of the `sessions` sessions up to each; NaN for too few."""
    returns = pl.DataFrame(total_return_1d, orient="row").fill_nan(None)
    return returns.select(pl.all().rolling_std(sessions, min_samples=FEWEST_RETURNS)).to_numpy()
