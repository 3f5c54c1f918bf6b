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
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.trading.rebalancing import last_month_end
from quant_core.trading.weights import SUM_TOLERANCE

#: Least share of the lookback's sessions on which a name must have a return.
ENOUGH_HISTORY = 0.8
#: Among which the month-end session is judged to be lost or not.
RECENT_SESSIONS = 21

#: (T, N) daily returns without gaps, N >= 2, and the largest weight of a name, N x cap > 1, to (N,) weights that sum
#: to 1.
Weigh = Callable[[Floats, float], Floats]
Columns = NDArray[np.intp]


def monthly_weights(inputs: DecisionInputs, weigh: Weigh, most_names: int | None = None) -> pl.DataFrame:
    """Target weights that `weigh` estimates at each month's last session, on every decision date up to the next.

    A stock of the estimate that cannot be traded on the decision date is kept as it is held, one that left the universe
    is sold. A stock that may be bought on the decision date and that the estimate could not judge, because it lacked
    history or was not traded at the month-end, is kept as well. With so few names that all of them at the cap do not
    exceed 1, that is what is held, as nothing is left to choose.

    Args:
        most_names: estimate on this many names only, the most traded; None for all.
    Returns:
        date, ticker, weight, null for a name to keep; a date with no name of enough history decides nothing.
    Raises:
        DataError: `weigh` found no weights; names the month-end.
    """
    schema = {"estimated_on": pl.Date, "ticker": pl.String, "weight": pl.Float64}
    estimated_on = {day: last_month_end(day) for day in inputs.decision_dates}
    books = [pl.DataFrame(schema=schema)]
    for day in sorted({made for made in estimated_on.values() if made is not None}):
        past = inputs.history.until(day, inputs.config.lookback_sessions)
        judged = names_with_history(past, inputs.config.lookback_sessions)
        names = most_traded(past, judged, most_names)
        book = np.zeros(len(past.tickers))
        book[names] = _weights(weigh, sample(past, names), inputs.config.max_position, day)
        books.append(pl.DataFrame({"estimated_on": [day] * len(judged), "ticker": past.tickers.gather(judged),
                                   "weight": book[judged]}, schema=schema))  # fmt: skip
    dates = pl.DataFrame({"date": list(estimated_on), "estimated_on": list(estimated_on.values())},
                         schema={"date": pl.Date, "estimated_on": pl.Date})  # fmt: skip
    estimates = pl.concat(books)
    dates = dates.join(estimates.select("estimated_on").unique(), on="estimated_on", how="semi")
    may_hold = dates.join(inputs.eligible, on="date").join(estimates, on=["estimated_on", "ticker"], how="left")
    return may_hold.filter(pl.col("weight").ne_missing(0.0)).select("date", "ticker", "weight")


def names_with_history(past: History, sessions: int) -> Columns:
    """Columns of the names that can be judged, ascending.

    Those are the stocks that may be bought at the month-end with a return on at least 80 % of the `sessions` and a
    price that moved. Where most of the market is lost at the month-end, the newest session counts on which at least
    half as many may be bought as on the best of the RECENT_SESSIONS.
    """
    n_eligible = past.eligible.sum(axis=1)
    most = n_eligible[-RECENT_SESSIONS:].max(initial=0)
    if most == 0:
        return np.empty(0, dtype=np.intp)
    newest = np.flatnonzero(2 * n_eligible >= most)[-1]
    counted = np.isfinite(past.total_return_1d)
    moved = np.ptp(np.where(counted, past.total_return_1d, 0.0), axis=0) > 0.0
    known = counted.sum(axis=0) >= ENOUGH_HISTORY * sessions
    return np.flatnonzero(past.eligible[newest] & known & moved)


def most_traded(past: History, names: Columns, most_names: int | None) -> Columns:
    """The `most_names` of the columns with the highest median turnover, where a session without one counts as zero."""
    if most_names is None or len(names) <= most_names:
        return names
    traded = np.median(np.nan_to_num(past.turnover_inr[:, names]), axis=0)
    return np.sort(names[np.argsort(-traded, kind="stable")[:most_names]])


def sample(past: History, names: Columns) -> Floats:
    """(T, n) returns of `names`; a missing one is 0, which is what a carried price earned."""
    returns = past.total_return_1d[:, names]
    return np.ascontiguousarray(np.where(np.isfinite(returns), returns, 0.0))


def _weights(weigh: Weigh, returns: Floats, cap: float, day: date) -> Floats:
    count = returns.shape[1]
    if count * cap <= 1.0 + SUM_TOLERANCE:
        return np.full(count, min(cap, 1.0 / max(count, 1)))
    try:
        return weigh(returns, cap)
    except DataError as error:
        raise DataError(f"estimate at the close of {day} for {count} names: {error}") from error
