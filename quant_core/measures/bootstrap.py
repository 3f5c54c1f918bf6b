"""Intervals for a measure of one history by resampling it in blocks: the stationary bootstrap.

What belongs here: drawing resamples and reading intervals off them. What does not: formulas for the Sharpe ratio's
own distribution (`significance`), comparing many strategies (`overfitting`).

Sources: Politis and Romano (1994), The stationary bootstrap, JASA 89; Politis and White (2004), Automatic block-length
selection for the dependent bootstrap, Econometric Reviews 23, with the correction of Patton, Politis and White (2009),
Econometric Reviews 28.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures.risk import FLAT

Statistic = Callable[..., Floats]

MIN_SESSIONS = 20  # below this neither the autocorrelations nor a resample say anything
QUIET_LAGS = 5  # K_N of Politis and White, footnote c: max(5, log10 T), which is 5 for every T below 10^6


@dataclass(frozen=True)
class Interval:
    """Both ends of an interval; NaN where the measure cannot be resampled."""

    low: float
    high: float


def checked_returns(values: ArrayLike, what: str, n_dims: int = 1) -> Floats:
    """`values` as finite floats of `n_dims` axes; a DataError names the first bad one."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != n_dims:
        raise DataError(f"{what}: returns have shape {array.shape}; wanted {n_dims} axes.")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(int(k) for k in bad[0])
        raise DataError(
            f"{what}: return {where} is {array[where]} ({len(bad)} such values); keep the sessions where every series "
            "has a value."
        )
    return array


def stationary_bootstrap_indices(n: int, n_draws: int, mean_block: float, seed: int) -> NDArray[np.int32]:
    """Rows to take for resamples in blocks of geometric length, wrapped around the end of the history.

    Args:
        n: sessions of the history, and of each resample.
        n_draws: resamples.
        mean_block: mean block length in sessions, at least 1; 1 draws every session on its own.
        seed: the same seed gives the same rows.
    Returns:
        (n_draws, n) row numbers below n.
    Raises:
        DataError: a count below 1, a mean block below 1 or not finite.
    """
    if n < 1 or n_draws < 1 or not (math.isfinite(mean_block) and mean_block >= 1.0):
        raise DataError(f"bootstrap: n {n}, n_draws {n_draws}, mean_block {mean_block}; wanted each at least 1.")
    rows = np.empty((n_draws, n), dtype=np.int32)
    _fill_rows(np.random.default_rng(seed), rows, 1.0 / mean_block)
    return rows


@numba.njit(cache=True, nogil=True)
def _fill_rows(rng: np.random.Generator, rows: NDArray[np.int32], restart: float) -> None:
    n_draws, n = rows.shape
    for draw in range(n_draws):
        row = int(rng.random() * n)
        rows[draw, 0] = row
        for t in range(1, n):
            u = rng.random()
            if u < restart:
                row = int(u / restart * n)  # given u < restart, u / restart is uniform again: one draw for both
            else:
                row = row + 1 if row + 1 < n else 0
            rows[draw, t] = row


def optimal_block_length(x: ArrayLike) -> float:
    """Mean block length, in sessions, with the least error of the stationary bootstrap's variance of the mean.

    The autocovariances are weighted by a flat-top window of 2 m lags, where m is the first lag from which five
    autocorrelations in a row are within 2 sqrt(log10(T) / T) of 0 (Patton's program; one lag more than the paper's
    letter). Without such a lag every one of the ceil(sqrt(T)) + 5 lags counts.

    Args:
        x: (T,) values, T at least 20.
    Returns:
        between 1 and ceil(min(3 sqrt(T), T / 3)); 1 for a constant series.
    Raises:
        DataError: fewer than 20 values, or one that is not finite.
    """
    values = checked_returns(x, "block length")
    n = len(values)
    if n < MIN_SESSIONS:
        raise DataError(f"block length: {n} sessions; wanted at least {MIN_SESSIONS}, or give mean_block yourself.")
    centred = values - values.mean()
    if math.sqrt(float(centred @ centred) / n) <= FLAT:
        return 1.0
    max_lag = math.ceil(math.sqrt(n)) + QUIET_LAGS
    covariance = np.array([centred[lag:] @ centred[: n - lag] for lag in range(max_lag + 1)]) / n
    quiet = np.abs(covariance[1:]) < 2.0 * math.sqrt(math.log10(n) / n) * covariance[0]
    runs = np.lib.stride_tricks.sliding_window_view(quiet, QUIET_LAGS).all(axis=1)  # runs[k] starts at lag k + 1
    width = min(2 * (int(np.argmax(runs)) + 1), max_lag) if runs.any() else max_lag
    lags = np.arange(1, width + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - lags / width))
    spectrum = covariance[0] + 2.0 * float(window @ covariance[1 : width + 1])  # long-run variance
    curvature = 2.0 * float((window * lags) @ covariance[1 : width + 1])
    longest = float(math.ceil(min(3.0 * math.sqrt(n), n / 3.0)))
    if abs(spectrum) <= FLAT**2:
        return longest
    # (2 G^2 / D)^(1/3) T^(1/3) with D = 2 g(0)^2, the corrected constant
    return min(max(float(abs(curvature / spectrum) ** (2.0 / 3.0)) * n ** (1.0 / 3.0), 1.0), longest)


