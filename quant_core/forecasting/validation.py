"""The newest part of a fit window, on which a model chooses what it cannot learn: penalties, iterations, epochs.

The slice is the last dates of the window; of the older rows only those train for it whose label ended before it began.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.dense import Flags
from quant_core.forecasting.inputs import LABEL
from quant_core.measures.information_coefficient import FORWARD_PREFIX, rank_ic_by_date

Array = NDArray[np.float64]
SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Slice:
    """Which of R labelled rows belong to the slice.

    Args:
        first: its first date.
        older: (R,) rows that may train for it, `newest`: (R,) rows of it. What is in neither is purged.
    """

    first: date
    older: Flags
    newest: Flags


def validation_slice(rows: pl.DataFrame, share: float) -> Slice:
    """The last `share` of the dates, at least one.

    Args:
        rows: (date, label_end_date), in any order.
    """
    days = rows["date"].unique().sort()
    first = days[len(days) - max(round(share * len(days)), 1)]
    older = (rows["label_end_date"] < first).fill_null(False).to_numpy()
    return Slice(first, older, (rows["date"] >= first).to_numpy())


def rank_ic_of(judged: pl.DataFrame, scores: Array, names: list[str]) -> tuple[dict[str, float], int]:
    """Mean daily rank IC of each candidate's scores against the label, and the dates that have one.

    Args:
        judged: R rows (date, ticker, label).
        scores: (R, C) a column for each of the C names.
    Returns:
        no entry for a candidate that no date could judge: too few names, or the same score for all.
    """
    keys = judged.select("date", "ticker")
    long = [keys.with_columns(model=pl.lit(name), score=pl.Series(scores[:, k])) for k, name in enumerate(names)]
    ics = rank_ic_by_date(pl.concat(long), judged.select("date", "ticker", pl.col(LABEL).alias(f"{FORWARD_PREFIX}0")))
    mean = {name: ics.filter(pl.col("model") == name)["rank_ic"].mean() for name in names}
    return {name: float(ic) for name, ic in mean.items() if isinstance(ic, float)}, ics["date"].n_unique()


def said(judged: pl.DataFrame, score: Array) -> pl.DataFrame:
    """What `Fitted.validation` holds: rows (date, ticker, score)."""
    return judged.select("date", "ticker", score=pl.Series(score, dtype=pl.Float64))
