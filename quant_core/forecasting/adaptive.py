"""Intervals that widen after misses and narrow after hits, over a series of forecasts out of sample.

Source: Gibbs and Candes, Adaptive Conformal Inference Under Distribution Shift, NeurIPS 2021, eq. 2.
"""

from collections import deque
from datetime import date

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures.quantiles import quantile_at
from quant_core.schema import QUANTILE_COLUMNS, QUANTILE_LEVELS

#: Step of the paper's daily examples.
RATE = 0.005
#: Below this share outside, and above 1 less it, an interval is as wide, or as narrow, as it gets.
SMALLEST_SHARE = 1e-3


def adaptive_intervals(
    forecasts: pl.DataFrame, outcomes: pl.DataFrame, level: float = 0.9, rate: float = RATE
) -> pl.DataFrame:
    """The interval of each forecast's own distribution that holds 1 - alpha_t, alpha_t following what was missed.

    alpha_{t+1} = alpha_t + rate (1 - level - m), m the share of a date's names outside their interval. It counts from
    the day on which the date's labels end, that day itself included: forecasts are made at the close, exits before it.

    Args:
        forecasts: rows (date, ticker) of one model with QUANTILE_COLUMNS; rows without all of them are left out.
        outcomes: rows (date, ticker, label_end_date, forward_return), null where it is not known.
        level: share that the intervals shall hold.
        rate: how fast alpha moves.
    Returns:
        rows (date, ticker, interval_low, interval_high, miss_share), the last one alpha_t, sorted by date and ticker.
    Raises:
        DataError: level outside (0, 1) or a rate below 0.
    """
    if not (0.0 < level < 1.0 and rate >= 0.0):
        raise DataError(f"adaptive_intervals: level {level}, rate {rate}; wanted a level inside (0, 1), a rate from 0.")
    rows = forecasts.select("date", "ticker", *QUANTILE_COLUMNS).drop_nulls()
    known = outcomes.select("date", "ticker", "label_end_date", "forward_return")
    rows = rows.join(known, on=["date", "ticker"], how="left").sort("date", "ticker")
    quantiles = rows.select(QUANTILE_COLUMNS).to_numpy()
    earned = rows["forward_return"].fill_null(np.nan).to_numpy()
    found = np.empty((rows.height, 3))  # low, high, alpha
    alpha, waiting = 1.0 - level, deque[tuple[date, float]]()
    for day, ends, begin, end in _days(rows):
        while waiting and waiting[0][0] <= day:
            alpha += rate * (1.0 - level - waiting.popleft()[1])
        low, high = _interval(quantiles[begin:end], alpha)
        found[begin:end] = np.stack([low, high, np.full(end - begin, alpha)], axis=1)
        known = ~np.isnan(earned[begin:end])
        if ends is not None and known.any():
            outside = (earned[begin:end] < low) | (earned[begin:end] > high)
            waiting.append((ends, float(outside[known].mean())))
    names = ("interval_low", "interval_high", "miss_share")
    return rows.select("date", "ticker").with_columns(
        pl.Series(name, column) for name, column in zip(names, found.T, strict=True)
    )


def _interval(quantiles: Floats, alpha: float) -> tuple[Floats, Floats]:
    outside = float(np.clip(alpha, SMALLEST_SHARE, 1.0 - SMALLEST_SHARE))
    return tuple(quantile_at(quantiles, QUANTILE_LEVELS, p) for p in (outside / 2, 1.0 - outside / 2))  # type: ignore[return-value]


def _days(rows: pl.DataFrame) -> list[tuple[date, date | None, int, int]]:
    """Each date, the day on which the last of its labels ends, and where its rows begin and end."""
    by_date = rows.group_by("date", maintain_order=True).agg(pl.col("label_end_date").max(), n=pl.len())
    ends = by_date["n"].cum_sum()
    return list(zip(by_date["date"], by_date["label_end_date"], ends - by_date["n"], ends, strict=True))
