"""A gated recurrent network over raw one-day channels: the strongest plain network of qlib's raw-sequence table.

Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014).
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.forecasting.explained import importance
from quant_core.forecasting.model import MODELS, Model, TrainingData
from quant_core.forecasting.net import RESOURCES, NetConfig, context_sessions, fit_net, predict_net
from quant_core.forecasting.sequences import Sizes

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class GRUConfig(NetConfig):
    """Settings of the GRU, beside those of every network.

    Args:
        d_model: units of a layer.
        dropout: between layers and on the state that is read.
        is_long: whether units begin with memories of 1 to `sequence_sessions` sessions, by which what happened weeks
            ago is learned; else as torch begins them, with memories of two or three.
    """

    d_model: int = 64
    layers: int = 2
    dropout: float = 0.1
    is_long: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.d_model, self.layers) < 1 or not 0.0 <= self.dropout < 1.0:
            raise DataError(
                f"gru: d_model {self.d_model}, layers {self.layers}, dropout {self.dropout}; wanted sizes of 1 or more "
                "and a dropout in [0, 1)."
            )


def body(config: GRUConfig, sizes: Sizes) -> "nn.Module":
    """The recurrent network of the past inputs."""
    from quant_core.nn import recurrent
    from quant_core.nn.forecaster import PastOnly

    memory = config.sequence_sessions if config.is_long else None
    shape = recurrent.GRUConfig(config.d_model, config.layers, config.dropout, first_memory=memory)
    return PastOnly(recurrent.GRU(sizes.past, shape))


def fit(data: TrainingData, config: GRUConfig, log: Log) -> Fitted:
    """See `fit_net`."""
    return fit_net("gru", body, data, config, log)


def predict(fitted: Fitted, features: pl.DataFrame, first: date) -> pl.DataFrame:
    """See `predict_net`."""
    return predict_net(body, GRUConfig, fitted, features, first)


SUMMARY = "A recurrent network over the last sessions' channels, with heads for distribution, direction and volatility."
MODELS.register("gru")(Model("gru", GRUConfig, fit, predict, context_sessions, RESOURCES, importance, SUMMARY))
