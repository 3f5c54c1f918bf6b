"""Portfolios of least risk under a cap, by an interior-point method that proves its answer or says that it failed.

A cap in shares of the whole is a cone: x_i <= cap (x_1 + ... + x_N) does not change with the scale of x. So the weights
are found up to their scale, without a budget, and divided by their sum at the end. What is optimised is in units of
each name's own volatility: with D the volatilities and R the correlations, y = D x. Where the covariance comes from is
no business of this file.

Source: Boyd and Vandenberghe, Convex Optimization (2004), section 11.7; for risk parity Spinu (2013), An algorithm for
computing risk parity weights, and Richard and Roncalli (2019), Constrained risk budgeting portfolios.
"""

import math
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from quant_core.dense import Floats
from quant_core.errors import DataError

#: Largest miss of a stationarity condition (in shares of a name's own risk) and largest duality gap to stop at, and to
#: be content with where rounding allows no step further: with a condition number of 1e8 a share has eight digits.
PROVEN, ENOUGH = 1e-12, 1e-6
MOST_STEPS = 200
#: Newton decrement at which the start of the path counts as reached.
NEAR = 1e-3
#: Weights below ZERO are this method's way to write 0; what is closer than AT_CAP to the cap is at it, for any method.
ZERO, AT_CAP = 1e-10, 1e-6
#: The method's own constants (Boyd and Vandenberghe, 9.5 and 11.7): how much closer to the boundary each step aims, how
#: far of the way there it goes, what share of the promised progress is enough, when to stop halving a step.
CLOSER, BOUNDARY, PROGRESS, SHORTEST = 10.0, 0.99, 0.01, 1e-10
REMEDY = "look for absurd returns of these names in clean_prices, or change lookback_sessions or optimiser_names."


def equal_risk(covariance: Floats, cap: float) -> Floats:
    """Weights whose contributions to the variance are equal as far as a cap allows.

    The answer is w = x / sum(x) for the x that minimises

        x' C x / 2 - sum_i log x_i    subject to    x_i <= cap sum_j x_j.

    Without a cap w_i (C w)_i is the same for every name. Under one there is a slope b >= 0 with w_i (C w)_i = a + b w_i
    for the names below it, and less than that at the cap: of the portfolios within the cap whose weights have the same
    sum of logarithms, this one varies least.

    Args:
        covariance: (N, N), positive definite.
        cap: largest weight, more than 1 / N.
    Returns:
        (N,) weights above 0, at most `cap`, with sum 1.
    Raises:
        DataError: a cap that leaves no room, a covariance that is none, or no proof of the optimum.
    """
    correlation, volatility = _units(covariance, cap)
    n = len(volatility)
    ones, start = np.ones(n), volatility / np.sqrt(volatility @ correlation @ volatility / n)
    free = _least(_Problem(correlation, np.zeros(n), ones, np.empty((0, n))), start)
    weights = _weights(free, volatility)
    if weights.max() <= cap:
        return weights
    capped = _least(_Problem(correlation, np.zeros(n), ones, _within(volatility, cap)), start)
    return np.minimum(_weights(capped, volatility), cap)


def least_variance(covariance: Floats, cap: float) -> Floats:
    """Weights w with the least w' C w, 0 <= w_i <= cap and sum 1.

    They are x / sum(x) for the x that minimises x' C x / 2 - sum(x) over 0 <= x_i <= cap sum_j x_j.

    Args, Raises: as in `equal_risk`.
    Returns:
        (N,) weights in 0..cap with sum 1; those below 1e-10 are 0.
    """
    correlation, volatility = _units(covariance, cap)
    n = len(volatility)
    start = volatility / np.sqrt(volatility @ correlation @ volatility / n)
    limits = np.vstack([_within(volatility, cap), -np.eye(n)])
    found = _least(_Problem(correlation, 1.0 / volatility, np.zeros(n), limits), start)
    weights = np.minimum(_weights(found, volatility), cap)
    return np.where(weights < ZERO, 0.0, weights)


def excess_variance(weights: Floats, covariance: Floats, cap: float) -> float:
    """Share of the variance w' C w that other weights in 0..cap with the same sum could save at most.

    It is 2 (g' w - min_v g' v) / w' C w with g = C w, v over the weights within the limits: 0 only at the optimum.

    Source: Frank and Wolfe (1956), the duality gap of a convex function at a feasible point.
    """
    slope = covariance @ weights
    room = np.clip(weights.sum() - cap * np.arange(len(weights)), 0.0, cap)  # into the names of least slope first
    return float(2.0 * (slope @ weights - np.sort(slope) @ room) / (weights @ slope))


def unequal_risk(weights: Floats, covariance: Floats, cap: float) -> float:
    """Largest violation of the conditions that `equal_risk` promises, as a share of the variance; 0 at the optimum.

    With the shares c_i = w_i (C w)_i / w' C w, the b is taken for which the names below the cap add up to 1/N + b w_i
    each; what misses is the largest difference among them, a negative b, or a share above 1/N + b w_i at the cap.
    """
    share = weights * (covariance @ weights)
    surplus = share / share.sum() - 1.0 / len(weights)
    capped = weights >= cap - AT_CAP
    if capped.all():  # N x cap is hardly above 1: these are the only weights
        return 0.0
    slope = surplus[~capped].sum() / weights[~capped].sum() if capped.any() else 0.0
    rest = surplus - slope * weights
    worst = np.where(capped, rest, np.abs(rest)).max()
    return float(max(worst, -slope * weights.max()))


