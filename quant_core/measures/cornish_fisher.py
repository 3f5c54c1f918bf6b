"""Value at risk from four moments: the Cornish-Fisher expansion of the normal quantile.

q(z) = z + (z^2 - 1) S / 6 + (z^3 - 3 z) K / 24 - (2 z^3 - 5 z) S^2 / 36, z being a normal quantile. S and K are
parameters of the curve, not the skewness and excess kurtosis of what it describes: K = 8 makes an excess kurtosis of
43. A sample's moments in their place (the "modified" value at risk) overstate the tail mean of daily equity returns,
whose excess kurtosis is often above 10; so S and K are solved for.

Sources: Zangari, RiskMetrics Monitor Q4 1996, and Favre and Galeano, Journal of Alternative Investments 5(2), 2002
(modified value at risk); Maillard, A User's Guide to the Cornish Fisher Expansion, SSRN 1997178, 2012 (tail mean,
domain of validity, parameters that reproduce the moments).
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures.risk import FLAT, TAIL, finite_series, kurtosis, skewness

WIDEST = 4.0  # the expansion must be in order up to here; one session in 16,000 of a normal series lies beyond
MATCHED = 1e-8  # largest difference of skewness and kurtosis at which the parameters count as found
APPROACH_STEPS, NEWTON_STEPS = 8, 50

_NODES, _NODE_WEIGHTS = hermegauss(7)  # exact for the 12th degree, the fourth power of a cubic
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()


def value_at_risk_cornish_fisher(returns: ArrayLike, tail: float = TAIL, match_moments: bool = True) -> float:
    """`tail` quantile of the daily return from mean, standard deviation, skewness and excess kurtosis.

    mean + sd x q(c) / sd_q with c the normal quantile of `tail`.

    Args:
        tail: 0.05 for 95 % confidence.
        match_moments: S and K are solved so that q of a normal variable has the sample's skewness and kurtosis, and
            sd_q is its standard deviation (Maillard, 2012). False takes the sample's moments for S and K and 1 for
            sd_q, the modified value at risk of Favre and Galeano.
    Returns:
        a return; NaN for fewer than four returns, a flat series, moments that no expansion has, or an expansion that is
        not increasing over 4 standard deviations to both sides (its quantiles would not be in order).
    """
    return _measures(finite_series(returns), tail, match_moments)[0]


def conditional_value_at_risk_cornish_fisher(
    returns: ArrayLike, tail: float = TAIL, match_moments: bool = True
) -> float:
    """Mean of the `tail` of the distribution behind `value_at_risk_cornish_fisher`; arguments and NaN as there.

    The integral of q over the tail in closed form (Maillard, 2012), with c the normal quantile and phi the density:
    -phi(c) / tail x [1 + c S / 6 + (c^2 - 1) K / 24 - (2 c^2 - 1) S^2 / 36].
    The modified expected shortfall of Boudt, Peterson and Croux (2008) integrates an Edgeworth density instead.
    """
    return _measures(finite_series(returns), tail, match_moments)[1]


def _measures(values: Floats, tail: float, match_moments: bool) -> tuple[float, float]:
    """(value at risk, conditional value at risk), both NaN where the expansion cannot be used."""
    if not 0.0 < tail < 0.5:
        raise DataError(f"performance: tail is {tail}; wanted a probability between 0 and 0.5, 0.05 for 95 %.")
    skew, excess = skewness(values), kurtosis(values)
    if math.isnan(excess):
        return math.nan, math.nan
    with np.errstate(over="ignore", invalid="ignore"):  # a search that runs away ends as NaN
        s, k = _matching(skew, excess) if match_moments else (skew, excess)
    if not _in_order(s, k):
        return math.nan, math.nan
    spread = float(np.std(values, ddof=1)) / (_moments(s, k)[0] if match_moments else 1.0)
    cut = NormalDist().inv_cdf(tail)
    beyond = 1.0 + cut * s / 6.0 + (cut**2 - 1.0) * k / 24.0 - (2.0 * cut**2 - 1.0) * s**2 / 36.0
    shortfall = -NormalDist().pdf(cut) / tail * beyond
    return (
        float(values.mean() + spread * _expansion(np.array(cut), s, k)),
        float(values.mean() + spread * shortfall),
    )


def _expansion(z: Floats, s: float, k: float) -> Floats:
    return z + (z**2 - 1.0) * s / 6.0 + (z**3 - 3.0 * z) * k / 24.0 - (2.0 * z**3 - 5.0 * z) * s**2 / 36.0


def _moments(s: float, k: float) -> Floats:
    """Standard deviation, skewness and excess kurtosis of the expansion of a normal variable; its mean is 0."""
    q = _expansion(_NODES, s, k)
    variance, third, fourth = (_NODE_WEIGHTS @ q**power for power in (2, 3, 4))
    return np.array([np.sqrt(variance), third / variance**1.5, fourth / variance**2 - 3.0])


def _moment_slopes(s: float, k: float) -> Floats:
    """(2, 2) derivatives of skewness and kurtosis (rows) by the parameters (columns)."""
    q = _expansion(_NODES, s, k)
    by_s = (_NODES**2 - 1.0) / 6.0 - (2.0 * _NODES**3 - 5.0 * _NODES) * s / 18.0
    by_k = (_NODES**3 - 3.0 * _NODES) / 24.0
    variance, third, fourth = (_NODE_WEIGHTS @ q**power for power in (2, 3, 4))
    slopes = np.empty((2, 2))
    for column, change in enumerate((by_s, by_k)):
        d_variance, d_third, d_fourth = (power * (_NODE_WEIGHTS @ (q ** (power - 1) * change)) for power in (2, 3, 4))
        slopes[0, column] = d_third / variance**1.5 - 1.5 * third * d_variance / variance**2.5
        slopes[1, column] = d_fourth / variance**2 - 2.0 * fourth * d_variance / variance**3
    return slopes


def _matching(skew: float, excess: float) -> tuple[float, float]:
    """The parameters (S, K) whose expansion has these moments, by Newton's method; NaN where none is found.

    The moments are approached in steps from the normal distribution's, because a direct start reaches solutions that
    are out of order.
    """
    wanted, found = np.array([skew, excess]), np.zeros(2)
    for share in np.linspace(0.0, 1.0, APPROACH_STEPS + 1)[1:]:
        for _ in range(NEWTON_STEPS):
            gap = share * wanted - _moments(*found)[1:]
            if np.abs(gap).max() <= MATCHED:
                break
            slopes = _moment_slopes(*found)
            determinant = slopes[0, 0] * slopes[1, 1] - slopes[0, 1] * slopes[1, 0]
            if not abs(determinant) > FLAT:
                return math.nan, math.nan
            found = found + np.linalg.solve(slopes, gap)
        else:
            return math.nan, math.nan
    return float(found[0]), float(found[1])


def _in_order(s: float, k: float) -> bool:
    """Whether the expansion increases on -WIDEST..WIDEST, so that its quantiles are those of the normal variable.

    Its derivative is a parabola: the lowest point is at an end or at the vertex.
    """
    a, b, c = k / 8.0 - s**2 / 6.0, s / 3.0, 1.0 - k / 8.0 + 5.0 * s**2 / 36.0
    points = [-WIDEST, WIDEST]
    if a > 0.0:
        points.append(max(-WIDEST, min(WIDEST, -b / (2.0 * a))))
    return all(a * z**2 + b * z + c >= 0.0 for z in points)
