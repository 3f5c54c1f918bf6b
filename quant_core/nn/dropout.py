"""Dropout whose mask costs little on a CPU.

torch draws a mask number by number: more than half of the time of a training step of a small Transformer on a CPU.
Here one random word serves eight elements.

Source: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR 15 (2014).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quant_core.errors import DataError

#: A byte of randomness an element: rates come in steps of 1 / 256 on a CPU, and what is kept is scaled by the true one.
STEPS = 256


class Dropout(nn.Module):
    """x m / (1 - p), m = 0 with probability p and 1 otherwise; x itself in eval mode. Other devices: torch's own."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise DataError(f"dropout: rate {rate}; wanted a fraction in [0, 1).")
        self.rate, self.dropped = rate, min(round(rate * STEPS), STEPS - 1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.rate)
        mask = _random_bytes(x.numel()).view(x.shape).to(x.dtype)  # compared as floats: bytes take ten times as long
        return x * mask.ge_(self.dropped - STEPS // 2).mul_(STEPS / (STEPS - self.dropped))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def _random_bytes(n: int) -> Tensor:
    """(n,) int8, each of -128 ... 127 alike, from torch's generator."""
    words = torch.empty(-(-n // 8), dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int8)[:n]
