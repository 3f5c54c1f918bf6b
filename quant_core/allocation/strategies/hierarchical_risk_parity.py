"""Risk parity along a tree of what moves together."""

from functools import cache
from typing import Any

import polars as pl

from quant_core.allocation.estimation import monthly_weights
from quant_core.allocation.optimise import optimised, shrunk_covariance
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.dense import Floats


@STRATEGIES.register("hierarchical_risk_parity")
def hierarchical_risk_parity(inputs: DecisionInputs) -> pl.DataFrame:
    """Members clustered by correlation; risk split evenly down the tree of clusters, estimated once a month.

    At most max_position each; min_position does not apply. Spreads over the optimiser_names most traded members.

    Source: Lopez de Prado (2016), Building diversified portfolios that outperform out of sample; with Ward linkage and
    optimal leaf order instead of single linkage, which chains (Marti et al. 2021).
    """
    return monthly_weights(inputs, hierarchical_weights, inputs.config.optimiser_names)


def hierarchical_weights(returns: Floats, max_position: float) -> Floats:
    """(N,) weights, sum 1: the order from sample correlations, the risks from Ledoit and Wolf's covariance."""
    estimator = _estimator()(prior_estimator=shrunk_covariance(), max_weights=max_position)
    return optimised(estimator, returns, max_position)


@cache
def _estimator() -> Any:
    """skfolio's, but for its way to a risk: to read w' C w off, skfolio 1.12 makes a portfolio with all its returns of
    every name and cluster, most of the time of a fit."""
    from skfolio import optimization

    class HierarchicalRiskParity(optimization.HierarchicalRiskParity):
        def _risk(self, weights: Floats, return_distribution: Any) -> float:
            return float(weights @ return_distribution.covariance @ weights)

    return HierarchicalRiskParity
