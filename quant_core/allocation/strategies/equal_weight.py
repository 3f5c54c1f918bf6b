"""Naive diversification."""

import polars as pl

from quant_core.allocation.strategy import STRATEGIES, DecisionInputs


@STRATEGIES.register("equal_weight")
def equal_weight(inputs: DecisionInputs) -> pl.DataFrame:
    """The same weight in every tradable member of the universe, at most max_position each.

    min_position does not apply.

    Source: DeMiguel, Garlappi and Uppal (2009), Optimal versus naive diversification: the hardest simple baseline to
    beat.
    """
    share = pl.min_horizontal(1.0 / pl.len().over("date"), pl.lit(inputs.config.max_position))
    return inputs.eligible.with_columns(weight=share)
