"""The models' own picks."""

import numpy as np
import polars as pl

from quant_core.allocation.strategy import STRATEGIES, DecisionInputs, from_dense
from quant_core.trading.weights import top_n_weights

MODEL = "top_n_{}"


@STRATEGIES.register("top_n")
def top_n_forecast(inputs: DecisionInputs) -> pl.DataFrame:
    """For every model a book `top_n_{model}`: equal weights in the top_n tradable members that it scores highest.

    A missing score is never chosen; equal scores go to the earlier ticker; max_position and min_position hold.
    """
    scores = inputs.forecasts.filter(pl.col("score").is_not_nan()).join(inputs.eligible, on=["date", "ticker"])
    books = [pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String, "weight": pl.Float64, "strategy": pl.String})]
    for (model,), rows in sorted(scores.partition_by("model", as_dict=True).items()):
        dates, tickers = rows["date"].unique().sort(), rows["ticker"].unique().sort()
        dense = np.full((len(dates), len(tickers)), np.nan)
        dense[dates.search_sorted(rows["date"]), tickers.search_sorted(rows["ticker"])] = rows["score"].to_numpy()
        limits = inputs.config
        weights = top_n_weights(dense, limits.top_n, max_position=limits.max_position, min_position=limits.min_position)
        books.append(from_dense(weights, dates, tickers).with_columns(strategy=pl.lit(MODEL.format(model))))
    return pl.concat(books)
