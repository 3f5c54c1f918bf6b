"""Return less what its square costs."""

import numba

from quant_core.allocation.learning.reward import SIGNATURE, register


@register("mean_variance", lambda config: (config.risk_aversion,))
@numba.cfunc(SIGNATURE, cache=True)
def mean_variance(excess_simple, excess_log, memory, parameters):  # type: ignore[no-untyped-def]
    """r - risk_aversion / 2 * r^2, with r the simple return beyond cash.

    Source: Ritter (2017), Machine learning for trading, with the square for the variance, as the mean of one step is
    small beside its spread.
    """
    return excess_simple - 0.5 * parameters[0] * excess_simple * excess_simple
