"""Whether one forecast's losses are larger than another's, by more than luck.

Sources: Diebold and Mariano, Comparing Predictive Accuracy, JBES 13 (1995); Harvey, Leybourne and Newbold, Testing the
equality of prediction mean squared errors, International Journal of Forecasting 13 (1997).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from quant_core.errors import DataError
from quant_core.measures.newey_west import newey_west_t


class DieboldMariano(NamedTuple):
    """mean: of the first's loss less the second's; t above 0 speaks for the second; p is two-sided."""

    mean: float
    t: float
    p: float
    n: int


def diebold_mariano(
    first: pl.Series | np.ndarray | Sequence[float],
    second: pl.Series | np.ndarray | Sequence[float],
    horizon_sessions: int = 1,
) -> DieboldMariano:
    """Test of equal expected loss on the differences d of two loss series, one value a date.

    t = mean(d) / sqrt(LRV(d) / n) x sqrt((n + 1 - 2 h + h (h - 1) / n) / n) against Student's t with n - 1 degrees of
    freedom; LRV is Newey-West's with h - 1 lags (Bartlett weights, which keep it positive; the 1995 paper's are flat).

    Args:
        first, second: losses of the same dates in time order, finite.
        horizon_sessions: h of the forecasts; neighbouring differences share h - 1 sessions.
    Returns:
        t and p are NaN for fewer than two dates, no variance, or fewer dates than the correction allows.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(
            f"diebold_mariano: losses of shapes {a.shape} and {b.shape}, wanted two series of equal length."
        )
    if horizon_sessions < 1:
        raise DataError(f"diebold_mariano: horizon is {horizon_sessions} sessions, wanted at least 1.")
    n, h = len(a), horizon_sessions
    mean, t = newey_west_t(a - b, lags=h - 1)
    correction = (n + 1 - 2 * h + h * (h - 1) / n) / n if n else 0.0
    if math.isnan(t) or correction <= 0.0:
        return DieboldMariano(mean, math.nan, math.nan, n)
    t *= math.sqrt(correction)
    return DieboldMariano(mean, t, _two_sided(t, n - 1), n)


def _two_sided(t: float, df: int) -> float:
    from scipy.special import stdtr

    return float(2.0 * stdtr(df, -abs(t)))
