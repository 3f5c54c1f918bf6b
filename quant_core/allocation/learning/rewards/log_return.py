"""How much more than cash the account grew."""

import numba

from quant_core.allocation.learning.reward import SIGNATURE, register


@register("log_return", lambda config: ())
@numba.cfunc(SIGNATURE, cache=True)
def log_return(excess_simple, excess_log, memory, parameters):  # type: ignore[no-untyped-def]
    """log(E_t / E_(t-1)) - log(C_t / C_(t-1)); over an episode it sums to the log of the growth beyond cash."""
    return excess_log
