"""A Transformer encoder over patches, and its pre-training: to say what stood where patches were hidden from it.

    loss = sum over hidden, known values of (said - true)^2 / their number

Source: Devlin et al., BERT (2019); Nie et al., A Time Series is Worth 64 Words (2023), sec. 3.2.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from quant_core.nn.encoder import Encoder
from quant_core.nn.patches import to_patches
from quant_core.nn.shapes import EncoderConfig


class PatchEncoder(nn.Module):
    """Patches, projected and encoded: what pre-training leaves behind, and what a forecaster begins with.

    Args:
        n_inputs: F, values of a session.
        config: its pooling is not used: a [CLS] token would learn nothing from reconstruction.
    """

    def __init__(self, n_inputs: int, patch_size: int, config: EncoderConfig) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.encoder = Encoder(patch_size * n_inputs, config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F) -> tokens (B, P, D), the newest patch last."""
        return self.encoder.tokens(to_patches(x, self.patch_size))


class PatchState(nn.Module):
    """The mean of the tokens beside the newest one, through a layer of its own: (B, T, F) -> (B, width)."""

    def __init__(self, tokens: PatchEncoder, width: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.join = nn.Linear(2 * tokens.encoder.config.d_model, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)  # (B, P, D)
        state: Tensor = self.join(torch.cat([tokens.mean(dim=1), tokens[:, -1]], dim=-1))
        return state


class MaskedEncoder(nn.Module):
    """A PatchEncoder, a learned token that stands for a hidden patch, and a head that says its values."""

    def __init__(self, n_inputs: int, patch_size: int, config: EncoderConfig) -> None:
        super().__init__()
        self.body = PatchEncoder(n_inputs, patch_size, config)
        self.mask_token = nn.Parameter(torch.randn(config.d_model) * 0.02)
        self.reconstruct = nn.Linear(config.d_model, patch_size * n_inputs)
        nn.init.zeros_(self.reconstruct.weight)
        nn.init.zeros_(self.reconstruct.bias)

    def begin_at(self, mean: Tensor) -> None:
        """Let a network that has learned nothing say every channel's mean (F,): what it learns is told apart from it
        only, for most of a day's values nothing can be said of them."""
        with torch.no_grad():
            self.reconstruct.bias.copy_(mean.repeat(self.body.patch_size))

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """(B, T, F) and (B, P) True for hidden patches -> every patch as it is said to be, (B, P, patch_size * F)."""
        encoder = self.body.encoder
        shown = encoder.project(to_patches(x, self.body.patch_size))  # (B, P, D)
        tokens = torch.where(hidden.unsqueeze(-1), self.mask_token.to(shown.dtype), shown)
        said: Tensor = self.reconstruct(encoder.mixed(tokens))
        return said


class Masked(NamedTuple):
    """Windows of which something is hidden.

    Args:
        values: (B, T, F), 0 where unknown.
        known: (B, P, patch_size * F) True where there is a value.
        hidden: (B, P) True where the network may not look.
    """

    values: Tensor
    known: Tensor
    hidden: Tensor


def hidden_patches(batch: int, count: int, share: float, generator: torch.Generator | None = None) -> Tensor:
    """(B, P) True for round(share P) patches of each window, at least 1 and at most P - 1, drawn alike.

    Args:
        generator: of the device that is drawn on; None draws on the CPU from torch's own.
    """
    wanted = min(max(round(share * count), 1), count - 1)
    return torch.rand(batch, count, generator=generator).argsort(dim=1).argsort(dim=1) < wanted


def masked(windows: Tensor, patch_size: int, hidden: Tensor) -> Masked:
    """Windows with NaN where unknown, (B, T, F), and which of their patches are hidden, (B, P)."""
    return Masked(windows.nan_to_num(nan=0.0), to_patches(windows, patch_size).isfinite(), hidden.to(windows.device))


def reconstruction_error(said: Tensor, true: Tensor, known: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of squared errors of hidden patches' known values, and their number.

    Args:
        said, true, known: (B, P, W). hidden: (B, P).
    """
    counted = (known & hidden.unsqueeze(-1)).to(torch.float32)
    return ((said.float() - true).square() * counted).sum(), counted.sum()


def copied(true: Tensor, hidden: Tensor) -> Tensor:
    """(B, P, W) each hidden patch as the newest shown one before it, or the oldest shown one where there is none."""
    count = true.shape[1]
    place = torch.arange(count, device=true.device).expand_as(hidden)
    before = place.masked_fill(hidden, -1).cummax(dim=1).values
    oldest = place.masked_fill(hidden, count).amin(dim=1, keepdim=True)
    source = torch.where(before >= 0, before, oldest)  # (B, P)
    return true.gather(1, source.unsqueeze(-1).expand_as(true))
