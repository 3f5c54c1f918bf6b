"""From returns to weights: the covariance, which solver's answer counts, and skfolio's optimisers."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from quant_core.allocation.cone import REMEDY
from quant_core.dense import Floats
from quant_core.errors import DataError

#: Weights below this are an interior-point solver's way to write 0: ten rupees in ten million.
SMALLEST_WEIGHT = 1e-6
#: How far from the optimum weights may be, in shares of the portfolio's variance, whatever their solver says of them.
#: skfolio's leave up to 5e-6 of it where they are called optimal (39 month-ends of the NIFTY 50), the lab's 3e-12.
PROVEN = 1e-5
#: How far the weights may miss a sum or a cap before they are no answer.
MISSED = 1e-6


def covariance(returns: Floats) -> Floats:
    """(N, N) covariance of Ledoit and Wolf (2004), shrunk to a multiple of the identity, of (T, N) returns.

    Raises:
        DataError: a return is not finite, or none differs from 0.
    """
    from sklearn.covariance import ledoit_wolf

    if not (np.isfinite(returns).all() and returns.any()):
        raise DataError(
            f"returns of {returns.shape[1]} names over {len(returns)} sessions are all 0 or not finite; {REMEDY}"
        )
    shrunk: Floats = ledoit_wolf(returns)[0]
    return shrunk


def shrunk_covariance() -> Any:
    """`covariance` as skfolio's prior."""
    from skfolio.moments import LedoitWolf
    from skfolio.prior import EmpiricalPrior

    return EmpiricalPrior(covariance_estimator=LedoitWolf())


def proven(solvers: Mapping[str, Callable[[], Floats]], miss: Callable[[Floats], float]) -> Floats:
    """The weights of the first solver that finds the optimum.

    Args:
        solvers: name -> weights, in the order in which to ask.
        miss: weights -> how far from the optimum they are, as a share of the variance; at most 1e-5 counts as found.
    Raises:
        DataError: none does; says what each of them gave.
    """
    failures = []
    for name, solve in solvers.items():
        try:
            weights = solve()
        except (DataError, np.linalg.LinAlgError) as error:
            failures.append(f"{name}: {error}")
            continue
        if miss(weights) <= PROVEN:
            return weights
        failures.append(f"{name}: misses the optimum by {miss(weights):.2g} of the variance, wanted {PROVEN:.0e}")
    raise DataError(f"no solver found weights ({'; '.join(failures)}); {REMEDY}")


def optimised(estimator: Any, returns: Floats, max_position: float) -> Floats:
    """Weights of a skfolio estimator fitted to `returns`.

    The returns are divided by their overall standard deviation first: the weights do not change with the unit, what a
    solver's tolerance means does. Whether a solver's answer is the optimum is for the caller to prove.

    Args:
        estimator: unfitted, with max_weights=max_position.
        returns: (T, N) daily returns, none missing.
    Returns:
        (N,) weights in 0..max_position with sum 1, those below 1e-6 dropped to cash.
    Raises:
        DataError: no solution, or weights outside the limits.
    """
    from skfolio.exceptions import SkfolioError

    name = type(estimator).__name__
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Solution may be inaccurate")  # it is checked, not believed
            weights = np.asarray(estimator.fit(returns / returns.std()).weights_, dtype=np.float64)
    except (SkfolioError, ArithmeticError, ValueError) as error:
        raise DataError(f"{name} found no weights ({error}); {REMEDY}") from error
    if not (abs(weights.sum() - 1.0) <= MISSED and weights.min() >= -MISSED and weights.max() <= max_position + MISSED):
        raise DataError(
            f"{name} gave weights of {weights.min():.2g} to {weights.max():.2g} with sum {weights.sum():.8g}, wanted "
            f"0 to {max_position} with sum 1; {REMEDY}"
        )
    weights = np.where(weights < SMALLEST_WEIGHT, 0.0, np.minimum(weights, max_position))
    return weights / max(weights.sum(), 1.0)
