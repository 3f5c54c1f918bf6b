"""Many histories of the same sessions resampled together: how often each session is drawn, and sums by one product.

`bootstrap` resamples one measure of a few series; here a resample is a row of counts, so that means and Sharpe ratios
of any number of books, and differences between them, come of one matrix product with the same sessions drawn for all.

Source: Politis and Romano (1994), The stationary bootstrap, JASA 89; Ledoit and Wolf (2008), Robust performance
hypothesis testing with the Sharpe ratio, Journal of Empirical Finance 15 (both books of a pair are drawn together).
"""

import math

import numpy as np

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.measures.bootstrap import MIN_SESSIONS, optimal_block_length, stationary_bootstrap_indices
from quant_core.measures.risk import FLAT

N_DRAWS = 1000


def longest_block(values: Floats) -> float:
    """The longest `optimal_block_length` of the columns of (T, K) values; 1 for none."""
    return max((optimal_block_length(column) for column in values.T), default=1.0)


def drawn_counts(n: int, mean_block: float, seed: int, n_draws: int = N_DRAWS) -> Floats:
    """(n_draws, n) how often each resample of the stationary bootstrap takes each session; a row sums to n."""
    rows = stationary_bootstrap_indices(n, n_draws, mean_block, seed)
    flat = rows + (np.arange(n_draws) * n)[:, None]
    return np.bincount(flat.ravel(), minlength=n_draws * n).reshape(n_draws, n).astype(np.float64)


def drawn_means(counts: Floats, values: Floats) -> Floats:
    """(D, T) counts and (T, K) values -> (D, K) means of the resamples."""
    means: Floats = counts @ values / counts.shape[1]
    return means


def drawn_sharpes(counts: Floats, excess: Floats) -> Floats:
    """(D, T) counts and (T, K) excess returns -> (D, K) Sharpe ratios a year; NaN where a resample is flat."""
    n = counts.shape[1]
    centre = excess.mean(axis=0)
    mean, square = drawn_means(counts, excess - centre), drawn_means(counts, (excess - centre) ** 2)
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0) * n / (n - 1))
    found: Floats = (centre + mean) / np.where(deviation > FLAT, deviation, np.nan) * math.sqrt(SESSIONS_PER_YEAR)
    return found


def central(drawn: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """(D, K) -> (K,) both ends of the central share of the resamples that have a value; NaN where none has."""
    tail = (1.0 - confidence) / 2.0
    known = ~np.isnan(drawn).all(axis=0)
    low, high = np.full((2, drawn.shape[1]), np.nan)
    if known.any():
        low[known], high[known] = np.nanquantile(drawn[:, known], [tail, 1.0 - tail], axis=0)
    return low, high


def mean_intervals(values: Floats, seed: int, n_draws: int = N_DRAWS) -> tuple[Floats, Floats]:
    """(K,) both ends of the 95 % intervals of the means of (T, K) values; NaN for fewer than 20 sessions."""
    if len(values) < MIN_SESSIONS:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    return central(drawn_means(drawn_counts(len(values), longest_block(values), seed, n_draws), values))
