"""The models' own picks."""

import polars as pl

from quant_core import dense
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs, best_or_kept

MODEL = "top_n_{}"


@STRATEGIES.register("top_n")
def top_n_forecast(inputs: DecisionInputs) -> pl.DataFrame:
    """For every model a book `top_n_{model}`: equal weights in the top_n tradable members that it scores highest.

    A name without a score is kept as it is held, and a date without any score decides nothing; equal scores go to the
    earlier ticker; max_position and min_position hold.
    """
    usable = inputs.forecasts.filter(pl.col("score").is_not_nan())  # null is not
    scores = usable.join(inputs.eligible, on=["date", "ticker"])
    books = [pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String, "weight": pl.Float64, "strategy": pl.String})]
    for (model,), rows in sorted(scores.partition_by("model", as_dict=True).items()):
        dates = rows["date"].unique().sort()
        may_hold = inputs.eligible.filter(pl.col("date").is_in(dates.implode()))
        tickers = may_hold["ticker"].unique().sort()
        score = dense.cells(rows, dates, tickers, MODEL.format(model)).floats(rows["score"])
        eligible = dense.cells(may_hold, dates, tickers, "eligible").present()
        book = best_or_kept(score, eligible, dates, tickers, inputs.config)
        books.append(book.with_columns(strategy=pl.lit(MODEL.format(model))))
    return pl.concat(books)
