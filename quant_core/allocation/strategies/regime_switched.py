"""Another book for every weather."""

import polars as pl

from quant_core.allocation.strategy import STRATEGIES, DecisionInputs, known_on
from quant_core.errors import DataError
from quant_core.schema import CASH

#: Held in a regime for which the fold chose no book.
FALLBACK = "equal_weight"


@STRATEGIES.register("regime_switched")
def regime_switched(inputs: DecisionInputs) -> pl.DataFrame:
    """On each date the book that the fold chose, in its fit window, for the newest session's regime.

    A regime for which the fold chose none is answered by equal weight. A decision that knows no regime decides nothing,
    and the book is kept.

    Source: the choice by past performance within a state, Ang and Bekaert (2004), How regimes affect asset allocation.
    """
    chosen = inputs.regime_books.filter("is_chosen").select("fold", "regime", book="strategy")
    known = known_on(inputs.decision_dates, inputs.regimes).join(chosen, on=["fold", "regime"], how="left")
    known = known.with_columns(pl.col("book").fill_null(FALLBACK)).sort("date")
    columns = {"date": pl.Date, "ticker": pl.String, "weight": pl.Float64}
    books = [pl.DataFrame(schema=columns)]
    for (book,), rows in known.partition_by("book", as_dict=True, maintain_order=True).items():
        books.append(_held(str(book), inputs.on(rows["date"])).select(pl.col(n).cast(t) for n, t in columns.items()))
    return pl.concat(books)


def _held(book: str, inputs: DecisionInputs) -> pl.DataFrame:
    """What a registered strategy of one book decides on those dates; CASH holds nothing."""
    if book == CASH:
        return inputs.decision_dates.to_frame("date").with_columns(ticker=pl.lit(CASH), weight=pl.lit(1.0))
    rows = STRATEGIES[book](inputs)
    if "strategy" in rows.columns:
        raise DataError(f"regime_switched: {book} keeps a book a model; choose among strategies of one book.")
    return rows
