"""What a reward is: a compiled function of what a decision earned, registered by its name.

Every environment takes from it what risk costs beside: `lambda_drawdown` x deepening of the drawdown and
`lambda_turnover` x turnover beyond the budget. Costs are in the return that a reward gets, and nowhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numba import types

from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.registry import Registry

#: What a kernel is compiled for, with `numba.cfunc(SIGNATURE, cache=True)`:
#: kernel(excess_simple, excess_log, memory, parameters) -> reward, of one episode's step from one decision to the next.
#: excess_simple = equity growth - cash growth, excess_log = log(equity growth / cash growth), both net of costs; memory
#: holds MEMORY numbers that are the episode's own and begin at 0; parameters are those of `Reward.parameters`.
SIGNATURE = types.float64(types.float64, types.float64, types.CPointer(types.float64), types.CPointer(types.float64))
MEMORY = 8
PARAMETERS = 8  # at most


@dataclass(frozen=True)
class Reward:
    """A kernel, and the numbers that it reads from the settings."""

    kernel: Any
    parameters: Callable[[EnvConfig], tuple[float, ...]]


REWARDS: Registry[Reward] = Registry("reward", "quant_core.allocation.learning.rewards")


def register(name: str, parameters: Callable[[EnvConfig], tuple[float, ...]]) -> Callable[[Any], Any]:
    """Decorator that files a compiled kernel under `name`."""

    def add(kernel: Any) -> Any:
        REWARDS.register(name)(Reward(kernel, parameters))
        return kernel

    return add
