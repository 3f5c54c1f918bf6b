"""The calmest portfolio that there is."""

import polars as pl

from quant_core.allocation.cone import excess_variance, least_variance
from quant_core.allocation.estimation import monthly_weights
from quant_core.allocation.optimise import covariance, optimised, proven, shrunk_covariance
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.dense import Floats


@STRATEGIES.register("min_variance")
def min_variance(inputs: DecisionInputs) -> pl.DataFrame:
    """The members that together vary least, by the shrunk covariance of the past year, estimated once a month.

    Long only, at most max_position each, fully invested; min_position does not apply. Chooses from the optimiser_names
    most traded members.

    Source: Clarke, de Silva and Thorley (2006), Minimum-variance portfolios in the U.S. equity market.
    """
    return monthly_weights(inputs, min_variance_weights, inputs.config.optimiser_names)


def min_variance_weights(returns: Floats, max_position: float) -> Floats:
    """(N,) weights w with the least w' C w, 0 <= w <= max_position and sum 1; C is Ledoit and Wolf's.

    Raises:
        DataError: neither the lab's solver nor skfolio's finds them.
    """
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    risk = covariance(returns)
    second = MeanRisk(
        objective_function=ObjectiveFunction.MINIMIZE_RISK,
        prior_estimator=shrunk_covariance(),
        max_weights=max_position,
    )
    return proven(
        {
            "interior point": lambda: least_variance(risk, max_position),
            "skfolio": lambda: optimised(second, returns, max_position),
        },
        lambda weights: excess_variance(weights, risk, max_position),
    )
