"""Risk parity with correlations."""

import polars as pl

from quant_core.allocation.cone import equal_risk, unequal_risk
from quant_core.allocation.estimation import monthly_weights
from quant_core.allocation.optimise import covariance, optimised, proven, shrunk_covariance
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.dense import Floats


@STRATEGIES.register("equal_risk_contribution")
def equal_risk_contribution(inputs: DecisionInputs) -> pl.DataFrame:
    """Every member adds the same share of the portfolio's variance over the past year, estimated once a month.

    At most max_position each: a name at the cap adds less, and of the others a larger position adds a little more.
    min_position does not apply. Spreads over the optimiser_names most traded members.

    Source: Maillard, Roncalli and Teiletche (2010), The properties of equally weighted risk contribution portfolios;
    under a cap Richard and Roncalli (2019), Constrained risk budgeting portfolios.
    """
    return monthly_weights(inputs, equal_risk_weights, inputs.config.optimiser_names)


def equal_risk_weights(returns: Floats, max_position: float) -> Floats:
    """(N,) weights w, sum 1, whose w_i (C w)_i are equal where no cap binds; C is Ledoit and Wolf's.

    Under a cap they are what `cone.equal_risk` says.

    Raises:
        DataError: neither the lab's solver nor skfolio's finds them.
    """
    from skfolio.optimization import RiskBudgeting

    risk = covariance(returns)
    second = RiskBudgeting(prior_estimator=shrunk_covariance(), max_weights=max_position)
    return proven(
        {
            "interior point": lambda: equal_risk(risk, max_position),
            "skfolio": lambda: optimised(second, returns, max_position),
        },
        lambda weights: unequal_risk(weights, risk, max_position),
    )
