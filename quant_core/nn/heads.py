"""What a network says of a return: a distribution, a direction, a variance, quantiles; and a plain score.

Each head maps a state (B, D) to H horizons side by side.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Smallest scale, and smallest distance of the degrees of freedom from 2 (below it a variance does not exist).
SMALLEST_SCALE, SMALLEST_EXCESS = 1e-4, 1e-2


class Gaussian(NamedTuple):
    """mean and scale, (B, H) each; the scale is positive."""

    mean: Tensor
    scale: Tensor


class StudentT(NamedTuple):
    """Location, scale and degrees of freedom, (B, H) each; df > 2."""

    mean: Tensor
    scale: Tensor
    df: Tensor


class GaussianHead(nn.Module):
    """(B, D) -> Gaussian."""

    def __init__(self, width: int, n_horizons: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * n_horizons)

    def forward(self, state: Tensor) -> Gaussian:
        mean, raw = self.linear(state).chunk(2, dim=-1)
        return Gaussian(mean, F.softplus(raw) + SMALLEST_SCALE)


class StudentTHead(nn.Module):
    """(B, D) -> StudentT."""

    def __init__(self, width: int, n_horizons: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 3 * n_horizons)

    def forward(self, state: Tensor) -> StudentT:
        mean, raw_scale, raw_df = self.linear(state).chunk(3, dim=-1)
        return StudentT(mean, F.softplus(raw_scale) + SMALLEST_SCALE, 2.0 + SMALLEST_EXCESS + F.softplus(raw_df))


class DirectionHead(nn.Module):
    """(B, D) -> logits (B, H, 3) of down, flat and up."""

    def __init__(self, width: int, n_horizons: int) -> None:
        super().__init__()
        self.n_horizons = n_horizons
        self.linear = nn.Linear(width, 3 * n_horizons)

    def forward(self, state: Tensor) -> Tensor:
        return self.linear(state).view(len(state), self.n_horizons, 3)


class VarianceHead(nn.Module):
    """(B, D) -> realised variance (B, H), positive."""

    def __init__(self, width: int, n_horizons: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, n_horizons)

    def forward(self, state: Tensor) -> Tensor:
        return F.softplus(self.linear(state)) + SMALLEST_SCALE**2


class QuantileHead(nn.Module):
    """(B, D) -> quantiles (B, H, Q) that never cross: the middle one, and positive steps away from it."""

    def __init__(self, width: int, n_horizons: int, levels: tuple[float, ...]) -> None:
        super().__init__()
        self.shape, self.middle = (n_horizons, len(levels)), len(levels) // 2
        self.linear = nn.Linear(width, n_horizons * len(levels))

    def forward(self, state: Tensor) -> Tensor:
        raw = self.linear(state).view(len(state), *self.shape)
        centre = raw[..., self.middle : self.middle + 1]
        above = centre + F.softplus(raw[..., self.middle + 1 :]).cumsum(dim=-1)
        below = centre - F.softplus(raw[..., : self.middle].flip(-1)).cumsum(dim=-1).flip(-1)
        return torch.cat([below, centre, above], dim=-1)