def _units(covariance: Floats, cap: float) -> tuple[Floats, Floats]:
    """Correlations and volatilities, those in units of their geometric mean."""
    n = len(covariance)
    if n * cap <= 1.0:
        raise DataError(
            f"{n} weights of at most {cap} have no sum of 1; raise max_position or optimiser_names; {REMEDY}"
        )
    variance = np.diag(covariance)
    if not (np.isfinite(covariance).all() and variance.min() > 0.0):
        raise DataError(f"a covariance of {n} names has a variance of {variance.min():.3g}; {REMEDY}")
    volatility = np.sqrt(variance)
    correlation = covariance / np.outer(volatility, volatility)
    return correlation, volatility / np.exp(np.log(volatility).mean())


def _within(volatility: Floats, cap: float) -> Floats:
    """(N, N) matrix G with G y <= 0 where no name is above the cap."""
    limits: Floats = np.eye(len(volatility)) - cap * np.outer(volatility, 1.0 / volatility)
    return limits


def _weights(found: Floats, volatility: Floats) -> Floats:
    scaled = found / volatility
    weights: Floats = scaled / scaled.sum()
    return weights


class _Problem(NamedTuple):
    """Minimise y' Q y / 2 - reward' y - logs' log y under limits y <= 0."""

    matrix: Floats
    reward: Floats
    logs: Floats
    limits: Floats

    def inside(self, y: Floats) -> bool:
        return bool((y[self.logs > 0.0] > 0.0).all() and (self.limits @ y < 0.0).all())

    def barrier(self, y: Floats) -> float:
        """The objective less the logarithms of the slacks; infinite outside the limits."""
        if not self.inside(y):
            return np.inf
        logs = self.logs[self.logs > 0.0] @ np.log(y[self.logs > 0.0])
        slacks = np.log(-(self.limits @ y)).sum()
        return float(y @ self.matrix @ y / 2.0 - self.reward @ y - logs - slacks)

    def slope(self, y: Floats, dual: Floats) -> Floats:
        """First derivative of the Lagrangian: 0 at the optimum."""
        objective = self.matrix @ y - self.reward
        objective -= np.divide(self.logs, y, out=np.zeros_like(y), where=self.logs > 0.0)
        total: Floats = objective + self.limits.T @ dual
        return total

    def curvature(self, y: Floats, dual: Floats) -> Floats:
        """Second derivative of the objective, and of a barrier whose slope at the limits is `dual`."""
        found: Floats = self.matrix + self.limits.T @ ((dual / -(self.limits @ y))[:, None] * self.limits)
        found[np.diag_indices_from(found)] += self.logs / np.square(y)
        return found


@threadpool_limits.wrap(limits=1, user_api="blas")  # a hundred names: threads cost more than they save
def _least(problem: _Problem, start: Floats) -> Floats:
    """The y that solves the problem, from a start strictly inside its limits.

    Raises:
        DataError: the matrix is singular, or neither PROVEN nor, where no step leads further, ENOUGH was reached.
    """
    try:
        y = _centre(problem, start)
    except np.linalg.LinAlgError as error:
        raise DataError(f"the covariance is singular ({error}); {REMEDY}") from error
    dual, miss = -1.0 / (problem.limits @ y), math.inf
    for _ in range(MOST_STEPS):
        gap = float(-(problem.limits @ y) @ dual)
        miss = max(float(np.abs(problem.slope(y, dual) * y).max()), gap)
        if miss <= PROVEN:
            return y
        ahead = _step(problem, y, dual, gap / (CLOSER * max(len(dual), 1)))
        if ahead is None:
            break
        y, dual = ahead
    if not miss <= ENOUGH:
        raise DataError(f"the optimum is missed by {miss:.2g}, wanted {ENOUGH:.0e} at most; {REMEDY}")
    return y


def _centre(problem: _Problem, y: Floats) -> Floats:
    """Least of the barrier, by Newton steps that are damped until the decrement is small.

    The barrier is self-concordant, so the steps converge from any start, at the end quadratically.
    """
    for _ in range(MOST_STEPS):
        dual = -1.0 / (problem.limits @ y)
        slope = problem.slope(y, dual)
        move = -np.linalg.solve(problem.curvature(y, dual), slope)
        decrement = math.sqrt(max(float(-slope @ move), 0.0))
        if decrement < NEAR:
            return y + move
        step, here = 1.0, problem.barrier(y)
        while step > 1.0 / (1.0 + decrement):  # a step of that length or less always descends
            if problem.barrier(y + step * move) <= here - PROGRESS * step * decrement**2:
                break
            step /= 2.0
        y = y + step * move
    return y


def _step(problem: _Problem, y: Floats, dual: Floats, aim: float) -> tuple[Floats, Floats] | None:
    """One Newton step towards dual x slack = aim, shortened until it comes closer; None where none does."""

    def residuals(at: Floats, with_dual: Floats) -> tuple[Floats, Floats, float]:
        slope, central = problem.slope(at, with_dual), -with_dual * (problem.limits @ at) - aim
        return slope, central, math.sqrt(float(slope @ slope + central @ central))

    slope, central, before = residuals(y, dual)
    slack = problem.limits @ y
    try:
        move = np.linalg.solve(problem.curvature(y, dual), -slope - problem.limits.T @ (central / slack))
    except np.linalg.LinAlgError:
        return None
    turn = (central - dual * (problem.limits @ move)) / slack
    falls = turn < 0.0
    step = min(1.0, BOUNDARY * float((dual[falls] / -turn[falls]).min(initial=np.inf)))
    while step > SHORTEST:
        ahead, dual_ahead = y + step * move, dual + step * turn
        if problem.inside(ahead) and residuals(ahead, dual_ahead)[2] <= (1.0 - PROGRESS * step) * before:
            return ahead, dual_ahead
        step /= 2.0
    return None
