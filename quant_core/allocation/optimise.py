"""Portfolio optimisers of skfolio behind one function: returns in, clean weights out or an error."""

import warnings
from typing import Any

import numpy as np

from quant_core.errors import DataError
from quant_core.trading.weights import Array

#: Weights below this are an interior-point solver's way to write 0: ten rupees in ten million.
SMALLEST_WEIGHT = 1e-6
#: Duality gaps to ask the solver for, the first that it reaches counts. NIFTY 50, 159 months: risk contributions then
#: agree to 4e-7 of the whole; 3 of the months stop short of it and are solved to the second, where they agree to 4e-6.
TOLERANCES = (1e-10, 1e-8)
#: How far the weights may miss a sum or a cap before they are no answer.
MISSED = 1e-6
REMEDY = "look for absurd returns of these names in clean_prices, or change lookback_sessions or optimiser_names."


def shrunk_covariance() -> Any:
    """skfolio's prior with the covariance of Ledoit and Wolf (2004), shrunk to a multiple of the identity."""
    from skfolio.moments import LedoitWolf
    from skfolio.prior import EmpiricalPrior

    return EmpiricalPrior(covariance_estimator=LedoitWolf())


def optimised(estimator: Any, returns: Array, max_position: float) -> Array:
    """Weights of a skfolio estimator fitted to `returns`.

    The returns are divided by their overall standard deviation first: the weights do not change with the unit, what a
    solver's tolerance means does.

    Args:
        estimator: unfitted, with max_weights=max_position.
        returns: (T, N) daily returns, none missing.
    Returns:
        (N,) weights in 0..max_position with sum 1, those below 1e-6 dropped to cash.
    Raises:
        DataError: no solution, only one that the solver itself calls inaccurate, or weights outside the limits.
    """
    from skfolio.exceptions import SkfolioError

    name = type(estimator).__name__
    try:
        weights = np.asarray(_fit(estimator, returns / returns.std()).weights_, dtype=np.float64)
    except (SkfolioError, ArithmeticError, ValueError) as error:
        raise DataError(f"{name} found no weights ({error}); {REMEDY}") from error
    if not (abs(weights.sum() - 1.0) <= MISSED and weights.min() >= -MISSED and weights.max() <= max_position + MISSED):
        raise DataError(
            f"{name} gave weights of {weights.min():.2g} to {weights.max():.2g} with sum {weights.sum():.8g}, wanted "
            f"0 to {max_position} with sum 1; {REMEDY}"
        )
    weights = np.where(weights < SMALLEST_WEIGHT, 0.0, np.minimum(weights, max_position))
    return weights / max(weights.sum(), 1.0)


def _fit(estimator: Any, returns: Array) -> Any:
    """The fitted estimator; one that solves a convex problem has solved it to the first tolerance that can be met."""
    if "solver_params" not in estimator.get_params(deep=False):
        return estimator.fit(returns)
    status = "unsolved"
    for gap in TOLERANCES:
        estimator.set_params(solver_params={"tol_gap_abs": gap, "tol_gap_rel": gap}, save_problem=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Solution may be inaccurate")  # the status says so, too
            estimator.fit(returns)
        status = estimator.problem_.status
        if status == "optimal":
            return estimator
    raise DataError(f"{type(estimator).__name__} ended {status}, wanted optimal; {REMEDY}")
