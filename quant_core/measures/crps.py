"""Continuous ranked probability score: how far a distribution was from the outcome, in the outcome's own unit.

CRPS(F, x) = integral of (F(y) - 1{y >= x})^2 dy = 2 integral over p in (0, 1) of the pinball loss of the p-quantile.
Lower is better; for a point forecast it is the absolute error.

Sources: Gneiting and Raftery, Strictly Proper Scoring Rules, JASA 102 (2007); closed forms: Jordan, Krueger and Lerch,
Evaluating Probabilistic Forecasts with scoringRules, Journal of Statistical Software 90 (2019), appendix A.
"""

import math
from collections.abc import Sequence

import numpy as np

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures.quantiles import check_levels


def crps_from_quantiles(quantiles: Floats, levels: Sequence[float], outcome: Floats) -> Floats:
    """2 sum_k w_k pinball_k, the pinball integral with each level standing for the probabilities nearest to it.

    pinball_k = max(p_k e, (p_k - 1) e), e = x - q_k; w_k = (p_{k+1} - p_{k-1}) / 2 with the ends of the outermost at 0
    and 1. A few levels miss part of the integral: compare scores of equal levels only.

    Args:
        quantiles: (R, Q).
        levels: (Q,) rising in (0, 1).
        outcome: (R,).
    Returns:
        (R,) NaN where a quantile or the outcome is.
    """
    p = check_levels(levels, quantiles)
    edges = np.concatenate([[0.0], (p[1:] + p[:-1]) / 2.0, [1.0]])
    error = outcome[:, None] - quantiles  # (R, Q)
    pinball = np.maximum(p * error, (p - 1.0) * error)
    return np.asarray(2.0 * pinball @ np.diff(edges))


def crps_gaussian(mean: Floats, scale: Floats, outcome: Floats) -> Floats:
    """s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (x - m) / s; scales above 0."""
    from scipy.special import ndtr

    _check_scale(scale)
    z = (outcome - mean) / scale
    density = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    return np.asarray(scale * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / math.sqrt(math.pi)))


def crps_student_t(location: Floats, scale: Floats, df: Floats, outcome: Floats) -> Floats:
    """s (z (2 F(z) - 1) + 2 f(z) (v + z^2) / (v - 1) - 2 sqrt(v) B(1/2, v - 1/2) / ((v - 1) B(1/2, v/2)^2)).

    f and F are density and distribution function of Student's t with v > 1 degrees of freedom; scales above 0.
    """
    from scipy.special import betaln, stdtr

    _check_scale(scale)
    v, z = np.asarray(df, dtype=np.float64), (outcome - location) / scale
    if not (v > 1.0).all():
        raise DataError(f"crps_student_t: df is {v.min()}, wanted more than 1: below it the mean does not exist.")
    log_beta = betaln(0.5, v / 2.0)
    density = np.exp(-0.5 * (v + 1.0) * np.log1p(z**2 / v) - log_beta) / np.sqrt(v)
    spread = 2.0 * np.sqrt(v) / (v - 1.0) * np.exp(betaln(0.5, v - 0.5) - 2.0 * log_beta)
    return np.asarray(scale * (z * (2.0 * stdtr(v, z) - 1.0) + 2.0 * density * (v + z**2) / (v - 1.0) - spread))


def _check_scale(scale: Floats) -> None:
    if not (np.asarray(scale) > 0.0).all():
        raise DataError(f"crps: a scale is {np.min(scale)}, wanted all above 0.")
