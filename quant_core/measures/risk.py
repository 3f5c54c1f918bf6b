"""Losses and shape of a series of simple daily returns: drawdowns, tails, moments.

Ratios live in `performance`, the value at risk from moments in `cornish_fisher`.

The conventions of `performance` hold: 1-D arrays of one-session returns, a ratio without a denominator is NaN, missing
or infinite input raises a DataError. A value at risk is a return, so a loss is negative.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from quant_core.dense import Floats
from quant_core.errors import DataError

FLAT = 1e-12  # a standard deviation below this is rounding of a constant series
TAIL = 0.05  # 95 % confidence


def finite_series(values: ArrayLike, what: str = "returns") -> Floats:
    """A 1-D float array without missing values, or a DataError that names the first bad row."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise DataError(f"performance: {what} have shape {array.shape}; wanted a 1-D series with at least one session.")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise DataError(
            f"performance: {what} row {bad[0]} is {array[bad[0]]} ({len(bad)} such rows); "
            "drop the sessions without a value or fill them before measuring."
        )
    return array


def drawdown(returns: ArrayLike) -> Floats:
    """(T,) equity over its highest value so far, less 1; the start counts as a high."""
    equity = np.cumprod(1.0 + finite_series(returns))
    return equity / np.maximum(np.maximum.accumulate(equity), 1.0) - 1.0


def max_drawdown(returns: ArrayLike) -> float:
    """Deepest drawdown, a number <= 0."""
    return float(min(drawdown(returns).min(), 0.0))


def max_drawdown_duration(returns: ArrayLike) -> int:
    """Longest run of sessions below an earlier high, recovered or not."""
    below = drawdown(returns) < 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], below, [False]])))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def best_return_1d(returns: ArrayLike) -> float:
    """Return of the best session."""
    return float(finite_series(returns).max())


def worst_return_1d(returns: ArrayLike) -> float:
    """Return of the worst session."""
    return float(finite_series(returns).min())


def skewness(returns: ArrayLike) -> float:
    """Third standardised moment, adjusted for sample size (G1 in Joanes and Gill, 1998); NaN below 3 returns."""
    values = finite_series(returns)
    n = len(values)
    if n < 3 or np.std(values) <= FLAT:
        return math.nan
    return float(_standardised(values, 3) * math.sqrt(n * (n - 1.0)) / (n - 2.0))


def kurtosis(returns: ArrayLike) -> float:
    """Excess kurtosis, 0 for a normal series, adjusted for sample size (G2); NaN below 4 returns."""
    values = finite_series(returns)
    n = len(values)
    if n < 4 or np.std(values) <= FLAT:
        return math.nan
    excess = _standardised(values, 4) - 3.0
    return float((n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * excess + 6.0))


def tail_ratio(returns: ArrayLike, tail: float = TAIL) -> float:
    """Size of the upper `tail` quantile over the size of the lower one, interpolated as in empyrical."""
    low, high = np.percentile(finite_series(returns), [100.0 * tail, 100.0 * (1.0 - tail)])
    return float(abs(high) / abs(low)) if abs(low) > FLAT else math.nan


def value_at_risk(returns: ArrayLike, tail: float = TAIL) -> float:
    """Historical `tail` quantile of the daily return (a loss is negative), interpolated as in empyrical."""
    return float(np.percentile(finite_series(returns), 100.0 * tail))


def conditional_value_at_risk(returns: ArrayLike, tail: float = TAIL) -> float:
    """Mean of the worst int((T - 1) x tail) + 1 daily returns, empyrical's rule."""
    values = np.sort(finite_series(returns))
    return float(values[: int((len(values) - 1) * tail) + 1].mean())


def _standardised(values: Floats, power: int) -> float:
    centred = values - values.mean()
    return float(np.mean(centred**power) / np.mean(centred**2) ** (power / 2))
