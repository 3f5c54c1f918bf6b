"""The t statistic of a mean whose values depend on their neighbours, as those of overlapping windows do.

Sources: Newey and West, Econometrica 55(3), 1987 (kernel) and Review of Economic Studies 61(4), 1994 (lag rule).
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from quant_core.errors import DataError


def newey_west_t(
    series: pl.Series | np.ndarray | Sequence[float], lags: int | None = None, horizon_sessions: int = 1
) -> tuple[float, float]:
    """Mean and its t statistic under autocorrelation (Bartlett kernel, no small-sample correction).

    Args:
        series: finite values in time order.
        lags: None for the larger of horizon_sessions - 1 (the overlap of the labels) and floor(4 (n / 100)^(2/9)).
    Returns:
        (mean, t); t is NaN for fewer than two values or no variance.
    """
    values = np.asarray(series, dtype=np.float64)
    n = len(values)
    if not np.isfinite(values).all():
        raise DataError(
            f"newey_west_t: {int((~np.isfinite(values)).sum())} of {n} values are not finite; drop them first."
        )
    if n < 2:
        return (float(values[0]) if n else math.nan), math.nan
    width = min(newey_west_lags(n, horizon_sessions) if lags is None else lags, n - 1)
    centred = values - values.mean()
    covariances = [float(centred[j:] @ centred[: n - j]) / n for j in range(width + 1)]
    variance = covariances[0] + 2.0 * sum((1.0 - j / (width + 1)) * covariances[j] for j in range(1, width + 1))
    flat = np.ptp(values) == 0 or variance <= 0
    return float(values.mean()), math.nan if flat else float(values.mean() / math.sqrt(variance / n))


def newey_west_lags(n: int, horizon_sessions: int = 1) -> int:
    """Default number of lags for `n` values of a series with labels over `horizon_sessions`."""
    return max(horizon_sessions - 1, int(4.0 * (n / 100.0) ** (2.0 / 9.0)))
