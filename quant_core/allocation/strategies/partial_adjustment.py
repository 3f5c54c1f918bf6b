"""Part of the way towards what one would hold if trading were free."""

import math

import numpy as np
import polars as pl

from quant_core.allocation.held import Moment, walked
from quant_core.allocation.strategies.buffered import descending_rank, wished_weights
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.dense import Floats


@STRATEGIES.register("partial_adjustment")
def partial_adjustment(inputs: DecisionInputs) -> pl.DataFrame:
    """For each traded model a book that trades part of the way to its 2 x top_n best: `partial_adjustment_{model}`.

    The aim is the 2 x top_n names of best smoothed rank, by `book_weighting`; each decision goes the share of the way
    that `trading_rate` says is worth its cost, an empty book all of it. A name outside the aim that falls below
    min_position is sold, one inside it is bought with at least that, the others in proportion; a name without a score
    is kept.

    Source: Garleanu and Pedersen (2013), Dynamic trading with predictable returns and transaction costs, Journal of
    Finance 68(6), proposition 3 and example 2.
    """
    return walked(inputs, "partial_adjustment", adjusted_weights)


def trading_rate(risk_aversion: float, variance: float, quadratic_cost: float, discount: float = 0.0) -> float:
    """Share of the way to the aim that is best traded in one period.

    With the cost of trading dx being dx' L dx / 2, L = l S in proportion to the covariance S, wealth x is best held as

        x_t = (1 - a / l) x_(t-1) + (a / l) aim_t,
        a = (-(g (1 - p) + l p) + sqrt((g (1 - p) + l p)^2 + 4 g l (1 - p)^2)) / (2 (1 - p))

    for risk aversion g and discount p a period; l is the quadratic cost of a name over its variance a period.

    Args:
        variance: of a name's return a period.
        quadratic_cost: of trading x of the wealth in a name: x^2 / 2 times this.
    Returns:
        a / l, between 0 and 1: small where trading is dear, or where there is little risk to be wrong about.
    """
    cost, kept = quadratic_cost / variance, 1.0 - discount
    aversion = risk_aversion * kept + cost * discount
    a = (math.sqrt(aversion**2 + 4.0 * risk_aversion * cost * kept**2) - aversion) / (2.0 * kept)
    return a / cost


def adjusted_weights(now: Moment) -> Floats | None:
    """(N,) weights wanted, NaN for a name that is kept; None without any score."""
    config, names = now.inputs.config, 2 * now.inputs.config.top_n
    if np.isnan(now.score).all():
        return None
    rank = descending_rank(np.where(now.eligible, now.score, np.nan))
    kept = (now.held > 0.0) & (now.stuck | (now.eligible & np.isnan(now.score)))
    room = max(1.0 - now.held[kept].sum(), 0.0)
    aim = wished_weights(now, rank <= names, rank, float(names)) * room
    rate = 1.0 if not (now.held > 0.0).any() else _rate(now)
    weights = np.where(np.isnan(rank), 0.0, now.held + rate * (aim - now.held))
    total = min(weights[~kept].sum(), room)
    small = weights < config.min_position
    weights = np.where(small, np.where(aim > 0.0, np.minimum(aim, config.min_position), 0.0), weights)
    free = weights[~kept].sum()
    weights = np.minimum(weights * (total / free if free > 0.0 else 1.0), config.max_position)
    weights[kept] = np.nan
    return weights


def _rate(now: Moment) -> float:
    """The rate by the mean variance of the names that may be bought, over as long as since the decision before."""
    past = now.past(now.inputs.config.lookback_sessions).total_return_1d[:, now.eligible]
    variance = float(np.mean(np.nan_to_num(past).var(axis=0))) * max(now.sessions, 1)
    if variance <= 0.0:
        return 0.0
    return trading_rate(now.inputs.config.risk_aversion, variance, now.rules.quadratic_cost)
