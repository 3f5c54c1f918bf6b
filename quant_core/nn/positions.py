"""Where a token stands: sinusoidal positions that are added, rotary ones that turn queries and keys.

Source: Vaswani et al. (2017), sec. 3.5; Su et al., RoFormer (2021).
"""

import torch
from torch import Tensor

BASE = 10_000.0


def sinusoidal(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """(T, D): sin(t / 10000^(2i/D)) in even channels 2i, cos of the same in odd ones."""
    turns = _turns(length, width, device)  # (T, ceil(D / 2))
    table = torch.empty(length, width, device=device)
    table[:, 0::2], table[:, 1::2] = turns.sin(), turns.cos()[:, : width // 2]
    return table


def rotate(x: Tensor) -> Tensor:
    """(..., T, d) with each pair of channels (i, i + d/2) turned by its position's angle: only differences matter."""
    length, width = x.shape[-2:]
    turns = _turns(length, width, x.device)  # (T, d / 2); in float32: bfloat16 knows whole radians at t = 256
    sin, cos = turns.sin().to(x.dtype), turns.cos().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _turns(length: int, width: int, device: torch.device | None) -> Tensor:
    rates = BASE ** (-torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
    return torch.arange(length, device=device, dtype=torch.float32)[:, None] * rates
