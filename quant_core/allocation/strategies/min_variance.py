"""The calmest portfolio that there is."""

import polars as pl

from quant_core.allocation.estimation import monthly_weights
from quant_core.allocation.optimise import optimised, shrunk_covariance
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.trading.weights import Array


@STRATEGIES.register("min_variance")
def min_variance(inputs: DecisionInputs) -> pl.DataFrame:
    """The members that together vary least, by the shrunk covariance of the past year, estimated once a month.

    Long only, at most max_position each, fully invested; min_position does not apply. Chooses from the optimiser_names
    most traded members.

    Source: Clarke, de Silva and Thorley (2006), Minimum-variance portfolios in the U.S. equity market.
    """
    return monthly_weights(inputs, min_variance_weights, inputs.config.optimiser_names)


def min_variance_weights(returns: Array, max_position: float) -> Array:
    """(N,) weights w with the least w' C w, 0 <= w <= max_position and sum 1; C is Ledoit and Wolf's."""
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    estimator = MeanRisk(
        objective_function=ObjectiveFunction.MINIMIZE_RISK,
        prior_estimator=shrunk_covariance(),
        max_weights=max_position,
    )
    return optimised(estimator, returns, max_position)
