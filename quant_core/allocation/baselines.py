"""The strategies every other one must beat, and the one function that turns prices and forecasts into target weights.

A strategy reads the rows of its decision dates only, so a month decides the same alone as within a longer range.

The table of target weights has no row for cash. Decision dates are known from the calendar: on such a date with prices,
a strategy without a row has decided to hold cash only, and on any other date nothing is decided (`backtest.simulate`
reads it in the same way).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_core.errors import DataError, LookaheadError
from quant_core.registry import Registry
from quant_core.schema import EQUITY, INDEX, Forecasts, TargetWeights, validate
from quant_core.trading.rebalancing import Rebalance, check_rebalance, rebalance_dates
from quant_core.trading.weights import Array, check_limits, top_n_weights


@dataclass(frozen=True)
class AllocationConfig:
    """Limits and timing shared by the strategies.

    Args:
        top_n: names that a top-n strategy holds.
        max_position: largest weight of one stock at the decision.
        min_position: smallest weight worth holding; equal_weight does not apply it (1 / 60 of NIFTY 50 is below 0.02).
        rebalance: "daily", "weekly" or "monthly": see `rebalance_dates`.
        index_ticker: what buy_hold_index holds.
    """

    top_n: int = 5
    max_position: float = 0.20
    min_position: float = 0.02
    rebalance: Rebalance = "weekly"
    index_ticker: str = "^NSEI"

    def __post_init__(self) -> None:
        check_limits(self.max_position, self.min_position)
        check_rebalance(self.rebalance)
        if self.top_n < 1 or self.top_n * self.min_position > 1.0:
            raise DataError(
                f"allocation: top_n {self.top_n} with min_position {self.min_position}; "
                "wanted top_n >= 1 and top_n x min_position <= 1, else no position would reach the minimum."
            )
        if not self.index_ticker:
            raise DataError("allocation: index_ticker is empty; name the index, e.g. '^NSEI'.")


#: (prices, forecasts, config) -> (date, strategy, ticker, weight). Both frames hold the decision dates only; a weight
#: is decided from rows of its own date, and a weight of 0 may be left out.
Strategy = Callable[[pl.DataFrame, pl.DataFrame, AllocationConfig], pl.DataFrame]

STRATEGIES: Registry[Strategy] = Registry("strategy", "quant_core.allocation")

TARGET_COLUMNS: Mapping[str, type[pl.DataType]] = {
    "date": pl.Date,
    "strategy": pl.String,
    "ticker": pl.String,
    "weight": pl.Float64,
}


def target_weights(prices: pl.DataFrame, forecasts: pl.DataFrame, config: AllocationConfig) -> pl.DataFrame:
    """What every registered strategy wants to hold after each decision date of the range that `prices` covers.

    Args:
        prices: CleanPrices of one month or more, equities and index rows.
        forecasts: Forecasts of the same range; may be empty.
        config: limits and timing.
    Returns:
        TargetWeights sorted by (date, strategy, ticker), weights above 0 only.
    Raises:
        LookaheadError: a forecast dated on or before the end of its own model's fit.
    """
    if forecasts.is_empty():
        forecasts = Forecasts.create_empty()
    _check_out_of_sample(forecasts)
    if prices.is_empty():
        return _empty()
    first, last = prices.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    decision_dates = pl.Series("date", rebalance_dates(first, last, config.rebalance), dtype=pl.Date)
    priced = prices.filter(pl.col("date").is_in(decision_dates.implode()))
    scored = forecasts.filter(pl.col("date").is_in(decision_dates.implode()))
    wanted = [STRATEGIES[name](priced, scored, config).select(list(TARGET_COLUMNS)) for name in STRATEGIES]
    table = pl.concat([_empty(), *wanted]).filter(pl.col("weight") > 0.0).sort("date", "strategy", "ticker")
    return validate(table, TargetWeights, "target_weights", "a strategy gave this row; fix the function that it names.")


@STRATEGIES.register("equal_weight")
def equal_weight(prices: pl.DataFrame, forecasts: pl.DataFrame, config: AllocationConfig) -> pl.DataFrame:
    """The same weight in every tradable member, at most max_position each: the hardest simple baseline to beat.

    Source: DeMiguel, Garlappi and Uppal (2009), Optimal versus naive diversification.
    """
    share = pl.min_horizontal(1.0 / pl.len().over("date"), pl.lit(config.max_position))
    return eligible(prices).select("date", pl.lit("equal_weight").alias("strategy"), "ticker", share.alias("weight"))


@STRATEGIES.register("top_n")
def top_n_forecast(prices: pl.DataFrame, forecasts: pl.DataFrame, config: AllocationConfig) -> pl.DataFrame:
    """For every model, strategy `top_n_{model}`: equal weights in the tradable members with its highest scores."""
    scores = forecasts.filter(pl.col("score").is_not_nan()).join(eligible(prices), on=["date", "ticker"])
    books = [_empty()]
    for (model,), rows in sorted(scores.partition_by("model", as_dict=True).items()):
        dense, dates, tickers = to_dense(rows, "score", missing=np.nan)
        weights = top_n_weights(dense, config.top_n, max_position=config.max_position, min_position=config.min_position)
        books.append(from_dense(weights, dates, tickers, f"top_n_{model}"))
    return pl.concat(books)


@STRATEGIES.register("buy_hold_index")
def buy_and_hold_index(prices: pl.DataFrame, forecasts: pl.DataFrame, config: AllocationConfig) -> pl.DataFrame:
    """Everything in the price index, whatever max_position says.

    Weight 1 is repeated on every decision date, which makes the decision independent of what was held before; a book
    that is fully invested already trades nothing. A vendor that lost the index on a decision date (Yahoo's ^NSEI lacks
    2019-03-29) does not turn the decision into cash; a month without the index at all has no such strategy.
    """
    month = pl.col("date").dt.truncate("1mo")
    index = prices.filter((pl.col("ticker") == config.index_ticker) & (pl.col("instrument") == INDEX))
    days = prices.select(pl.col("date").unique()).filter(
        month.is_in(index["date"].dt.truncate("1mo").unique().implode())
    )
    return days.select(
        "date",
        pl.lit("buy_hold_index").alias("strategy"),
        pl.lit(config.index_ticker).alias("ticker"),
        pl.lit(1.0).alias("weight"),
    )


def eligible(prices: pl.DataFrame) -> pl.DataFrame:
    """(date, ticker) of the stocks that a decision of that date may buy: tradable members of the universe."""
    rule = pl.col("is_member") & pl.col("is_tradable") & (pl.col("instrument") == EQUITY)
    return prices.filter(rule).select("date", "ticker")


def to_dense(rows: pl.DataFrame, column: str, *, missing: float) -> tuple[Array, pl.Series, pl.Series]:
    """(T, N) values of a long table with its dates and its tickers, both ascending; `missing` where there is no row."""
    dates, tickers = rows["date"].unique().sort(), rows["ticker"].unique().sort()
    panel = np.full((len(dates), len(tickers)), missing)
    panel[dates.search_sorted(rows["date"]), tickers.search_sorted(rows["ticker"])] = rows[column].to_numpy()
    return panel, dates, tickers


def from_dense(weights: Array, dates: pl.Series, tickers: pl.Series, strategy: str) -> pl.DataFrame:
    """Long target weights of one strategy from (T, N) weights; only weights above 0."""
    row, column = np.nonzero(weights > 0.0)
    return pl.DataFrame(
        {
            "date": dates.gather(row),
            "strategy": pl.repeat(strategy, len(row), eager=True),
            "ticker": tickers.gather(column),
            "weight": weights[row, column],
        },
        schema=TARGET_COLUMNS,
    )


def _check_out_of_sample(forecasts: pl.DataFrame) -> None:
    early = forecasts.filter(pl.col("date") <= pl.col("fit_end")).head(1)
    if len(early):
        row = early.row(0, named=True)
        raise LookaheadError(
            f"forecasts: model {row['model']} has a score for {row['ticker']} on {row['date']}, but was fitted up to "
            f"{row['fit_end']}; use the fold whose fit ended before that date."
        )


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=TARGET_COLUMNS)
