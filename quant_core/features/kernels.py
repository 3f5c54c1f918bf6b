"""Window statistics on dense (N tickers, T sessions) panels: compiled, exact, O(1) a row.

Every kernel cuts time into blocks of the window's length, anchored on the absolute session number. A window is then the
tail of one block and the head of the next; both are accumulated afresh inside their block from rows inside the window,
so a value is bit for bit the same whichever span of history is loaded. No sum is ever carried across blocks.

What belongs here: loops over arrays. What does not: names, tables, configuration. NaN means "no value".

References: van Herk (1992) and Gil & Werman (1993) for the two-block scheme; Chan, Golub & LeVeque (1983) for merging
(count, mean, M2).
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

FloatPanel = NDArray[np.float64]
BoolPanel = NDArray[np.bool_]
Function = TypeVar("Function", bound=Callable[..., Any])

#: A standard deviation below this share of the mean's magnitude is rounding noise, not dispersion.
RELATIVE_STD_FLOOR = 1e-12


def compiled(function: Function) -> Function:
    """Compile without fast-math: re-association would make values depend on the vector width."""
    return cast("Function", numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function))


@compiled
def log1p_panel(simple: FloatPanel) -> FloatPanel:
    """log(1 + x) by the scalar library function, so that a value never depends on its position in the array."""
    out = np.empty_like(simple)
    for n in range(simple.shape[0]):
        for t in range(simple.shape[1]):
            out[n, t] = np.log1p(simple[n, t])
    return out


@compiled
def expm1_panel(values: FloatPanel) -> FloatPanel:
    """exp(x) - 1 by the scalar library function."""
    out = np.empty_like(values)
    for n in range(values.shape[0]):
        for t in range(values.shape[1]):
            out[n, t] = np.expm1(values[n, t]) if values[n, t] == values[n, t] else np.nan
    return out


@compiled
def log_panel(values: FloatPanel) -> FloatPanel:
    """log(x) by the scalar library function; NaN where x is not above zero."""
    out = np.empty_like(values)
    for n in range(values.shape[0]):
        for t in range(values.shape[1]):
            out[n, t] = np.log(values[n, t]) if values[n, t] > 0.0 else np.nan
    return out


@compiled
def full_windows(values: FloatPanel, priced: BoolPanel, window: int, need: int, reach: int) -> BoolPanel:
    """Where a window of `window` sessions ending today may be used.

    True when today has a price, at least `need` of the window's sessions have a value, and a price exists within the
    `reach` sessions before the window's first session.
    """
    tickers, sessions = values.shape
    out = np.zeros((tickers, sessions), dtype=np.bool_)
    n_values = np.zeros(sessions + 1, dtype=np.int64)
    n_prices = np.zeros(sessions + 1, dtype=np.int64)
    for n in range(tickers):
        for t in range(sessions):
            n_values[t + 1] = n_values[t] + (values[n, t] == values[n, t])
            n_prices[t + 1] = n_prices[t] + priced[n, t]
        for t in range(window, sessions):
            begin = t - window + 1
            enough = n_values[t + 1] - n_values[begin] >= need
            anchored = n_prices[begin] > n_prices[max(begin - reach, 0)]
            out[n, t] = priced[n, t] and enough and anchored
    return out


@compiled
def full_windows_before(values: FloatPanel, priced: BoolPanel, window: int, need: int, reach: int) -> BoolPanel:
    """The same for the window of `window` sessions that ends yesterday; today needs a price."""
    tickers, sessions = values.shape
    out = np.zeros((tickers, sessions), dtype=np.bool_)
    n_values = np.zeros(sessions + 1, dtype=np.int64)
    n_prices = np.zeros(sessions + 1, dtype=np.int64)
    for n in range(tickers):
        for t in range(sessions):
            n_values[t + 1] = n_values[t] + (values[n, t] == values[n, t])
            n_prices[t + 1] = n_prices[t] + priced[n, t]
        for t in range(window + 1, sessions):
            begin = t - window
            enough = n_values[t] - n_values[begin] >= need
            anchored = n_prices[begin] > n_prices[max(begin - reach, 0)]
            out[n, t] = priced[n, t] and enough and anchored
    return out


@compiled
def any_in_window(flags: BoolPanel, window: int) -> BoolPanel:
    """Where one of the `window` sessions ending today is flagged."""
    tickers, sessions = flags.shape
    out = np.zeros((tickers, sessions), dtype=np.bool_)
    for n in range(tickers):
        last = -window
        for t in range(sessions):
            if flags[n, t]:
                last = t
            out[n, t] = t - last < window
    return out


@compiled
def window_sum(values: FloatPanel, window: int, first_session: int, full: BoolPanel) -> FloatPanel:
    """Sum of the window's values where `full`, else NaN.

    Args:
        values: (N, T); NaN is skipped.
        first_session: absolute session number of column 0; it anchors the blocks.
    """
    tickers, sessions = values.shape
    out = np.full((tickers, sessions), np.nan)
    tail = np.zeros(window + 1)  # tail[p]: sum from position p of the previous block to its end; tail[window] is empty
    for n in range(tickers):
        tail[:] = 0.0
        for begin in range(-(first_session % window), sessions, window):
            lo, hi = max(begin, 0), min(begin + window, sessions)
            head = 0.0
            for t in range(lo, hi):
                if values[n, t] == values[n, t]:
                    head += values[n, t]
                if full[n, t]:
                    out[n, t] = tail[t - begin + 1] + head
            total = 0.0
            for t in range(hi - 1, lo - 1, -1):
                if values[n, t] == values[n, t]:
                    total += values[n, t]
                tail[t - begin] = total
            tail[: lo - begin] = total
    return out


@compiled
def _reciprocals(window: int) -> NDArray[np.float64]:
    """1 / k for k = 0..window (0 for k = 0), so that the loops multiply instead of dividing."""
    out = np.zeros(window + 1)
    for k in range(1, window + 1):
        out[k] = 1.0 / k
    return out


@compiled
def _block_tails(
    row: NDArray[np.float64],
    lo: int,
    hi: int,
    counts: NDArray[np.int64],
    tails: NDArray[np.float64],
    inverse: NDArray[np.float64],
) -> None:
    """counts[p] and tails[p] = (mean, M2) of the block's values from position p to its end, the block ending before hi.

    Deviations are taken from one of the values themselves, which bounds the rounding error of M2 by the count.
    """
    window = counts.shape[0] - 1
    begin = hi - window
    count, shift, total, squares = 0, 0.0, 0.0, 0.0
    for t in range(hi - 1, lo - 1, -1):
        if row[t] == row[t]:
            if count == 0:
                shift = row[t]
            deviation = row[t] - shift
            count += 1
            total += deviation
            squares += deviation * deviation
        offset = total * inverse[count]
        counts[t - begin] = count
        tails[t - begin, 0] = shift + offset
        tails[t - begin, 1] = max(squares - total * offset, 0.0)
    for p in range(lo - begin):  # sessions before the panel have no value
        counts[p] = count
        tails[p] = tails[lo - begin]


@compiled
def _row_moments(
    row: NDArray[np.float64],
    first_session: int,
    inverse: NDArray[np.float64],
    counts: NDArray[np.int64],
    tails: NDArray[np.float64],
    n_values: NDArray[np.int64],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
) -> None:
    """Count, mean and variance (ddof 1) of the values in the window ending at each t, for one ticker.

    `inverse`, `counts` and `tails` are scratch of length window + 1.
    """
    sessions, window = row.shape[0], counts.shape[0] - 1
    counts[:] = 0
    tails[:] = 0.0
    for begin in range(-(first_session % window), sessions, window):
        lo, hi = max(begin, 0), min(begin + window, sessions)
        count, shift, total, squares = 0, 0.0, 0.0, 0.0
        for t in range(lo, hi):
            if row[t] == row[t]:
                if count == 0:
                    shift = row[t]
                deviation = row[t] - shift
                count += 1
                total += deviation
                squares += deviation * deviation
            offset = total * inverse[count]
            before = t - begin + 1
            both = counts[before] + count
            share = count * inverse[both]
            delta = shift + offset - tails[before, 0]
            m2 = tails[before, 1] + max(squares - total * offset, 0.0) + delta * delta * counts[before] * share
            n_values[t] = both
            mean[t] = tails[before, 0] + delta * share
            variance[t] = m2 * inverse[max(both - 1, 0)]
        if hi == begin + window:
            _block_tails(row, lo, hi, counts, tails, inverse)


@compiled
def window_std(values: FloatPanel, window: int, first_session: int, full: BoolPanel) -> FloatPanel:
    """Sample standard deviation (ddof 1) of the window's values where `full`, else NaN."""
    tickers, sessions = values.shape
    out = np.empty((tickers, sessions))
    counts, tails, inverse = np.zeros(window + 1, dtype=np.int64), np.zeros((window + 1, 2)), _reciprocals(window)
    n_values, mean, variance = np.zeros(sessions, dtype=np.int64), np.zeros(sessions), np.zeros(sessions)
    for n in range(tickers):
        _row_moments(values[n], first_session, inverse, counts, tails, n_values, mean, variance)
        for t in range(sessions):
            std = np.sqrt(variance[t])
            out[n, t] = std if full[n, t] and n_values[t] > 1 else np.nan
    return out


