"""As much of a book as keeps its risk in bounds."""

import numpy as np
import polars as pl

from quant_core.allocation.held import Moment, walked
from quant_core.allocation.strategies.buffered import buffered_weights
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats


@STRATEGIES.register("volatility_targeted")
def volatility_targeted(inputs: DecisionInputs) -> pl.DataFrame:
    """For each traded model its buffered book by the share that a target volatility allows, the rest in cash.

    The share is min(1, target_volatility / v), v being the yearly volatility that the book as it stands would have had
    over the last volatility_sessions sessions. It is changed only where it misses what is invested by more than
    exposure_band, so that noise in v costs nothing; within the band the book is traded as `buffered` is, and purchases
    fill what is left to the share.

    Source: Moreira and Muir (2017), Volatility-managed portfolios; Harvey et al. (2018), The impact of volatility
    targeting.
    """
    return walked(inputs, "volatility_targeted", targeted_weights)


def targeted_weights(now: Moment) -> Floats | None:
    """(N,) weights wanted, NaN for a name that is kept; None without any score."""
    invested = float(now.held.sum())
    whole = now.held / invested if invested > 0.0 else now.held
    book = buffered_weights(now, whole)
    if book is None:
        return None
    full = np.where(np.isnan(book), whole, book)
    share = exposure(now, full)
    if invested > 0.0 and abs(share - invested) <= now.inputs.config.exposure_band:
        room, asked = share - now.held[np.isnan(book)].sum(), np.nansum(book)
        return book * (min(max(room / asked, 0.0), 1.0) if asked > 0.0 else 1.0)  # NaN, a name that is kept, stays NaN
    scaled = np.minimum(full * share, now.inputs.config.max_position)
    unscored = now.eligible & np.isnan(now.score)
    scaled[(now.held > 0.0) & (now.stuck | unscored)] = np.nan
    return scaled


def exposure(now: Moment, book: Floats) -> float:
    """min(1, target / volatility) of weights (N,) over the trailing sessions; a missing return counts as 0."""
    held = book > 0.0
    returns = np.nan_to_num(now.past(now.inputs.config.volatility_sessions).total_return_1d[:, held]) @ book[held]
    volatility = float(returns.std(ddof=1)) * SESSIONS_PER_YEAR**0.5
    return min(1.0, now.inputs.config.target_volatility / volatility) if volatility > 0.0 else 1.0
