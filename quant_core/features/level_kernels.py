"""Window statistics of the total-return index, rebuilt inside each window from its own log returns.

Levels are running sums of log returns. A price or an index level is never read: a level carried from further back would
make a value depend on the history that is loaded. Two-block scheme and conventions as in `kernels.py`.
"""

import numpy as np

from quant_core.compiling import compiled
from quant_core.features.shapes import BoolPanel, FloatPanel


@compiled
def window_max_drawdown(steps: FloatPanel, window: int, first_session: int, full: BoolPanel) -> FloatPanel:
    """Worst peak-to-trough fall inside the window where `full`, as a fraction <= 0, else NaN.

    `steps` are log returns; levels are their running sum, and the level before the window's first step counts as a
    possible peak. A missing step leaves the level where it was. Two spans merge by
    min(fall in the first, fall in the second, lowest of the second - highest of the first).
    """
    tickers, sessions = steps.shape
    out = np.full((tickers, sessions), np.nan)
    tail_peak = np.zeros(window + 1)  # highest level of the tail, relative to the level at the block's end
    tail_fall = np.zeros(window + 1)
    for n in range(tickers):
        tail_peak[:] = 0.0
        tail_fall[:] = 0.0
        for begin in range(-(first_session % window), sessions, window):
            lo, hi = max(begin, 0), min(begin + window, sessions)
            level, lowest, below_peak, fall = 0.0, 0.0, 0.0, 0.0
            for t in range(lo, hi):
                if steps[n, t] == steps[n, t]:
                    level += steps[n, t]
                    lowest = min(lowest, level)
                    below_peak = min(0.0, below_peak + steps[n, t])
                    fall = min(fall, below_peak)
                if full[n, t]:
                    before = t - begin + 1
                    out[n, t] = np.expm1(min(fall, tail_fall[before], lowest - tail_peak[before]))
            level, peak, ahead, fall = 0.0, 0.0, 0.0, 0.0
            for t in range(hi - 1, lo - 1, -1):
                if steps[n, t] == steps[n, t]:
                    level -= steps[n, t]
                    peak = max(peak, level)
                    ahead = min(0.0, ahead) + steps[n, t]
                    fall = min(fall, ahead)
                tail_peak[t - begin] = peak
                tail_fall[t - begin] = fall
            tail_peak[: lo - begin] = peak
            tail_fall[: lo - begin] = fall
    return out


@compiled
def distance_to_high(steps: FloatPanel, window: int, first_session: int, full: BoolPanel) -> FloatPanel:
    """Today's level over the highest of the window's levels, minus 1, where `full`, else NaN.

    The levels are those after each of the window's sessions that has a step, today's included.
    """
    tickers, sessions = steps.shape
    out = np.full((tickers, sessions), np.nan)
    tail = np.full(window + 1, -np.inf)  # tail[p]: highest level from position p to the block's end, the end's being 0
    for n in range(tickers):
        tail[:] = -np.inf
        for begin in range(-(first_session % window), sessions, window):
            lo, hi = max(begin, 0), min(begin + window, sessions)
            level, highest = 0.0, -np.inf
            for t in range(lo, hi):
                if steps[n, t] == steps[n, t]:
                    level += steps[n, t]
                    highest = max(highest, level)
                if full[n, t]:
                    out[n, t] = np.expm1(min(level - max(highest, tail[t - begin + 1]), 0.0))
            level, highest = 0.0, -np.inf
            for t in range(hi - 1, lo - 1, -1):
                if steps[n, t] == steps[n, t]:
                    highest = max(highest, level)
                    level -= steps[n, t]
                tail[t - begin] = highest
            tail[: lo - begin] = highest
    return out


@compiled
def distance_to_mean(steps: FloatPanel, window: int, first_session: int, full: BoolPanel) -> FloatPanel:
    """Today's level over the mean of the window's levels, minus 1, where `full`, else NaN.

    The levels are those after each of the window's sessions that has a step, today's included.
    """
    tickers, sessions = steps.shape
    out = np.full((tickers, sessions), np.nan)
    tail = np.zeros(window + 1)  # tail[p]: sum of the levels from position p to the block's end, the end's being 1
    counts = np.zeros(window + 1, dtype=np.int64)
    for n in range(tickers):
        tail[:] = 0.0
        counts[:] = 0
        for begin in range(-(first_session % window), sessions, window):
            lo, hi = max(begin, 0), min(begin + window, sessions)
            level, total, count = 0.0, 0.0, 0
            for t in range(lo, hi):
                if steps[n, t] == steps[n, t]:
                    level += steps[n, t]
                    total += np.exp(level)
                    count += 1
                if full[n, t]:
                    before = t - begin + 1
                    out[n, t] = np.exp(level) * (count + counts[before]) / (total + tail[before]) - 1.0
            level, total, count = 0.0, 0.0, 0
            for t in range(hi - 1, lo - 1, -1):
                if steps[n, t] == steps[n, t]:
                    total += np.exp(level)
                    count += 1
                    level -= steps[n, t]
                tail[t - begin] = total
                counts[t - begin] = count
            tail[: lo - begin] = total
            counts[: lo - begin] = count
    return out
