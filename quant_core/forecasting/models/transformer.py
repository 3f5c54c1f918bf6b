"""A pre-norm Transformer encoder over the windows of one name, pooled into one state.

Source: Vaswani et al., Attention Is All You Need (2017); Xiong et al. (2020) for the place of the norm.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from quant_core.fitted import Fitted, Log
from quant_core.forecasting.explained import importance
from quant_core.forecasting.model import MODELS, Model, TrainingData
from quant_core.forecasting.net import RESOURCES, NetConfig, context_sessions, fit_net, predict_net
from quant_core.forecasting.sequences import Sizes
from quant_core.nn.shapes import EncoderConfig, Pooling, Positions

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class TransformerConfig(NetConfig):
    """Settings of the Transformer, beside those of every network.

    Args:
        d_model: width of a token, a multiple of `heads`.
        pooling: what is read: "last" the newest session, "mean" all of them, "cls" a learned token, which knows nothing
            of the newest session at first and learns slower what hangs on it (docs/benchmarks.md).
        positions: "sinusoidal" or "rotary".
    """

    d_model: int = 128
    heads: int = 8
    layers: int = 4
    feed_forward: int = 512
    dropout: float = 0.1
    pooling: Pooling = "last"
    positions: Positions = "sinusoidal"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shape()

    def shape(self) -> EncoderConfig:
        """Of the network.

        Raises:
            DataError: no network has it.
        """
        return EncoderConfig(
            self.d_model, self.heads, self.layers, self.feed_forward, self.dropout, self.pooling, self.positions
        )


def body(config: TransformerConfig, sizes: Sizes) -> "nn.Module":
    """The encoder of the past inputs."""
    from quant_core.nn.encoder import Encoder
    from quant_core.nn.forecaster import PastOnly

    return PastOnly(Encoder(sizes.past, config.shape()))


def fit(data: TrainingData, config: TransformerConfig, log: Log) -> Fitted:
    """See `fit_net`."""
    return fit_net("transformer", body, data, config, log)


def predict(fitted: Fitted, features: pl.DataFrame, first: date) -> pl.DataFrame:
    """See `predict_net`."""
    return predict_net(body, TransformerConfig, fitted, features, first)


SUMMARY = "Attention over the last sessions' channels, with heads for distribution, direction and volatility."
MODELS.register("transformer")(
    Model("transformer", TransformerConfig, fit, predict, context_sessions, RESOURCES, importance, SUMMARY)
)
