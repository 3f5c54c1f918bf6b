"""Scores that change slowly: an exponentially weighted mean of each name's rank among the names of the day.

A rank moves with noise that costs turnover; its mean over past sessions keeps most of what lasts. How long the mean
should look back follows from how fast the ranks lose their meaning (`book_settings`).

Source: Garleanu and Pedersen (2013), Dynamic trading with predictable returns and transaction costs: signals that decay
slowly deserve more of the trading.
"""

import numpy as np

from quant_core.trading.weights import Array


def centred_rank(scores: Array) -> Array:
    """(N,) of (r - 1/2) / n - 1/2 among the n scored names, ties at their mean; NaN stays NaN."""
    known = ~np.isnan(scores)
    values = scores[known]
    ordered = np.sort(values)
    below, up_to = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    found = np.full(len(scores), np.nan)
    found[known] = (below + up_to) / (2.0 * max(len(values), 1)) - 0.5  # mean rank r = (below + 1 + up_to) / 2
    return found


def smoothed(scores: Array, half_lives: Array) -> Array:
    """Exponentially weighted mean of each name's centred rank x, a rank of h sessions ago counting half:

        s_t = d s_(t-1) + (1 - d) x_t,    d = 2^(-1 / h),    s before the first row 0.

    A name begins, and goes while it has no score, towards the middle of the ranking (x = 0). A row in which nothing has
    a score changes nothing.

    Args:
        scores: (T, N); NaN for none.
        half_lives: (T,) h of each row, in rows.
    Returns:
        (T, N) in -0.5..0.5; NaN where there is no score.
    """
    decay = np.exp2(-1.0 / half_lives)
    found, state = np.full(scores.shape, np.nan), np.zeros(scores.shape[1])
    for t in np.flatnonzero(~np.isnan(scores).all(axis=1)):
        rank = centred_rank(scores[t])
        known = ~np.isnan(rank)
        state = decay[t] * state + (1.0 - decay[t]) * np.where(known, rank, 0.0)
        found[t, known] = state[known]
    return found
