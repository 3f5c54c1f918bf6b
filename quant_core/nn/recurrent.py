"""Recurrent networks: a GRU that is read at its newest state, and the LSTM encoder and decoder of the TFT.

Sources: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014); Hochreiter and Schmidhuber, Long
Short-Term Memory (1997); Lim et al., Temporal Fusion Transformers (2021), sec. 4.3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quant_core.errors import DataError
from quant_core.nn.dropout import Dropout


@dataclass(frozen=True)
class GRUConfig:
    """Shape of a GRU network.

    Args:
        d_model: units of a layer.
        dropout: between layers and on the state that is read.
        is_normed: layer norm of the state that is read.
    """

    d_model: int = 64
    layers: int = 2
    dropout: float = 0.1
    is_normed: bool = False

    def __post_init__(self) -> None:
        if min(self.d_model, self.layers) < 1 or not 0.0 <= self.dropout < 1.0:
            raise DataError(
                f"gru: d_model {self.d_model}, layers {self.layers} and dropout {self.dropout}; wanted sizes of 1 or "
                "more and a dropout in [0, 1)."
            )


class GRU(nn.Module):
    """(B, L, F) -> (B, D): the newest state of the last layer."""

    def __init__(self, n_inputs: int, config: GRUConfig) -> None:
        super().__init__()
        between = config.dropout if config.layers > 1 else 0.0
        self.gru = nn.GRU(n_inputs, config.d_model, config.layers, batch_first=True, dropout=between)
        self.norm = nn.LayerNorm(config.d_model) if config.is_normed else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x)  # (B, L, F) -> (B, L, D)
        return self.dropout(self.norm(states[:, -1]))


class EncoderDecoder(nn.Module):
    """An LSTM over the past and another, begun where that one ended, over the future.

    (B, L, D) and (B, K, D) -> (B, L + K, D). Every layer of the encoder begins in the state given, of static inputs.
    """

    def __init__(self, width: int, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = layers
        between = dropout if layers > 1 else 0.0
        self.encoder = nn.LSTM(width, width, layers, batch_first=True, dropout=between)
        self.decoder = nn.LSTM(width, width, layers, batch_first=True, dropout=between)

    def forward(self, past: Tensor, future: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """Args:
        hidden, cell: (B, D) in which every layer begins.
        """
        begin = tuple(state.expand(self.layers, -1, -1).contiguous() for state in (hidden, cell))
        encoded, end = self.encoder(past, begin)
        decoded, _ = self.decoder(future, end)
        return torch.cat([encoded, decoded], dim=1)
