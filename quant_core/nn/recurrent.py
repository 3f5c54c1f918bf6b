"""Recurrent networks: a GRU that is read at its newest state, and the LSTM encoder and decoder of the TFT.

Gates that torch begins half open let a unit forget within two or three sessions, and what happened a month ago has no
gradient to be learned by. `remember` begins them at memories from one session to the whole window.

Sources: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014); Hochreiter and Schmidhuber, Long
Short-Term Memory (1997); Lim et al., Temporal Fusion Transformers (2021), sec. 4.3; Tallec and Ollivier, Can Recurrent
Neural Networks Warp Time?, ICLR (2018), for the first memories.
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
        first_memory: sessions, the longest memory that a unit begins with; None leaves torch's own beginning.
    """

    d_model: int = 64
    layers: int = 2
    dropout: float = 0.1
    is_normed: bool = False
    first_memory: int | None = None

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
        if config.first_memory is not None:
            remember(self.gru, config.first_memory)
        self.norm = nn.LayerNorm(config.d_model) if config.is_normed else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x)  # (B, L, F) -> (B, L, D)
        return self.dropout(self.norm(states[:, -1]))


class EncoderDecoder(nn.Module):
    """An LSTM over the past and another, begun where that one ended, over the future.

    (B, L, D) and (B, K, D) -> (B, L + K, D). Every layer of the encoder begins in the state given, of static inputs.
    """

    def __init__(self, width: int, layers: int = 1, dropout: float = 0.0, first_memory: int | None = None) -> None:
        super().__init__()
        self.layers = layers
        between = dropout if layers > 1 else 0.0
        self.encoder = nn.LSTM(width, width, layers, batch_first=True, dropout=between)
        self.decoder = nn.LSTM(width, width, layers, batch_first=True, dropout=between)
        if first_memory is not None:
            remember(self.encoder, first_memory)
            remember(self.decoder, first_memory)

    def forward(self, past: Tensor, future: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """Args:
        hidden, cell: (B, D) in which every layer begins.
        """
        begin = tuple(state.expand(self.layers, -1, -1).contiguous() for state in (hidden, cell))
        encoded, end = self.encoder(past, begin)
        decoded, _ = self.decoder(future, end)
        return torch.cat([encoded, decoded], dim=1)


def remember(network: nn.GRU | nn.LSTM, sessions: int) -> None:
    """Let each unit of each layer begin with a memory of its own, drawn from 1 to `sessions`.

    A gate g keeps h_t = g h_(t-1) + ..., so a memory of m sessions is g = m / (1 + m), a bias of ln m: of a GRU's
    update gate, of an LSTM's forget gate. What an LSTM adds a session has no constant part, which would pile up over
    the memory and fill the cell. Its input gate stays as it is: at 1 / (1 + m), as the source has it, a planted product
    was learned more slowly.

    Raises:
        DataError: fewer than 1 session.
    """
    if sessions < 1:
        raise DataError(f"recurrent: a first memory of {sessions} sessions; wanted at least 1.")
    units = network.hidden_size
    keeps, adds = slice(units, 2 * units), slice(2 * units, 3 * units)
    with torch.no_grad():
        for layer in range(network.num_layers):
            fed, own = (getattr(network, f"bias_{side}_l{layer}") for side in ("ih", "hh"))
            fed[keeps], own[keeps] = torch.empty(units).uniform_(1.0, sessions).log(), 0.0
            if isinstance(network, nn.LSTM):
                fed[adds], own[adds] = 0.0, 0.0
