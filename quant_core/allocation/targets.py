"""The one function that turns prices and forecasts into the target weights of every registered strategy."""

from collections.abc import Mapping
from datetime import date

import polars as pl

from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs, decision_inputs
from quant_core.errors import DataError, LookaheadError
from quant_core.schema import Forecasts, TargetWeights, validate

TARGET_COLUMNS: Mapping[str, type[pl.DataType]] = {
    "date": pl.Date,
    "strategy": pl.String,
    "ticker": pl.String,
    "weight": pl.Float64,
}
#: Weights of one decision may exceed 1 by rounding only.
TOLERANCE = 1e-9


def target_weights(
    prices: pl.DataFrame,
    forecasts: pl.DataFrame,
    config: AllocationConfig,
    start: date | None = None,
    end: date | None = None,
) -> pl.DataFrame:
    """What every registered strategy wants to hold after each decision date from `start` to `end`.

    Args:
        prices: CleanPrices, equities and index rows, from `first_known_day` of the first decision (about
            config.history_sessions sessions before it) on; where less is there, strategies know less.
        forecasts: Forecasts of the decided dates or more; may be empty.
        config: limits and timing.
        start, end: first and last day that may be decided on; by default those of `prices`.
    Returns:
        TargetWeights sorted by (date, strategy, ticker), weights above 0 only. A decision is the same whatever else is
        decided with it and however much older history is loaded.
    Raises:
        LookaheadError: a forecast dated on or before the end of its own model's fit.
        DataError: a strategy failed or gave weights that no account could hold; names the strategy.
    """
    if forecasts.is_empty():
        forecasts = Forecasts.create_empty()
    _check_out_of_sample(forecasts)
    if prices.is_empty():
        return _empty()
    first, last = prices.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    inputs = decision_inputs(prices, forecasts, config, start or first, end or last)
    if inputs.decision_dates.is_empty():
        return _empty()
    table = pl.concat([decide(name, inputs) for name in STRATEGIES]).sort("date", "strategy", "ticker")
    return validate(table, TargetWeights, "target_weights", "a strategy gave this row; fix the function that it names.")


def decide(name: str, inputs: DecisionInputs) -> pl.DataFrame:
    """One strategy's books: columns date, strategy, ticker, weight, weights above 0 only.

    Raises:
        DataError: with the strategy's name: what it raised itself, weights on other dates than the decision dates, or
            a decision that holds more than everything.
    """
    try:
        book = STRATEGIES[name](inputs)
    except DataError as error:
        raise DataError(f"strategy {name}: {error}") from error
    named = book if "strategy" in book.columns else book.with_columns(strategy=pl.lit(name))
    held = named.select(pl.col(column).cast(kind) for column, kind in TARGET_COLUMNS.items())
    held = held.filter(pl.col("weight").ne_missing(0.0))
    stray = held.filter(~pl.col("date").is_in(inputs.decision_dates.implode())).head(1)
    if len(stray):
        raise DataError(f"strategy {name}: decides on {stray['date'][0]}, which is none of inputs.decision_dates.")
    totals = held.group_by("date", "strategy").agg(pl.col("weight").sum()).sort("date", "strategy")
    over = totals.filter(~(pl.col("weight") <= 1.0 + TOLERANCE)).head(1)
    if len(over):
        row = over.row(0, named=True)
        raise DataError(f"strategy {name}: weights of {row['date']} sum to {row['weight']:.6g}; wanted at most 1.")
    return held


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
