"""Window statistics on dense (N tickers, T sessions) panels: compiled, exact, O(1) a row.

Every kernel cuts time into blocks of the window's length, anchored on the absolute session number. A window is then the
tail of one block and the head of the next; both are accumulated afresh inside their block from rows inside the window,
so a value is bit for bit the same whichever span of history is loaded. No sum is ever carried across blocks.

What belongs here: loops over arrays. What does not: names, tables, configuration. NaN means "no value". A loop assigns
cell by cell: the first copy of one slice to another takes seconds to compile, and a new checkout compiles everything.

References: van Herk (1992) and Gil & Werman (1993) for the two-block scheme; Chan, Golub & LeVeque (1983) for merging
(count, mean, M2).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_core.compiling import compiled
from quant_core.features.shapes import BoolPanel, FloatPanel

Counts = NDArray[np.uint64]  # unsigned, as they are used as indices: a signed one is checked for being negative

#: A standard deviation below this share of the mean's magnitude is rounding noise, not dispersion.
RELATIVE_STD_FLOOR = 1e-12


@compiled
def to_log1p(values: FloatPanel) -> None:
    """Replace x by log(1 + x), by the scalar library function: a value never depends on its position in the array."""
    for n in range(values.shape[0]):
        for t in range(values.shape[1]):
            values[n, t] = np.log1p(values[n, t])


@compiled
def log1p_panel(simple: FloatPanel) -> FloatPanel:
    """log(1 + x) of every cell."""
    out = simple.copy()
    to_log1p(out)
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


class Spans(NamedTuple):
    """Moments of the values in spans of one ticker's sessions; those of an empty span are zero.

    Args:
        n_values, mean, variance: one a span.
        inverse: 1 / k for k = 0, 1.. (0 for k = 0), so that the loops multiply instead of dividing.
    """

    n_values: Counts
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    inverse: NDArray[np.float64]


@compiled
def _no_spans(spans: int, most_values: int) -> Spans:
    """Room for that many spans of up to `most_values` values each."""
    inverse = np.zeros(most_values + 1)
    for k in range(1, most_values + 1):
        inverse[k] = 1.0 / k
    return Spans(np.zeros(spans, dtype=np.uint64), np.zeros(spans), np.zeros(spans), inverse)


@compiled
def _tails(values: NDArray[np.float64], before: int, tails: Spans) -> None:
    """Count, mean and M2 of a block's values from each position to its end, into tails[position].

    Deviations are taken from one of the values themselves, which bounds the rounding error of M2 by the count.

    Args:
        values: the block without its first `before` sessions, which lie ahead of the panel and have no value.
    """
    n_after, mean, squared = tails.n_values[before:], tails.mean[before:], tails.variance[before:]
    count, shift, total, squares = np.uint64(0), 0.0, 0.0, 0.0
    for back in range(1, len(values) + 1):
        p = np.uint64(len(values) - back)
        if values[p] == values[p]:
            if count == 0:
                shift = values[p]
            deviation = values[p] - shift
            count += np.uint64(1)
            total += deviation
            squares += deviation * deviation
        offset = total * tails.inverse[count]
        n_after[p] = count
        mean[p] = shift + offset
        squared[p] = max(squares - total * offset, 0.0)
    tails.n_values[:before], tails.mean[:before], tails.variance[:before] = n_after[0], mean[0], squared[0]


@compiled
def _merge(values: NDArray[np.float64], before: int, tails: Spans, out: Spans, at: int) -> None:
    """Moments of the windows that end in a block: its values up to each one, and the tail of the block before it.

    Args:
        values, before: as in `_tails`.
        tails: of the block before, as `_tails` leaves them.
        out: windows in order of their last session; written from `at` on, variance with ddof 1.
    """
    n_tail, tail_mean, tail_m2 = tails.n_values[before + 1 :], tails.mean[before + 1 :], tails.variance[before + 1 :]
    n_values, mean, variance = out.n_values[at:], out.mean[at:], out.variance[at:]
    count, shift, total, squares = np.uint64(0), 0.0, 0.0, 0.0
    for p in range(np.uint64(len(values))):
        if values[p] == values[p]:
            if count == 0:
                shift = values[p]
            deviation = values[p] - shift
            count += np.uint64(1)
            total += deviation
            squares += deviation * deviation
        offset = total * tails.inverse[count]
        both = n_tail[p] + count
        share = count * tails.inverse[both]
        delta = shift + offset - tail_mean[p]
        m2 = tail_m2[p] + max(squares - total * offset, 0.0) + delta * delta * n_tail[p] * share
        n_values[p] = both
        mean[p] = tail_mean[p] + delta * share
        variance[p] = m2 * tails.inverse[max(both, np.uint64(1)) - np.uint64(1)]


@compiled
def _row_moments(row: NDArray[np.float64], first_session: int, tails: Spans, out: Spans) -> None:
    """Count, mean and variance (ddof 1) of the values in the window ending at each t, for one ticker.

    `tails` is scratch of length window + 1.
    """
    sessions, window = len(row), len(tails.n_values) - 1
    tails.n_values[:], tails.mean[:], tails.variance[:] = np.uint64(0), 0.0, 0.0
    for begin in range(-(first_session % window), sessions, window):
        lo, hi = max(begin, 0), min(begin + window, sessions)
        _merge(row[lo:hi], lo - begin, tails, out, lo)
        if hi == begin + window:
            _tails(row[lo:hi], lo - begin, tails)


@compiled
def window_std(values: FloatPanel, window: int, first_session: int, full: BoolPanel) -> FloatPanel:
    """Sample standard deviation (ddof 1) of the window's values where `full`, else NaN."""
    tickers, sessions = values.shape
    out = np.empty((tickers, sessions))
    tails, windows = _no_spans(window + 1, window), _no_spans(sessions, 0)
    for n in range(tickers):
        _row_moments(values[n], first_session, tails, windows)
        for t in range(sessions):
            std = np.sqrt(windows.variance[t])
            out[n, t] = std if full[n, t] and windows.n_values[t] > 1 else np.nan
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
    tails, windows = _no_spans(window + 1, window), _no_spans(sessions, 0)
    for n in range(tickers):
        _row_moments(values[n], first_session, tails, windows)
        for t in range(sessions):
            std, mean = np.sqrt(windows.variance[t]), windows.mean[t]
            score = (values[n, t] - mean) / std
            out[n, t] = score if windows.n_values[t] >= least and std > RELATIVE_STD_FLOOR * abs(mean) else np.nan
    return out


@compiled
def cap_outliers(values: FloatPanel, window: int, first_session: int, need: int, sigma: float) -> FloatPanel:
    """Values cut to mean +- sigma standard deviations of the `window` sessions that end yesterday.

    A value whose trailing window has fewer than `need` values, or does not vary, is left as it is.
    """
    tickers, sessions = values.shape
    least = max(need, 2)
    out = values.copy()
    tails, windows = _no_spans(window + 1, window), _no_spans(sessions, 0)
    for n in range(tickers):
        _row_moments(values[n], first_session, tails, windows)
        for t in range(1, sessions):
            std, mean = np.sqrt(windows.variance[t - 1]), windows.mean[t - 1]
            if windows.n_values[t - 1] >= least and std > RELATIVE_STD_FLOOR * abs(mean):
                highest, lowest = mean + sigma * std, mean - sigma * std
                if out[n, t] > highest:
                    out[n, t] = highest
                elif out[n, t] < lowest:
                    out[n, t] = lowest
    return out
