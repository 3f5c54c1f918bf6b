r"""Does an account that was followed live earn what its backtest says of the same days? A test of the mean difference.

With d_t the return on paper less that of the backtest on day t, the statistic is

    t = mean(d) / sqrt(S / T),   S = g_0 + 2 sum_j (1 - j / (L + 1)) g_j,

Newey and West's, judged by the normal distribution, two-sided; beside it a stationary bootstrap's 95 % interval of the
mean, which assumes no distribution. Both look at the mean alone: an account that misses decisions at random is noisier
than its backtest, not worse. Several books tested together are corrected by Holm's steps.

Sources: Newey and West (1987, 1994), as in `newey_west`; Politis and Romano (1994), as in `bootstrap`; Holm (1979), A
simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant_core.measures.bootstrap import Interval, bootstrap_interval, checked_returns
from quant_core.measures.newey_west import newey_west_t

#: A month: below it neither statistic says anything.
FEWEST_COMPARED = 21
#: Differences that are rounding of sums of rupees.
EQUAL = 1e-12


@dataclass(frozen=True)
class Drift:
    """Mean difference of two accounts' daily returns, with what is known of its error; NaN where it cannot be told."""

    n_sessions: int
    mean: float
    interval: Interval
    hac_t: float
    p_value: float
    largest: float


def live_drift(differences: ArrayLike, seed: int) -> Drift:
    """Test whether daily differences are 0 on average.

    Args:
        differences: (T,) returns of one account less those of the other, in order of days.
        seed: of the bootstrap.
    Returns:
        p 1 where both accounts are the same but for rounding; NaN for fewer than FEWEST_COMPARED days.
    Raises:
        DataError: a difference that is not finite.
    """
    found = checked_returns(differences, "live drift")
    n = len(found)
    largest = float(np.abs(found).max()) if n else math.nan
    mean, t = newey_west_t(found)
    if n < FEWEST_COMPARED:
        return Drift(n, mean, Interval(math.nan, math.nan), math.nan, math.nan, largest)
    if largest <= EQUAL:
        return Drift(n, mean, Interval(mean, mean), math.nan, 1.0, largest)
    interval = bootstrap_interval(found, _means, seed=seed)
    p_value = math.erfc(abs(t) / math.sqrt(2.0)) if math.isfinite(t) else 0.0  # the same difference on every day
    return Drift(n, mean, interval, t, p_value, largest)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for being tested together: the i-th smallest of m is max_{j <= i} (m - j + 1) p_j, at most 1.

    Args:
        p_values: in any order, which is kept; NaN is no test, and stays.
    """
    tested = sorted((p, k) for k, p in enumerate(p_values) if not math.isnan(p))
    corrected, least = list(p_values), 0.0
    for step, (p, k) in enumerate(tested):
        least = max(least, min(1.0, (len(tested) - step) * p))
        corrected[k] = least
    return corrected


def _means(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(drawn.mean(axis=1))
