"""Scores that change slowly: an exponentially weighted mean of each name's rank among the names of the day.

A rank moves with noise that costs turnover; its mean over past sessions keeps most of what lasts. How long the mean
should look back follows from how fast the ranks lose their meaning (`book_settings`).

Source: Garleanu and Pedersen (2013), Dynamic trading with predictable returns and transaction costs: signals that decay
slowly deserve more of the trading.
"""

import numpy as np

from quant_core.dense import Floats
from quant_core.measures.information_coefficient import ranks


def centred_ranks(scores: Floats) -> Floats:
    """(T, N) of (r - 1/2) / n - 1/2 among the n scored names of each row, ties at their mean; NaN stays NaN."""
    known = ~np.isnan(scores)
    n = np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, (ranks(scores, known) - 0.5) / n - 0.5, np.nan)


def smoothed(scores: Floats, half_lives: Floats) -> Floats:
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
    rank, decay = centred_ranks(scores), np.exp2(-1.0 / half_lives)
    known = ~np.isnan(rank)
    found, state = np.full(scores.shape, np.nan), np.zeros(scores.shape[1])
    for t in np.flatnonzero(known.any(axis=1)):
        state = decay[t] * state + (1.0 - decay[t]) * np.where(known[t], rank[t], 0.0)
        found[t, known[t]] = state[known[t]]
    return found
