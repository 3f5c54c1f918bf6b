"""What a step adds to the Sharpe ratio."""

import numba

from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.reward import SIGNATURE, register

SEEN, MEAN, SQUARE = range(3)  # of memory: steps so far, A, B


def _parameters(config: EnvConfig) -> tuple[float, ...]:
    return float(config.sharpe_decay), float(config.sharpe_warm_up), float(config.sharpe_epsilon)


@register("differential_sharpe", _parameters)
@numba.cfunc(SIGNATURE, cache=True)
def differential_sharpe(excess_simple, excess_log, memory, parameters):  # type: ignore[no-untyped-def]
    """D = (B dA - A dB / 2) / (B - A^2)^(3/2), dA = r - A, dB = r^2 - B, with r the simple return beyond cash.

    A and B are those before the step (lagged), so that r is judged by what came before it. In the first `warm_up` steps
    of an episode they are plain means and the reward is 0; then they move by `decay` of dA and dB. The variance is at
    least `epsilon` x B: a return without spread is not worth infinitely much. 0 where B is 0.

    Source: Moody and Saffell (2001), Learning to trade via direct reinforcement, IEEE Transactions on Neural Networks
    12(4), equation 10.
    """
    decay, warm_up, epsilon = parameters[0], parameters[1], parameters[2]
    seen, mean, square = memory[SEEN], memory[MEAN], memory[SQUARE]
    d_mean, d_square = excess_simple - mean, excess_simple * excess_simple - square
    rate = decay if seen >= warm_up else 1.0 / (seen + 1.0)
    memory[SEEN], memory[MEAN], memory[SQUARE] = seen + 1.0, mean + rate * d_mean, square + rate * d_square
    if seen < warm_up or square <= 0.0:
        return 0.0
    variance = max(square - mean * mean, epsilon * square)
    return (square * d_mean - 0.5 * mean * d_square) / variance**1.5
