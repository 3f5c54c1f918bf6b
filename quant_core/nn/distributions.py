"""What a distribution that a head said implies: mean, standard deviation, quantiles."""

from collections.abc import Sequence

import torch
from torch import Tensor

from quant_core.nn.heads import Distribution, StudentT


def moments(said: Distribution) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (B, H) each: of Student's t, s sqrt(v / (v - 2))."""
    if isinstance(said, StudentT):
        return said.mean, said.scale * (said.df / (said.df - 2.0)).sqrt()
    return said.mean, said.scale


def quantiles_of(said: Distribution, levels: Sequence[float]) -> Tensor:
    """(B, H, Q) quantiles: location + scale x the standard quantile, which for Student's t is scipy's."""
    if isinstance(said, StudentT):
        from scipy.stats import t

        df = said.df.double().cpu().numpy()
        standard = torch.stack([torch.from_numpy(t.ppf(level, df)) for level in levels], dim=-1)
        return said.mean.unsqueeze(-1) + said.scale.unsqueeze(-1) * standard.to(said.mean)
    normal = torch.special.ndtri(torch.tensor(levels, dtype=torch.float64)).to(said.mean)
    return said.mean.unsqueeze(-1) + said.scale.unsqueeze(-1) * normal
