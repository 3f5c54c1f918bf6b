"""A distribution known by a few of its quantiles: its distribution function, and the way back.

Between two quantiles the distribution function is linear. Beyond the outermost it falls off exponentially with the
density of the segment next to it, so that no outcome has probability 0 and none has all of it.
"""

from collections.abc import Sequence

import numpy as np

from quant_core.dense import Floats
from quant_core.errors import DataError

#: A segment is taken to be at least this wide: equal quantiles have no density.
SMALLEST_WIDTH = 1e-12


def cdf_at(quantiles: Floats, levels: Sequence[float], values: Floats) -> Floats:
    """Probability of an outcome up to each value; at the outcome itself, its probability integral transform.

    F(x) = p_1 exp((x - q_1) / s) below the lowest quantile, s = p_1 (q_2 - q_1) / (p_2 - p_1), alike above the highest.

    Args:
        quantiles: (R, Q) not falling along a row.
        levels: (Q,) at least two, rising in (0, 1).
        values: (R,).
    Returns:
        (R,) in (0, 1); NaN where a quantile or the value is.
    """
    p = check_levels(levels, quantiles)
    k = np.clip((quantiles <= values[:, None]).sum(axis=1) - 1, 0, len(p) - 2)  # the segment that holds the value
    low, high = (np.take_along_axis(quantiles, k[:, None] + step, axis=1)[:, 0] for step in (0, 1))
    share = (values - low) / _width(high - low)
    inside = p[k] + (p[k + 1] - p[k]) * np.clip(share, 0.0, 1.0)
    below_scale, above_scale = _tail_scales(quantiles, p)
    with np.errstate(invalid="ignore"):
        below = p[0] * np.exp(np.minimum(values - quantiles[:, 0], 0.0) / below_scale)
        above = 1.0 - (1.0 - p[-1]) * np.exp(-np.maximum(values - quantiles[:, -1], 0.0) / above_scale)
        found = np.where(values < quantiles[:, 0], below, np.where(values > quantiles[:, -1], above, inside))
    return np.where(np.isnan(quantiles).any(axis=1) | np.isnan(values), np.nan, found)


def quantile_at(quantiles: Floats, levels: Sequence[float], probability: float | Floats) -> Floats:
    """(R,) the value that `cdf_at` gives this probability.

    Args:
        probability: in (0, 1), of all rows or (R,) of each.
    """
    p = check_levels(levels, quantiles)
    wanted = np.broadcast_to(np.asarray(probability, dtype=np.float64), len(quantiles))
    if not ((wanted > 0.0) & (wanted < 1.0)).all():
        raise DataError(f"quantile_at: probability is {probability}, wanted one inside (0, 1).")
    below_scale, above_scale = _tail_scales(quantiles, p)
    below = quantiles[:, 0] + below_scale * np.log(wanted / p[0])
    above = quantiles[:, -1] - above_scale * np.log((1.0 - wanted) / (1.0 - p[-1]))
    k = np.clip(np.searchsorted(p, wanted, side="right") - 1, 0, len(p) - 2)  # the segment that holds it
    low, high = (np.take_along_axis(quantiles, k[:, None] + step, axis=1)[:, 0] for step in (0, 1))
    inside = low + (wanted - p[k]) / (p[k + 1] - p[k]) * (high - low)
    return np.where(wanted < p[0], below, np.where(wanted > p[-1], above, inside))


def check_levels(levels: Sequence[float], quantiles: Floats) -> Floats:
    """The levels as an array.

    Raises:
        DataError: fewer than two, not rising in (0, 1), or not as many as the quantiles have columns.
    """
    p = np.asarray(levels, dtype=np.float64)
    if quantiles.ndim != 2 or quantiles.shape[1] != len(p):
        raise DataError(f"quantiles: shape {quantiles.shape} for {len(p)} levels, wanted (rows, levels).")
    if len(p) < 2 or not (np.diff(p) > 0).all() or not 0.0 < p[0] < p[-1] < 1.0:
        raise DataError(f"quantiles: levels are {levels}, wanted at least two that rise inside (0, 1).")
    return p


def _tail_scales(quantiles: Floats, p: Floats) -> tuple[Floats, Floats]:
    """(R,) scales of the exponential tails below and above."""
    below = p[0] * _width(quantiles[:, 1] - quantiles[:, 0]) / (p[1] - p[0])
    above = (1.0 - p[-1]) * _width(quantiles[:, -1] - quantiles[:, -2]) / (p[-1] - p[-2])
    return below, above


def _width(difference: Floats) -> Floats:
    return np.maximum(difference, SMALLEST_WIDTH)
