"""The market itself."""

from bisect import bisect_right

import polars as pl

from quant_core import calendar
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.schema import INDEX

#: Sessions for which an index may be without a price before nothing is decided about it.
LONGEST_GAP_SESSIONS = 21


@STRATEGIES.register("buy_hold_index")
def buy_and_hold_index(inputs: DecisionInputs) -> pl.DataFrame:
    """Everything in the price index, whatever max_position says.

    Weight 1 is repeated on every decision date, which makes the decision independent of what was held before; a book
    that is fully invested already trades nothing. A vendor that lost the index on a decision date (Yahoo's ^NSEI lacks
    2019-03-29) does not stop the decision; after 21 sessions without a price nothing is decided, and the book is kept.
    """
    is_priced = (pl.col("instrument") == INDEX) & (pl.col("ticker") == inputs.config.index_ticker)
    days = inputs.prices.filter(is_priced & ~pl.col("is_filled"))["date"].unique().sort()
    priced = [calendar.session_number(day) for day in days]
    held = []
    for day in inputs.decision_dates:
        number = calendar.session_number(day)
        known = bisect_right(priced, number)
        if known and number - priced[known - 1] < LONGEST_GAP_SESSIONS:
            held.append(day)
    return pl.DataFrame({"date": held}, schema={"date": pl.Date}).with_columns(
        ticker=pl.lit(inputs.config.index_ticker), weight=pl.lit(1.0)
    )
