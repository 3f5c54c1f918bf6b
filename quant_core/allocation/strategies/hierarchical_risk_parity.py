"""Risk parity along a tree of what moves together."""

import polars as pl

from quant_core.allocation.estimation import monthly_weights
from quant_core.allocation.optimise import optimised, shrunk_covariance
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.trading.weights import Array


@STRATEGIES.register("hierarchical_risk_parity")
def hierarchical_risk_parity(inputs: DecisionInputs) -> pl.DataFrame:
    """Members clustered by correlation; risk split evenly down the tree of clusters, estimated once a month.

    At most max_position each; min_position does not apply. Spreads over the optimiser_names most traded members.

    Source: Lopez de Prado (2016), Building diversified portfolios that outperform out of sample; with Ward linkage and
    optimal leaf order instead of single linkage, which chains (Marti et al. 2021).
    """
    return monthly_weights(inputs, hierarchical_weights, inputs.config.optimiser_names)


def hierarchical_weights(returns: Array, max_position: float) -> Array:
    """(N,) weights, sum 1: the order from sample correlations, the risks from Ledoit and Wolf's covariance."""
    from skfolio.optimization import HierarchicalRiskParity

    return optimised(
        HierarchicalRiskParity(prior_estimator=shrunk_covariance(), max_weights=max_position), returns, max_position
    )
