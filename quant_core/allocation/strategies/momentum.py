"""Winners stay winners for a while."""

import numpy as np
import polars as pl

from quant_core.allocation.estimation import ENOUGH_HISTORY
from quant_core.allocation.history import History
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs, hold_best
from quant_core.dense import Floats


@STRATEGIES.register("momentum")
def momentum(inputs: DecisionInputs) -> pl.DataFrame:
    """Equal weights in the top_n tradable members that rose most over the past year without its last month.

    A name needs a return on at least 80 % of the sessions between, a missing one counts as 0, and none of them withheld
    because it may hold a corporate action; without that it has no score and is kept as it is held.

    Source: Jegadeesh and Titman (1993), Returns to buying winners and selling losers; the newest month is left out
    because it tends to reverse (Jegadeesh 1990).
    """
    sessions, skipped = inputs.config.momentum_sessions, inputs.config.momentum_skip_sessions

    def past_return(past: History) -> Floats:
        seen = slice(max(len(past.total_return_1d) - skipped, 0))
        returns = past.total_return_1d[seen]
        counted = np.isfinite(returns)
        growth = np.prod(1.0 + np.where(counted, returns, 0.0), axis=0)
        enough = counted.sum(axis=0) >= ENOUGH_HISTORY * (sessions - skipped)
        return np.where(enough & ~past.quarantined[seen].any(axis=0), growth - 1.0, np.nan)

    return hold_best(inputs, sessions, past_return)
