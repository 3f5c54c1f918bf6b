"""Gaussian mixture: each session is drawn from one of K normal distributions, whatever the session before was.

Source: McLachlan and Peel, Finite mixture models, 2000; fitted by scikit-learn.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.regimes.filtering import log_gaussians, memoryless, shares, whitening
from quant_core.regimes.model import METHODS, Arrays, Method, MethodConfig
from quant_core.regimes.sound import CLUSTER_COLUMNS, check_rows, check_states, chosen


@dataclass(frozen=True)
class GmmConfig(MethodConfig):
    """Settings of the mixture, beside those of every method; n_states None takes the lowest BIC.

    Args:
        n_starts: starts, of which the most likely end is taken.
        max_steps: of expectation-maximisation; a fit that ends there is kept, with `converged` 0.
        min_share: of the sessions that a state must be expected in, and never below 21 sessions.
        min_variance: of a state in its narrowest direction, as a share of the inputs' own; below, it has collapsed.
    """

    columns: tuple[str, ...] = CLUSTER_COLUMNS
    n_starts: int = 3
    max_steps: int = 300
    min_share: float = 0.01
    min_variance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_starts < 1 or self.max_steps < 2 or not 0.0 <= self.min_share < 0.5 or self.min_variance <= 0.0:
            raise DataError(
                f"gmm: {self}; wanted at least 1 of n_starts, 2 of max_steps, a min_share in [0, 0.5) and a "
                "min_variance above 0."
            )


def fit(rows: Floats, config: GmmConfig, seed: int) -> Arrays:
    """The mixture.

    Returns:
        `weights` (K,), `means` (K, F), `covariances` (K, F, F), `converged` 0 or 1.
    Raises:
        DataError: rows that no method can learn from, a collapsed covariance, or a state that hardly occurs.
    """
    check_rows(rows)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of not converging, which is told by `converged`
        return chosen(config, lambda n_states: _fit(rows, n_states, config, seed))


def _fit(rows: Floats, n_states: int, config: GmmConfig, seed: int) -> tuple[Arrays, float]:
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(n_states, n_init=config.n_starts, max_iter=config.max_steps, random_state=seed)
    try:
        model.fit(rows)
    except ValueError as error:
        raise DataError(f"the mixture fell apart: {error}") from error
    check_states(model.weights_ * len(rows), len(rows), config.min_share)
    narrowest = float(np.linalg.eigvalsh(model.covariances_).min())
    if narrowest < config.min_variance:
        raise DataError(
            f"a variance collapsed to {narrowest:.1e}; wanted min_variance {config.min_variance:g} or more; ask for "
            "fewer n_states, or for components."
        )
    arrays = {
        "weights": model.weights_, "means": model.means_, "covariances": model.covariances_,
        "converged": np.array([model.converged_], np.int64),
    }  # fmt: skip
    return arrays, float(model.bic(rows))


def filter(arrays: Arrays, rows: Floats, state: Floats | None) -> tuple[Floats, Floats]:
    """Responsibilities: weight times density of each state, as shares of their sum."""
    roots, log_weights = whitening(arrays["covariances"]), np.log(arrays["weights"])
    return memoryless(
        lambda known: shares(log_gaussians(known, arrays["means"], roots) + log_weights), rows, state, arrays["weights"]
    )


METHODS.register("gmm")(
    Method("gmm", GmmConfig, fit, filter, summary="Gaussian mixture: each session by itself, in clouds of any shape.")
)