@compiled
def window_mean(values: FloatPanel, window: int, first_session: int, full: BoolPanel) -> FloatPanel:
    """Mean of the window's values where `full`, else NaN."""
    tickers, sessions = values.shape
    out = window_sum(values, window, first_session, full)
    n_values = np.zeros(sessions + 1, dtype=np.int64)
    for n in range(tickers):
        for t in range(sessions):
            n_values[t + 1] = n_values[t] + (values[n, t] == values[n, t])
            if full[n, t]:
                out[n, t] /= n_values[t + 1] - n_values[max(t + 1 - window, 0)]
    return out


@compiled
def mean_before(values: FloatPanel, window: int, first_session: int, full: BoolPanel) -> FloatPanel:
    """Mean of the `window` sessions that end yesterday, where `full` holds today, else NaN."""
    yesterday = np.zeros_like(full)
    yesterday[:, :-1] = full[:, 1:]
    means = window_mean(values, window, first_session, yesterday)
    out = np.full(values.shape, np.nan)
    out[:, 1:] = means[:, :-1]
    return out


@compiled
def window_max(values: FloatPanel, window: int, first_session: int, full: BoolPanel) -> FloatPanel:
    """Largest of the window's values where `full`, else NaN."""
    tickers, sessions = values.shape
    out = np.full((tickers, sessions), np.nan)
    tail = np.full(window + 1, -np.inf)
    for n in range(tickers):
        tail[:] = -np.inf
        for begin in range(-(first_session % window), sessions, window):
            lo, hi = max(begin, 0), min(begin + window, sessions)
            head = -np.inf
            for t in range(lo, hi):
                if values[n, t] > head:
                    head = values[n, t]
                if full[n, t]:
                    out[n, t] = max(tail[t - begin + 1], head)
            highest = -np.inf
            for t in range(hi - 1, lo - 1, -1):
                if values[n, t] > highest:
                    highest = values[n, t]
                tail[t - begin] = highest
            tail[: lo - begin] = highest
    return out


