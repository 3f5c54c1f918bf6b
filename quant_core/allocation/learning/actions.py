"""From an action, numbers between -1 and 1, to weights that an account can hold; compiled, for one account at a time.

- direct: N + 1 numbers. w = softmax(logit_scale a[:N]) over the names that may be bought, times 1 - max(0, a[N]).
- residual: N + 1 numbers. w = book exp(tilt_scale a[:N]), scaled to what the book invests, times 1 - max(0, a[N]).
- partial: one number. w = held + (1 + a) / 2 (book - held).

The first two are then projected onto {0 <= w <= max_position, sum w <= 1 - kept} and rid of positions below
min_position, as `trading.weights.make_feasible` does it. All zeros are equal weight in direct mode and, to the last
bit, the book in residual mode; -1 in partial mode trades nothing. A name that is held and cannot be traded is kept
(NaN). A tilt may leave a name at the book's own weight where that is above max_position, never raise it further;
partial mode stays between what is held and the book, and is not projected.
"""

from typing import NamedTuple

import numba
import numpy as np

from quant_core.allocation.learning.env_config import MODES, EnvConfig
from quant_core.dense import Floats
from quant_core.trading.day_loop import UNCOUNTED
from quant_core.trading.weights import SUM_TOLERANCE

DIRECT, RESIDUAL, PARTIAL = range(len(MODES))
ROUNDS = 200  # of the search for tau; it ends after about ten
_uncounted = numba.njit(cache=True, **UNCOUNTED)


class Limits(NamedTuple):
    """Settings of `EnvConfig` as numbers."""

    mode: int
    logit_scale: float
    tilt_scale: float
    largest: float
    smallest: float


class Scratch(NamedTuple):
    """Room for the steps between an action and its weights."""

    wish: Floats  # (N,)
    cap: Floats  # (N,)


def limits_of(config: EnvConfig) -> Limits:
    scales = float(config.logit_scale), float(config.tilt_scale)
    return Limits(MODES.index(config.mode), *scales, float(config.max_position), float(config.min_position))


def action_size(config: EnvConfig, n_names: int) -> int:
    """Numbers in an action."""
    return 1 if config.mode == "partial" else n_names + 1


@_uncounted
def weights_for(action, held, buyable, closed, book, limits, scratch, wanted):  # type: ignore[no-untyped-def]
    """Write the weights (N,) that `action` wants, NaN for a name that is kept; whether anything is decided.

    Args:
        action: (A,) numbers; outside -1..1 they count as -1 or 1.
        held: (N,) drifted weights.
        buyable: (N,) names that may be bought.
        closed: (N,) names that do not trade.
        book: (N,) what the book wants; not read in direct mode.
    """
    if limits.mode == DIRECT:
        _direct(action, held, buyable, closed, limits, scratch, wanted)
        return True
    if limits.mode == PARTIAL:
        return _partial(_within(action[0]), held, buyable, closed, book, wanted)
    return _residual(action, held, buyable, closed, book, limits, scratch, wanted)


@_uncounted
def _within(a):  # type: ignore[no-untyped-def]
    return min(max(np.float64(a), -1.0), 1.0)


@_uncounted
def _invested(action):  # type: ignore[no-untyped-def]
    return 1.0 - max(_within(action[action.size - 1]), 0.0)


@_uncounted
def _direct(action, held, buyable, closed, limits, scratch, wanted):  # type: ignore[no-untyped-def]
    wish, cap, names = scratch.wish, scratch.cap, held.size
    top, kept = -np.inf, 0.0
    for i in range(names):
        logit = limits.logit_scale * _within(action[i])
        if buyable[i]:
            top = max(top, logit)
        wish[i] = logit
        kept += held[i] if closed[i] else 0.0
    total = 0.0
    for i in range(names):
        wish[i] = np.exp(wish[i] - top) if buyable[i] else 0.0
        total += wish[i]
    room = max(1.0 - kept, 0.0)
    share = _invested(action) * room
    for i in range(names):
        wish[i] = wish[i] / total * share
        cap[i] = limits.largest if buyable[i] else 0.0
    feasible(wish, cap, room, limits.smallest, wanted)
    for i in range(names):
        if closed[i] and held[i] > 0.0:
            wanted[i] = np.nan


