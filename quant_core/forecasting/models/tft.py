"""The Temporal Fusion Transformer: which inputs, which lags, with sector, liquidity and the calendar beside them.

Source: Lim, Arik, Loeff and Pfister, Temporal Fusion Transformers, Int. J. of Forecasting 37 (2021).
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.forecasting.explained import importance
from quant_core.forecasting.model import MODELS, Model, TrainingData
from quant_core.forecasting.net import RESOURCES, NetConfig, context_sessions, fit_net, predict_net
from quant_core.forecasting.sequences import Batch, Sizes

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
        if min(self.d_model, self.heads, self.lstm_layers) < 1 or self.d_model % self.heads:
            raise DataError(
                f"tft: d_model {self.d_model}, heads {self.heads}, lstm_layers {self.lstm_layers}; wanted sizes of at "
                "least 1 and d_model a multiple of heads."
            )
        if not (2 <= self.selection_width <= self.d_model and 0.0 <= self.dropout < 1.0):
            raise DataError(
                f"tft: selection_width {self.selection_width} and dropout {self.dropout}; wanted 2 to d_model "
                f"({self.d_model}) channels and a fraction in [0, 1)."
            )


def body(config: TFTConfig, sizes: Sizes) -> "nn.Module":
    """The network of all three kinds of inputs."""
    from quant_core.nn import tft

    shape = tft.TFTConfig(config.d_model, config.heads, config.lstm_layers, config.dropout, config.selection_width)
    return tft.TemporalFusion(sizes.past, sizes.known, sizes.static, shape)


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