@compiled
def window_zscore(values: FloatPanel, window: int, first_session: int, need: int) -> FloatPanel:
    """(today - mean) / standard deviation (ddof 1) over the window, today included.

    NaN where today has no value, fewer than `need` sessions have one, or the values do not vary.
    """
    tickers, sessions = values.shape
    least = max(need, 2)
    out = np.empty((tickers, sessions))
    counts, tails, inverse = np.zeros(window + 1, dtype=np.int64), np.zeros((window + 1, 2)), _reciprocals(window)
    n_values, mean, variance = np.zeros(sessions, dtype=np.int64), np.zeros(sessions), np.zeros(sessions)
    for n in range(tickers):
        _row_moments(values[n], first_session, inverse, counts, tails, n_values, mean, variance)
        for t in range(sessions):
            std = np.sqrt(variance[t])
            score = (values[n, t] - mean[t]) / std
            out[n, t] = score if n_values[t] >= least and std > RELATIVE_STD_FLOOR * abs(mean[t]) else np.nan
    return out


@compiled
def cap_outliers(values: FloatPanel, window: int, first_session: int, need: int, sigma: float) -> FloatPanel:
    """Values cut to mean +- sigma standard deviations of the `window` sessions that end yesterday.

    A value whose trailing window has fewer than `need` values, or does not vary, is left as it is.
    """
    tickers, sessions = values.shape
    least = max(need, 2)
    out = values.copy()
    counts, tails, inverse = np.zeros(window + 1, dtype=np.int64), np.zeros((window + 1, 2)), _reciprocals(window)
    n_values, mean, variance = np.zeros(sessions, dtype=np.int64), np.zeros(sessions), np.zeros(sessions)
    for n in range(tickers):
        _row_moments(values[n], first_session, inverse, counts, tails, n_values, mean, variance)
        for t in range(1, sessions):
            std = np.sqrt(variance[t - 1])
            if n_values[t - 1] >= least and std > RELATIVE_STD_FLOOR * abs(mean[t - 1]):
                highest, lowest = mean[t - 1] + sigma * std, mean[t - 1] - sigma * std
                if out[n, t] > highest:
                    out[n, t] = highest
                elif out[n, t] < lowest:
                    out[n, t] = lowest
    return out
