"""Shapes of networks, and which of them can be. torch is not imported here: a shape is checked before it is built."""

from dataclasses import dataclass
from typing import Literal, get_args

from quant_core.errors import DataError

Pooling = Literal["cls", "last", "mean"]
Positions = Literal["sinusoidal", "rotary"]


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of an encoder.

    Args:
        d_model: width of a token, a multiple of `heads` (and of twice that for rotary positions).
        pooling: "last" the newest token, "cls" a learned one behind it, "mean" over time.
    """

    d_model: int = 128
    heads: int = 8
    layers: int = 4
    feed_forward: int = 512
    dropout: float = 0.1
    pooling: Pooling = "last"
    positions: Positions = "sinusoidal"

    def __post_init__(self) -> None:
        if self.pooling not in get_args(Pooling) or self.positions not in get_args(Positions):
            raise DataError(
                f"network: pooling {self.pooling!r} and positions {self.positions!r}; wanted one of "
                f"{get_args(Pooling)} and one of {get_args(Positions)}."
            )
        even = self.heads * (2 if self.positions == "rotary" else 1)
        if min(self.d_model, self.heads, self.layers, self.feed_forward) < 1 or self.d_model % even:
            raise DataError(
                f"network: d_model {self.d_model} with {self.heads} heads, {self.layers} layers and a feed-forward of "
                f"{self.feed_forward}; wanted positive sizes and d_model a multiple of {even}."
            )
        if not 0.0 <= self.dropout < 1.0:
            raise DataError(f"network: dropout is {self.dropout}; wanted a fraction in [0, 1).")


@dataclass(frozen=True)
class TFTConfig:
    """Shape of a TFT.

    Args:
        d_model: width of a token, a multiple of `heads`.
        lstm_layers: layers of the encoder and of the decoder.
        selection_width: channels in which a variable passes its own network. Equal to d_model it is the published
            network; fewer, with one projection after the selection, do nearly all of its work in a part of the time.
        first_memory: sessions, the longest memory that a unit of the LSTMs begins with; None leaves torch's own.
    """

    d_model: int = 128
    heads: int = 4
    lstm_layers: int = 1
    dropout: float = 0.1
    selection_width: int = 16
    first_memory: int | None = None

    def __post_init__(self) -> None:
        if min(self.d_model, self.heads, self.lstm_layers) < 1 or self.d_model % self.heads:
            raise DataError(
                f"tft: d_model {self.d_model} with {self.heads} heads and {self.lstm_layers} LSTM layers; wanted "
                "positive sizes and d_model a multiple of heads."
            )
        if not (2 <= self.selection_width <= self.d_model and 0.0 <= self.dropout < 1.0):
            raise DataError(
                f"tft: selection_width {self.selection_width} and dropout {self.dropout}; wanted 2 to d_model "
                f"({self.d_model}) channels and a fraction in [0, 1)."
            )