def bootstrap_interval(
    returns: ArrayLike,
    statistic: str | Statistic,
    *,
    seed: int,
    n_draws: int = 2000,
    confidence: float = 0.95,
    mean_block: float | None = None,
) -> Interval:
    """Percentile interval of a measure over resampled histories.

    Args:
        returns: (T,) returns, or K series (K, T) of the same sessions that are resampled together.
        statistic: "sharpe" (annualised; give excess returns), "cagr" (252 sessions a year), or a function of K arrays
            (n_draws, T) that gives (n_draws,) values.
        mean_block: sessions; None takes `optimal_block_length`, the longest of the K series'.
    Returns:
        the central `confidence` share of the resamples; those without a value (NaN) are left out. NaN for fewer than 20
        sessions or where no resample has a value.
    Raises:
        DataError: a return that is not finite, an unknown statistic, a confidence outside (0, 1).
    """
    values = checked_returns(np.atleast_2d(np.asarray(returns, dtype=np.float64)), "bootstrap", n_dims=2)  # (K, T)
    if not 0.0 < confidence < 1.0:
        raise DataError(f"bootstrap: confidence is {confidence}; wanted a share between 0 and 1.")
    if isinstance(statistic, str) and statistic not in STATISTICS:
        raise DataError(f"bootstrap: statistic {statistic!r}; wanted one of {sorted(STATISTICS)} or a function.")
    measure = STATISTICS[statistic] if isinstance(statistic, str) else statistic
    n = values.shape[1]
    if n < MIN_SESSIONS:
        return Interval(math.nan, math.nan)
    block = max(optimal_block_length(row) for row in values) if mean_block is None else mean_block
    rows = stationary_bootstrap_indices(n, n_draws, block, seed)
    drawn = np.asarray(measure(*(series[rows] for series in values)), dtype=np.float64)
    if drawn.shape != (n_draws,):
        raise DataError(f"bootstrap: the statistic gave shape {drawn.shape}; wanted one value a draw, ({n_draws},).")
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Interval(math.nan, math.nan)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Interval(float(low), float(high))


def sharpe_interval(excess_returns: ArrayLike, *, seed: int, n_draws: int = 2000, confidence: float = 0.95) -> Interval:
    """`bootstrap_interval` of the annualised Sharpe ratio of (T,) returns over cash."""
    return bootstrap_interval(excess_returns, "sharpe", seed=seed, n_draws=n_draws, confidence=confidence)


def growth_interval(returns: ArrayLike, *, seed: int, n_draws: int = 2000, confidence: float = 0.95) -> Interval:
    """`bootstrap_interval` of compound growth a year of (T,) returns.

    A resample has no dates: a year is 252 sessions here and calendar time in `performance.cagr`.
    """
    return bootstrap_interval(returns, "cagr", seed=seed, n_draws=n_draws, confidence=confidence)


def _sharpe_ann(excess: Floats) -> Floats:
    """(D, T) -> (D,) mean over sample standard deviation x sqrt(252); NaN where a resample is flat."""
    deviation = excess.std(axis=1, ddof=1)
    ratio = excess.mean(axis=1) / np.where(deviation > FLAT, deviation, np.nan)
    return ratio * math.sqrt(SESSIONS_PER_YEAR)


def _growth_ann(returns: Floats) -> Floats:
    """(D, T) -> (D,) compound growth over 252 sessions; -1 for an account that lost everything."""
    return np.prod(np.maximum(1.0 + returns, 0.0), axis=1) ** (SESSIONS_PER_YEAR / returns.shape[1]) - 1.0


STATISTICS: dict[str, Statistic] = {"sharpe": _sharpe_ann, "cagr": _growth_ann}
