"""A pre-norm Transformer encoder over a window of one name, and what is read from it.

Source: Xiong et al., On Layer Normalization in the Transformer Architecture (2020).
"""

import torch
from torch import Tensor, nn

from quant_core.nn.attention import SelfAttention
from quant_core.nn.dropout import Dropout
from quant_core.nn.positions import sinusoidal
from quant_core.nn.shapes import EncoderConfig


class EncoderLayer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)), each with dropout."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.d_model
        self.attention = SelfAttention(width, config.heads, config.positions == "rotary")
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.feed_forward), nn.GELU(), Dropout(config.dropout),
            nn.Linear(config.feed_forward, width),
        )  # fmt: skip
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, hidden: Tensor | None = None, reads_last: bool = False) -> Tensor:
        """(B, T, D) -> (B, T, D), or (B, 1, D) of the last position alone; see `SelfAttention`."""
        kept = x[:, -1:] if reads_last else x
        kept = kept + self.dropout(self.attention(self.norm_1(x), hidden, reads_last=reads_last))
        return kept + self.dropout(self.feed_forward(self.norm_2(kept)))


class Encoder(nn.Module):
    """(B, T, F) -> (B, D): project, place, attend, pool.

    The last layer works for the token that is read alone where that is one: a quarter of the work of a 4-layer encoder.
    """

    def __init__(self, n_inputs: int, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Linear(n_inputs, config.d_model)
        self.cls = nn.Parameter(torch.randn(1, 1, config.d_model) * 0.02) if config.pooling == "cls" else None
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.d_model)

    def tokens(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, T, F) -> (B, T, D) after every layer, without a [CLS] token.

        Args:
            hidden: (B, T) True for positions that hold nothing.
        """
        return self.mixed(self.project(x), hidden)

    def mixed(self, projected: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Projected inputs (B, T, D) -> tokens (B, T, D) after every layer."""
        tokens = self._placed(projected)
        for layer in self.layers:
            tokens = layer(tokens, hidden)
        return self.norm(tokens)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, T, F) -> (B, D)."""
        if self.config.pooling == "mean":
            return _mean(self.tokens(x, hidden), hidden)
        mixed = self._placed(self.project(x))
        if self.cls is not None:  # behind the newest, for what is read stands last
            mixed = torch.cat([mixed, self.cls.expand(len(x), -1, -1)], dim=1)
            hidden = None if hidden is None else nn.functional.pad(hidden, (0, 1), value=False)
        *body, last = self.layers
        for layer in body:
            mixed = layer(mixed, hidden)
        return self.norm(last(mixed, hidden, reads_last=True))[:, 0]

    def _placed(self, tokens: Tensor) -> Tensor:
        if self.config.positions == "sinusoidal":
            tokens = tokens + sinusoidal(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens.dtype)
        return self.dropout(tokens)


def _mean(tokens: Tensor, hidden: Tensor | None) -> Tensor:
    if hidden is None:
        return tokens.mean(dim=1)
    shown = (~hidden).unsqueeze(-1).to(tokens.dtype)
    return (tokens * shown).sum(dim=1) / shown.sum(dim=1).clamp_min(1.0)
