"""Two return series in one window: co-moments of each ticker with the market index, merged as in `kernels.py`.

References: Pebay (2008), Formulas for Robust, One-Pass Parallel Computation of Covariances.
"""

import numpy as np
from numpy.typing import NDArray

from quant_core.compiling import compiled
from quant_core.features.kernels import RELATIVE_STD_FLOOR
from quant_core.features.shapes import BoolPanel, FloatPanel

CORRELATION, BETA, RESIDUAL_STD = 0, 1, 2


@compiled
def paired(steps: FloatPanel, priced: BoolPanel, index: FloatPanel, index_priced: BoolPanel, reach: int) -> FloatPanel:
    """`steps` where stock and index both have a return over the same span of sessions, else NaN.

    A return spans the sessions since the row before it. After a gap of one side only, its return covers more days than
    the other's, and the pair would not be an observation of anything. Gaps longer than `reach` are not paired.
    """
    tickers, sessions = steps.shape
    out = np.full((tickers, sessions), np.nan)
    span = np.zeros(sessions, dtype=np.int64)
    last = -reach - 1
    for t in range(sessions):
        if index_priced[0, t]:
            if t - last <= reach and index[0, t] == index[0, t]:
                span[t] = t - last
            last = t
    for n in range(tickers):
        last = -reach - 1
        for t in range(sessions):
            if priced[n, t]:
                if span[t] > 0 and t - last == span[t]:
                    out[n, t] = steps[n, t]
                last = t
    return out


@compiled
def _add(sums: NDArray[np.float64], x: float, y: float) -> None:
    """Take one more observation into (count, x0, y0, Sx, Sy, Sxx, Sxy, Syy), deviations from the first one."""
    if sums[0] == 0.0:
        sums[1], sums[2] = x, y
    dx, dy = x - sums[1], y - sums[2]
    sums[0] += 1.0
    sums[3] += dx
    sums[4] += dy
    sums[5] += dx * dx
    sums[6] += dx * dy
    sums[7] += dy * dy


@compiled
def _moments(sums: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """(count, mean x, mean y, Mxx, Mxy, Myy) of those sums; all zero without observations."""
    if sums[0] == 0.0:
        out[:] = 0.0
        return
    mean_x, mean_y = sums[3] / sums[0], sums[4] / sums[0]
    out[0] = sums[0]
    out[1] = sums[1] + mean_x
    out[2] = sums[2] + mean_y
    out[3] = max(sums[5] - sums[3] * mean_x, 0.0)
    out[4] = sums[6] - sums[3] * mean_y
    out[5] = max(sums[7] - sums[4] * mean_y, 0.0)


@compiled
def _statistic(tail: NDArray[np.float64], head: NDArray[np.float64], what: int) -> float:
    """Correlation, beta or residual standard deviation of two merged spans; NaN where a series does not vary."""
    count = tail[0] + head[0]
    share = head[0] / count
    dx, dy = head[1] - tail[1], head[2] - tail[2]
    between = tail[0] * share
    mxx = tail[3] + head[3] + dx * dx * between
    mxy = tail[4] + head[4] + dx * dy * between
    myy = tail[5] + head[5] + dy * dy * between
    flat_x = RELATIVE_STD_FLOOR * abs(tail[1] + dx * share)
    flat_y = RELATIVE_STD_FLOOR * abs(tail[2] + dy * share)
    if count < 3.0 or mxx <= count * flat_x * flat_x:
        return np.nan
    if what == BETA:
        return mxy / mxx
    if what == RESIDUAL_STD:
        return np.sqrt(max(myy - mxy * mxy / mxx, 0.0) / (count - 2.0))
    if myy <= count * flat_y * flat_y:
        return np.nan
    return min(max(mxy / np.sqrt(mxx * myy), -1.0), 1.0)


@compiled
def window_regression(
    y: FloatPanel, x: FloatPanel, window: int, first_session: int, full: BoolPanel, what: int
) -> FloatPanel:
    """A statistic of the regression y = a + b x + e over the window where `full`, else NaN.

    Args:
        y: (N, T); an observation is a session where it is not NaN.
        x: (1, T), finite wherever y is.
        what: CORRELATION, BETA or RESIDUAL_STD (two degrees of freedom lost).
    """
    tickers, sessions = y.shape
    out = np.full((tickers, sessions), np.nan)
    tails = np.zeros((window + 1, 6))
    sums, head = np.zeros(8), np.zeros(6)
    for n in range(tickers):
        tails[:] = 0.0
        for begin in range(-(first_session % window), sessions, window):
            lo, hi = max(begin, 0), min(begin + window, sessions)
            sums[:] = 0.0
            for t in range(lo, hi):
                if y[n, t] == y[n, t]:
                    _add(sums, x[0, t], y[n, t])
                if full[n, t]:
                    _moments(sums, head)
                    out[n, t] = _statistic(tails[t - begin + 1], head, what)
            if hi == begin + window:
                sums[:] = 0.0
                for t in range(hi - 1, lo - 1, -1):
                    if y[n, t] == y[n, t]:
                        _add(sums, x[0, t], y[n, t])
                    _moments(sums, tails[t - begin])
                for ahead in range(lo - begin):  # of the panel: its tail is that of the block's first session
                    for k in range(6):
                        tails[ahead, k] = tails[lo - begin, k]
    return out
