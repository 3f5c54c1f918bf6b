"""Losses of the heads; a target that is not known (NaN) counts for nothing, and nothing is averaged over nothing.

Sources: QLIKE: Patton, Volatility forecast comparison using imperfect volatility proxies, Journal of Econometrics 160
(2011). Pinball: Koenker and Bassett, Regression Quantiles, Econometrica 46 (1978).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from quant_core.errors import DataError
from quant_core.nn.heads import Distribution, Gaussian, Said, StudentT


class Targets(NamedTuple):
    """What was realised, (B, H) each, NaN where it is not known.

    Args:
        score: what the score is to say, such as the cross-sectional rank.
        standardized_return: forward return / (sigma sqrt(h)).
        direction: -1, 0, 1: the forward return beyond k sigma sqrt(h) or within.
        variance_ratio: realised variance / (sigma^2 h).
    """

    score: Tensor
    standardized_return: Tensor
    direction: Tensor
    variance_ratio: Tensor


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts in the loss; 0 leaves a head untrained.

    Raises:
        DataError: a negative weight, or none above 0.
    """

    score: float = 1.0
    distribution: float = 0.2
    direction: float = 0.1
    volatility: float = 0.1
    quantile: float = 0.2

    def __post_init__(self) -> None:
        weights = asdict(self)
        if min(weights.values()) < 0.0 or max(weights.values()) <= 0.0:
            raise DataError(f"loss weights are {weights}; wanted none below 0 and one above it.")


def multi_task_loss(said: Said, targets: Targets, weights: LossWeights, levels: Sequence[float]) -> dict[str, Tensor]:
    """The parts by the name of their weight, and "loss", their weighted sum: sum_k w_k L_k.

    A part of weight 0 is computed for the log and does not reach the gradient.
    """
    parts = {
        "score": squared_error(said.score, targets.score),
        "distribution": nll(said.distribution, targets.standardized_return),
        "direction": direction_loss(said.direction, targets.direction),
        "volatility": qlike(said.variance, targets.variance_ratio),
        "quantile": pinball(said.quantiles, targets.standardized_return, levels),
    }
    counted = [weight * parts[name] for name, weight in asdict(weights).items() if weight > 0.0]
    return {"loss": torch.stack(counted).sum()} | {name: part.detach() for name, part in parts.items()}


def nll(said: Distribution, value: Tensor) -> Tensor:
    """Mean negative log density of known values, by whichever distribution was said."""
    return student_t_nll(said, value) if isinstance(said, StudentT) else gaussian_nll(said, value)


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
