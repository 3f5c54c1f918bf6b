"""Continuous ranked probability score: how far a distribution was from the outcome, in the outcome's own unit.

CRPS(F, x) = integral of (F(y) - 1{y >= x})^2 dy = 2 integral over p in (0, 1) of the pinball loss of the p-quantile.
Lower is better; for a point forecast it is the absolute error.

Source: Gneiting and Raftery, Strictly Proper Scoring Rules, JASA 102 (2007).
"""

from collections.abc import Sequence

import numpy as np

from quant_core.dense import Floats
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
