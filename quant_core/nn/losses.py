"""Losses of the heads; a target that is not known (NaN) counts for nothing, and nothing is averaged over nothing.

Sources: QLIKE: Patton, Volatility forecast comparison using imperfect volatility proxies, Journal of Econometrics 160
(2011). Pinball: Koenker and Bassett, Regression Quantiles, Econometrica 46 (1978).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from quant_core.nn.heads import Gaussian, StudentT


def gaussian_nll(said: Gaussian, value: Tensor) -> Tensor:
    """Mean of ln s + (x - m)^2 / (2 s^2) + ln(2 pi) / 2 over known values (B, H)."""
    known, x = split(value)
    z = (x - said.mean) / said.scale
    return mean_of(said.scale.log() + 0.5 * z.square() + 0.5 * math.log(2.0 * math.pi), known)


def student_t_nll(said: StudentT, value: Tensor) -> Tensor:
    """Mean negative log density of Student's t with location m, scale s and v degrees of freedom over known values.

    ln s + ln(v pi) / 2 + ln G(v / 2) - ln G((v + 1) / 2) + (v + 1) / 2 ln(1 + z^2 / v)
    """
    known, x = split(value)
    z, df = (x - said.mean) / said.scale, said.df
    constant = 0.5 * (df * math.pi).log() + torch.lgamma(df / 2.0) - torch.lgamma((df + 1.0) / 2.0)
    return mean_of(said.scale.log() + constant + (df + 1.0) / 2.0 * torch.log1p(z.square() / df), known)


def qlike(variance: Tensor, realized: Tensor) -> Tensor:
    """Mean of r / v - ln(r / v) - 1 over known realised variances r > 0; 0 where v = r, robust to noise in r."""
    known, r = split(realized.where(realized > 0.0, torch.nan), instead=1.0)
    ratio = r / variance
    return mean_of(ratio - ratio.log() - 1.0, known)


def pinball(quantiles: Tensor, value: Tensor, levels: Sequence[float]) -> Tensor:
    """Mean over levels q and known values of max(q e, (q - 1) e), e = x - quantile; quantiles (B, H, Q)."""
    known, x = split(value)
    q = torch.as_tensor(levels, dtype=quantiles.dtype, device=quantiles.device)
    error = x.unsqueeze(-1) - quantiles
    return mean_of(torch.maximum(q * error, (q - 1.0) * error).mean(dim=-1), known)


def direction_loss(logits: Tensor, direction: Tensor) -> Tensor:
    """Cross-entropy of the classes down, flat, up over known directions: logits (B, H, 3), direction (B, H), NaN or
    -1, 0, 1."""
    known, way = split(direction)
    loss = F.cross_entropy(logits.flatten(0, 1), way.flatten().long() + 1, reduction="none")
    return mean_of(loss.view_as(direction), known)


def squared_error(score: Tensor, value: Tensor) -> Tensor:
    """Mean squared error over known values."""
    known, x = split(value)
    return mean_of((x - score).square(), known)


def split(value: Tensor, instead: float = 0.0) -> tuple[Tensor, Tensor]:
    """Which values are numbers, and the values with `instead` in place of those that are none.

    The replacement comes before any arithmetic: the gradient of what is masked afterwards would still be NaN.
    """
    known = torch.isfinite(value)
    return known, torch.where(known, value, torch.full_like(value, instead))


def mean_of(loss: Tensor, known: Tensor) -> Tensor:
    """Mean of `loss` over known values; 0, with a gradient of 0, where none is known."""
    return (loss * known).sum() / known.sum().clamp_min(1)
