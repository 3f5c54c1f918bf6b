"""What a network says of a return: a plain score, a distribution, a direction, a variance and quantiles.

Each head maps a state (B, D) to H horizons side by side. Returns are standardized, return / (sigma sqrt(h)), and
variances are ratios to sigma^2 h, so that one head serves quiet and wild names and every horizon.
"""

from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quant_core.errors import DataError

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


DistributionKind = Literal["gaussian", "student_t"]
Distribution = Gaussian | StudentT


class Said(NamedTuple):
    """What a network says of B rows at H horizons.

    Args:
        score: (B, H), ranks names on a date.
        distribution: of the standardized return, (B, H) each parameter.
        direction: logits (B, H, 3) of down, flat and up.
        variance: realised variance over sigma^2 h, (B, H).
        quantiles: of the standardized return, (B, H, Q).
    """

    score: Tensor
    distribution: Distribution
    direction: Tensor
    variance: Tensor
    quantiles: Tensor


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
    """(B, D) -> realised variance (B, H) over sigma^2 h, positive."""

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


class Heads(nn.Module):
    """(B, D) -> Said, every head side by side, in float32 whatever precision the network below computes in.

    A score of eight bits would have ties, and log densities of eight bits no gradient worth the name.

    Args:
        distribution: "gaussian" or "student_t".
        levels: levels of the quantiles, increasing, between 0 and 1.
    Raises:
        DataError: an unknown distribution, no horizon, levels that do not increase.
    """

    def __init__(self, width: int, n_horizons: int, distribution: DistributionKind, levels: tuple[float, ...]) -> None:
        super().__init__()
        _check(n_horizons, distribution, levels)
        self.score = nn.Linear(width, n_horizons)
        self.distribution = (GaussianHead if distribution == "gaussian" else StudentTHead)(width, n_horizons)
        self.direction = DirectionHead(width, n_horizons)
        self.variance = VarianceHead(width, n_horizons)
        self.quantiles = QuantileHead(width, n_horizons, levels)

    def forward(self, state: Tensor) -> Said:
        with torch.autocast(state.device.type, enabled=False):
            exact = state.float()
            return Said(
                self.score(exact),
                self.distribution(exact),
                self.direction(exact),
                self.variance(exact),
                self.quantiles(exact),
            )


def _check(n_horizons: int, distribution: str, levels: tuple[float, ...]) -> None:
    if distribution not in get_args(DistributionKind):
        raise DataError(f"heads: distribution {distribution!r}; wanted one of {get_args(DistributionKind)}.")
    bounds = (0.0, *levels, 1.0)
    if not levels or any(a >= b for a, b in pairwise(bounds)):
        raise DataError(f"heads: quantile levels {levels}; wanted increasing levels between 0 and 1.")
    if n_horizons < 1:
        raise DataError(f"heads: {n_horizons} horizons; wanted 1 or more.")
