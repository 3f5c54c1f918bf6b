"""Turning wishes into weights that may be held: caps, a minimum position, cash as the rest.

Every function works on the last axis and on any leading ones; names come in ticker order. Which names may be traded
is the caller's question.

Source of the projection: Duchi et al. (2008), Efficient projections onto the l1-ball; with upper bounds the same
argument holds (Wang and Lu, 2015, Projection onto the capped simplex).
"""

import numpy as np
from numpy.typing import ArrayLike

from quant_core.dense import Floats
from quant_core.errors import DataError

#: A sum above the total by less than this is rounding and left alone, so that equal weights stay exactly equal.
SUM_TOLERANCE = 1e-12


def project_capped_simplex(v: ArrayLike, cap: ArrayLike, total: float = 1.0) -> Floats:
    """The nearest point to `v` with 0 <= w <= cap and sum(w) <= total; cash is what is missing to the total.

    Args:
        v: (..., N) finite wishes.
        cap: largest weight, one number or (..., N); 0 keeps a name out.
        total: what may be invested.
    Returns:
        (..., N) weights: clip(v, 0, cap) where that fits, else clip(v - tau, 0, cap) with the tau that
        invests the total.
    Raises:
        DataError: a wish that is not finite, a negative cap or total.
    """
    wishes = np.asarray(v, dtype=np.float64)
    if not np.isfinite(wishes).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(wishes))[0])
        raise DataError(f"weights: wish {where} is {wishes[where]}; wanted finite numbers, 0 for a name to leave out.")
    caps = np.broadcast_to(np.asarray(cap, dtype=np.float64), wishes.shape)
    if not ((caps >= 0.0).all() and total >= 0.0):
        raise DataError(f"weights: cap {np.min(caps)} and total {total}; wanted both >= 0.")
    weights: Floats = np.clip(wishes, 0.0, caps)
    over = weights.sum(axis=-1) > total + SUM_TOLERANCE
    if over.any():
        tight = _clip_to_total(wishes[over], caps[over], total)
        weights = np.where(over[..., None], 0.0, weights)
        weights[over] = tight
    return weights


def _clip_to_total(v: Floats, cap: Floats, total: float) -> Floats:
    """clip(v - tau, 0, cap) that sums to `total`, for rows (R, N) whose clip(v, 0, cap) sums to more."""
    # As tau falls, a name starts to grow at v and stops at v - cap: the sum is piecewise linear between those points.
    knots = np.concatenate([v, v - cap], axis=-1)  # (R, 2N)
    step = np.concatenate([np.ones_like(v), -np.ones_like(v)], axis=-1)
    order = np.argsort(-knots, axis=-1, kind="stable")
    knots = np.take_along_axis(knots, order, axis=-1)
    growing = np.cumsum(np.take_along_axis(step, order, axis=-1), axis=-1)  # names growing below each knot
    gained = growing[:, :-1] * (knots[:, :-1] - knots[:, 1:])
    reached = np.cumsum(gained, axis=-1)  # the sum at each next knot
    segment = np.argmax(reached >= total, axis=-1)[:, None]
    missing = np.take_along_axis(reached, segment, axis=-1) - total
    slope = np.take_along_axis(growing, segment, axis=-1)
    tau = np.take_along_axis(knots, segment + 1, axis=-1) + missing / np.maximum(slope, 1.0)
    weights: Floats = np.clip(v - tau, 0.0, cap)
    invested = weights.sum(axis=-1, keepdims=True)
    return weights * np.where(invested > total, total / np.where(invested > 0.0, invested, 1.0), 1.0)


def make_feasible(v: ArrayLike, *, max_position: float = 0.20, min_position: float = 0.02) -> Floats:
    """Weights near `v` that keep every limit: no stock above the cap, none held below the minimum, the rest in cash.

    Projects, drops the positions below the minimum and projects the wishes again on the names that are left. Fewer
    names leave more room for each, so the second projection cannot push one below the minimum. What the dropped names
    had goes to the names left only as far as their own wishes ask for it, else to cash.

    Args:
        v: (..., N) finite wishes.
        max_position: largest weight of one stock.
        min_position: smallest weight worth holding; 0 for none.
    Returns:
        (..., N) weights >= 0 with sum <= 1 (to 1e-12).
    Raises:
        DataError: limits outside 0 <= min_position <= max_position <= 1, or wishes that are not finite.
    """
    check_limits(max_position, min_position)
    wishes = np.asarray(v, dtype=np.float64)
    first = project_capped_simplex(wishes, max_position)
    held = (first >= min_position) & (first > 0.0)
    again = project_capped_simplex(wishes, np.where(held, max_position, 0.0))
    return np.where(held, np.clip(again, min_position, max_position), 0.0)  # the clip removes rounding only


def top_n_weights(scores: ArrayLike, n: int = 5, *, max_position: float = 0.20, min_position: float = 0.02) -> Floats:
    """Equal weights on the best `n` scores, within the limits of `make_feasible`.

    Args:
        scores: (..., N), higher is better; NaN is a name that may not be chosen. Equal scores go to the earlier name.
        n: names to hold; with fewer scores, those that there are.
    Returns:
        (..., N) weights: min(1 / chosen, max_position) on the chosen names; a row without scores is all cash.
    Raises:
        DataError: n below 1 or an infinite score.
    """
    values = np.asarray(scores, dtype=np.float64)
    if n < 1:
        raise DataError(f"top_n: n is {n}; wanted at least 1.")
    if np.isinf(values).any():
        raise DataError("top_n: a score is infinite; wanted a number, or NaN for a name that may not be chosen.")
    order = np.argsort(-values, axis=-1, kind="stable")  # NaN last
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(values.shape[-1]), values.shape), axis=-1)
    chosen = (rank < n) & ~np.isnan(values)
    count = np.maximum(chosen.sum(axis=-1, keepdims=True), 1)
    return make_feasible(np.where(chosen, 1.0 / count, 0.0), max_position=max_position, min_position=min_position)


def check_limits(max_position: float, min_position: float) -> None:
    """Raise a DataError unless 0 <= min_position <= max_position <= 1 and max_position > 0."""
    if not (0.0 <= min_position <= max_position <= 1.0 and max_position > 0.0):
        raise DataError(
            f"weights: min_position {min_position} and max_position {max_position}; "
            "wanted 0 <= min_position <= max_position <= 1 and max_position > 0."
        )
