"""AdamW, which parameters it shrinks, and how the learning rate moves.

Sources: Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019), and SGDR (2017) for the cosine.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from quant_core.errors import DataError
from quant_core.nn.settings import Schedule

NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def make_optimiser(
    network: nn.Module, learning_rate: float, weight_decay: float, slow: Sequence[str] = (), slow_share: float = 1.0
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, in up to four groups, each with its `share` of the learning rate.

    Args:
        weight_decay: of matrices; biases, the weights of norms and anything of one dimension are left alone.
        slow: beginnings of names of parameters that learn at `slow_share` of the rate.
    Raises:
        DataError: nothing to train, or a beginning that no parameter has.
    """
    named = {name: value for name, value in network.named_parameters() if value.requires_grad}
    lost = [prefix for prefix in slow if not any(name.startswith(prefix) for name in named)]
    if not named or lost:
        raise DataError(
            f"training: slow parameters {lost} are not among the {len(named)} trainable ones "
            f"({', '.join(list(named)[:5])} ...); correct the beginnings of their names, or unfreeze the network."
        )
    plain = set(undecayed(network))
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, value in named.items():
        groups.setdefault((name in plain, name.startswith(tuple(slow))), []).append(value)
    return torch.optim.AdamW(
        [
            {
                "params": values,
                "weight_decay": 0.0 if is_plain else weight_decay,
                "share": slow_share if is_slow else 1.0,
            }
            for (is_plain, is_slow), values in groups.items()
        ],
        lr=learning_rate,
        fused=next(iter(named.values())).device.type in ("cpu", "cuda"),
    )


def undecayed(network: nn.Module) -> Iterator[str]:
    """Names of parameters that weight decay leaves alone: biases, of norms, of one dimension or none."""
    for owner, module in network.named_modules():
        for name, value in module.named_parameters(recurse=False):
            if value.ndim < 2 or "bias" in name or isinstance(module, NORMS):
                yield f"{owner}.{name}" if owner else name


def rate_share(
    step: int, n_steps: int, schedule: Schedule, warmup_share: float = 0.0, final_rate_share: float = 0.0
) -> float:
    """Share of the learning rate at `step` (0 .. n_steps - 1).

    With w = round(warmup_share n_steps): (step + 1) / w while step < w. Afterwards, with p from 0 at step w to 1 at the
    last step and f = final_rate_share: cosine f + (1 - f) (1 + cos(pi p)) / 2, linear 1 - (1 - f) p, constant 1.
    """
    warmup = round(warmup_share * n_steps)
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(n_steps - 1 - warmup, 1)
    fall = 0.5 * (1.0 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0 - done
    return final_rate_share + (1.0 - final_rate_share) * fall


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of `rate`."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]


def trained_parameters(optimiser: torch.optim.Optimizer) -> list[Any]:
    """Every parameter of every group."""
    return [value for group in optimiser.param_groups for value in group["params"]]