@_uncounted
def _residual(action, held, buyable, closed, book, limits, scratch, wanted):  # type: ignore[no-untyped-def]
    wish, cap, names = scratch.wish, scratch.cap, held.size
    asked, tilted, kept, known, still = 0.0, 0.0, 0.0, 0, True
    for i in range(names):
        a = _within(action[i])
        still &= a == 0.0
        known += book[i] == book[i]
        if book[i] != book[i] or (closed[i] and held[i] > 0.0):
            kept += held[i]
            wish[i], cap[i] = 0.0, 0.0
            continue
        asked += book[i]
        wish[i] = book[i] * np.exp(limits.tilt_scale * a)
        tilted += wish[i]
        cap[i] = max(limits.largest, book[i]) if buyable[i] or held[i] > 0.0 else 0.0
    if known == 0 or (still and _invested(action) == 1.0):
        for i in range(names):
            wanted[i] = book[i]
        return known > 0
    share = asked / tilted * _invested(action) if tilted > 0.0 else 0.0
    for i in range(names):
        wish[i] *= share
    feasible(wish, cap, max(1.0 - kept, 0.0), limits.smallest, wanted)
    for i in range(names):
        if book[i] != book[i] or (closed[i] and held[i] > 0.0):
            wanted[i] = np.nan
    return True


@_uncounted
def _partial(a, held, buyable, closed, book, wanted):  # type: ignore[no-untyped-def]
    way, known = 0.5 * (1.0 + a), 0
    for i in range(held.size):
        wanted[i] = np.nan
        if book[i] != book[i]:
            continue
        known += 1
        if not closed[i] or held[i] == 0.0:
            there = book[i] if buyable[i] or held[i] > 0.0 else 0.0
            wanted[i] = there if way == 1.0 else held[i] + way * (there - held[i])
    if known == 0 or way == 0.0:
        wanted[:] = np.nan
        return False
    return True


@_uncounted
def feasible(wish, cap, total, smallest, weights):  # type: ignore[no-untyped-def]
    """Write `make_feasible` of the wishes with a cap a name and this total; `cap` becomes 0 where a name is dropped."""
    project(wish, cap, total, weights)
    if smallest <= 0.0:
        return
    for i in range(wish.size):
        if not (weights[i] >= smallest and weights[i] > 0.0):
            cap[i] = 0.0
    project(wish, cap, total, weights)
    for i in range(wish.size):
        weights[i] = min(max(weights[i], smallest), cap[i])


@_uncounted
def project(wish, cap, total, weights):  # type: ignore[no-untyped-def]
    """Write the nearest point to `wish` with 0 <= w <= cap and sum(w) <= total; see `project_capped_simplex`."""
    invested = 0.0
    for i in range(wish.size):
        weights[i] = min(max(wish[i], 0.0), cap[i])
        invested += weights[i]
    if invested <= total + SUM_TOLERANCE:
        return
    tau = _tau(wish, cap, total)
    invested = 0.0
    for i in range(wish.size):
        weights[i] = min(max(wish[i] - tau, 0.0), cap[i])
        invested += weights[i]
    if invested > total:
        for i in range(wish.size):
            weights[i] *= total / invested


@_uncounted
def _tau(wish, cap, total):  # type: ignore[no-untyped-def]
    """Where sum(clip(wish - tau, 0, cap)) is the total: Newton's steps, which are exact on the last straight piece,
    kept between bounds that close in."""
    low, high, tau = 0.0, 0.0, 0.0
    for i in range(wish.size):
        high = max(high, wish[i])
    for _ in range(ROUNDS):
        invested, slope = 0.0, 0
        for i in range(wish.size):
            over = wish[i] - tau
            invested += min(max(over, 0.0), cap[i])
            slope += 0.0 < over < cap[i]
        missing = invested - total
        if missing == 0.0:
            break
        if missing > 0.0:
            low = tau
        else:
            high = tau
        last = tau
        tau = tau + missing / slope if slope > 0 else 0.5 * (low + high)
        if not low < tau < high:
            tau = 0.5 * (low + high)
        if tau == last or tau in (low, high):
            break
    return tau
