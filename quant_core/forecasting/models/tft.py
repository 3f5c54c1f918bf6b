"""The Temporal Fusion Transformer: which inputs, which lags, with sector, liquidity and the calendar beside them.

Source: Lim, Arik, Loeff and Pfister, Temporal Fusion Transformers, Int. J. of Forecasting 37 (2021).
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from quant_core.fitted import Fitted, Log
from quant_core.forecasting.explained import importance
from quant_core.forecasting.model import MODELS, Model, TrainingData
from quant_core.forecasting.net import RESOURCES, NetConfig, context_sessions, fit_net, predict_net
from quant_core.forecasting.sequences import Batch, Sizes
from quant_core.nn import shapes

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class TFTConfig(NetConfig):
    """Settings of the TFT, beside those of every network.

    Args:
        d_model: width of a token, a multiple of `heads`.
        lstm_layers: layers of the encoder and of the decoder.
        selection_width: channels in which an input passes its own network; d_model is the published one.
    """

    d_model: int = 128
    heads: int = 4
    lstm_layers: int = 1
    dropout: float = 0.1
    selection_width: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shape()

    def shape(self) -> shapes.TFTConfig:
        """Of the network.

        Raises:
            DataError: no network has it.
        """
        return shapes.TFTConfig(
            self.d_model, self.heads, self.lstm_layers, self.dropout, self.selection_width, self.sequence_sessions
        )


def body(config: TFTConfig, sizes: Sizes) -> "nn.Module":
    """The network of all three kinds of inputs."""
    from quant_core.nn.tft import TemporalFusion

    return TemporalFusion(sizes.past, sizes.known, sizes.static, config.shape())


def weights(network: "nn.Module", batch: Batch) -> dict[str, "Tensor"]:
    """(B, V) weights of the variables of each kind, the mean over sessions, and (B, L + K) the attention to each."""
    body: Any = network.body
    found = body.explain(*batch)
    past, future = found.past.mean(dim=1), found.future.mean(dim=1)
    return {"static": found.static, "past": past, "future": future, "attention": found.attention}


def fit(data: TrainingData, config: TFTConfig, log: Log) -> Fitted:
    """See `fit_net`."""
    return fit_net("tft", body, data, config, log, explain=weights)


def predict(fitted: Fitted, features: pl.DataFrame, first: date) -> pl.DataFrame:
    """See `predict_net`."""
    return predict_net(body, TFTConfig, fitted, features, first)


SUMMARY = (
    "Variable selection, an LSTM and attention over lags, with sector, liquidity and the calendar beside the past."
)
MODELS.register("tft")(Model("tft", TFTConfig, fit, predict, context_sessions, RESOURCES, importance, SUMMARY))
