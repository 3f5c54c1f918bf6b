"""Risk parity without correlations."""

import numpy as np
import polars as pl

from quant_core.allocation.estimation import monthly_weights
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.dense import Floats


@STRATEGIES.register("inverse_volatility")
def inverse_volatility(inputs: DecisionInputs) -> pl.DataFrame:
    """Every member in proportion to one over its volatility of the past year, estimated once a month.

    min_position does not apply. Where a weight exceeds max_position, the excess goes to the others in proportion.

    Source: Leote de Carvalho, Lu and Moulin (2012), Demystifying equity risk-based strategies.
    """
    return monthly_weights(inputs, inverse_volatility_weights)


def inverse_volatility_weights(returns: Floats, max_position: float) -> Floats:
    """(N,) weights proportional to 1 / standard deviation of (T, N) returns, capped; they sum to 1."""
    wishes = 1.0 / returns.std(axis=0)
    capped = np.zeros(len(wishes), dtype=bool)
    while True:  # each round caps a name or ends
        rest = 1.0 - max_position * capped.sum()
        weights = np.where(capped, max_position, rest * wishes / wishes[~capped].sum())
        over = weights > max_position
        if not over.any():
            return weights
        capped |= over
