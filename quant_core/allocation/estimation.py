"""Weights that are estimated from trailing returns, once a month.

The estimate is made at the last session of each month, known from the calendar, and holds until the next: it is the
same for every rebalance frequency, and a decision inside a month follows the estimate before it.
"""

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.allocation.history import History
from quant_core.allocation.strategy import DecisionInputs
from quant_core.errors import DataError
from quant_core.trading.rebalancing import last_month_end
from quant_core.trading.weights import SUM_TOLERANCE, Array

#: Least share of the lookback's sessions on which a name must have a return.
ENOUGH_HISTORY = 0.8

#: (T, N) daily returns without gaps, N >= 2, and the largest weight of a name, N x cap > 1, to (N,) weights that sum
#: to 1.
Weigh = Callable[[Array, float], Array]
Columns = NDArray[np.intp]


def monthly_weights(inputs: DecisionInputs, weigh: Weigh, most_names: int | None = None) -> pl.DataFrame:
    """Target weights that `weigh` estimates at each month's last session, on every decision date up to the next.

    A name that may not be bought on the decision date is left out and its weight goes to cash. With so few names that
    all of them at the cap do not exceed 1, that is what is held, as nothing is left to choose.

    Args:
        most_names: estimate on this many names only, the most traded; None for all.
    Returns:
        date, ticker, weight; a date with no name of enough history is all cash.
    Raises:
        DataError: `weigh` found no weights; names the month-end.
    """
    estimated_on = {day: last_month_end(day) for day in inputs.decision_dates}
    books = [pl.DataFrame(schema={"estimated_on": pl.Date, "ticker": pl.String, "weight": pl.Float64})]
    for day in sorted({made for made in estimated_on.values() if made is not None}):
        past = inputs.history.until(day, inputs.config.lookback_sessions)
        names = names_to_estimate(past, inputs.config.lookback_sessions, most_names)
        weights = _weights(weigh, sample(past, names), inputs.config.max_position, day)
        tickers = past.tickers.gather(names)
        books.append(pl.DataFrame({"estimated_on": [day] * len(names), "ticker": tickers, "weight": weights},
                                  schema=books[0].schema))  # fmt: skip
    dates = pl.DataFrame({"date": list(estimated_on), "estimated_on": list(estimated_on.values())},
                         schema={"date": pl.Date, "estimated_on": pl.Date})  # fmt: skip
    held = dates.join(pl.concat(books), on="estimated_on").join(inputs.eligible, on=["date", "ticker"], how="semi")
    return held.select("date", "ticker", "weight")


def names_to_estimate(past: History, sessions: int, most_names: int | None = None) -> Columns:
    """Columns of the names that an estimate covers, ascending.

    Those are the stocks that may be bought at the month-end (where its session is lost from the data, at the newest
    session before it that has any) with a return on at least 80 % of the `sessions` and a price that moved; of them
    the `most_names` with the highest median turnover, where a session without one counts as zero.
    """
    sessions_with_names = np.flatnonzero(past.eligible.any(axis=1))
    if not len(sessions_with_names):
        return np.empty(0, dtype=np.intp)
    counted = np.isfinite(past.total_return_1d)
    moved = np.ptp(np.where(counted, past.total_return_1d, 0.0), axis=0) > 0.0
    known = counted.sum(axis=0) >= ENOUGH_HISTORY * sessions
    names = np.flatnonzero(past.eligible[sessions_with_names[-1]] & known & moved)
    if most_names is not None and len(names) > most_names:
        traded = np.median(np.nan_to_num(past.turnover_inr[:, names]), axis=0)
        names = np.sort(names[np.argsort(-traded, kind="stable")[:most_names]])
    return names


def sample(past: History, names: Columns) -> Array:
    """(T, n) returns of `names`; a missing one is 0, which is what a carried price earned."""
    returns = past.total_return_1d[:, names]
    return np.ascontiguousarray(np.where(np.isfinite(returns), returns, 0.0))


def _weights(weigh: Weigh, returns: Array, cap: float, day: date) -> Array:
    count = returns.shape[1]
    if count * cap <= 1.0 + SUM_TOLERANCE:
        return np.full(count, min(cap, 1.0 / max(count, 1)))
    try:
        return weigh(returns, cap)
    except DataError as error:
        raise DataError(f"estimate at the close of {day} for {count} names: {error}") from error
