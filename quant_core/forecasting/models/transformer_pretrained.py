"""A Transformer over patches that begins as its fold's masked encoder, and learns slower there than in its new heads.

Its shape is the encoder's. The artifact holds all weights: a forecast needs no encoder.

Source: Devlin et al., BERT (2019), for fine-tuning what was pre-trained; Nie et al. (2023) for patches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from quant_core.errors import DataError, LookaheadError
from quant_core.fitted import Fitted, Log
from quant_core.forecasting.explained import importance
from quant_core.forecasting.model import MODELS, Model, TrainingData
from quant_core.forecasting.net import RESOURCES, NetConfig, context_sessions, fit_net, predict_net
from quant_core.forecasting.sequences import Sizes
from quant_core.nn.shapes import EncoderConfig

if TYPE_CHECKING:
    from torch import nn

NAME = "transformer_pretrained"
#: Where the encoder's `body.*` lies in this network.
ENCODER, INSIDE = "body.", "body.network.tokens."
#: What the encoder's settings say of its shape.
SHAPE = ("sequence_sessions", "patch_size", "d_model", "heads", "layers", "feed_forward", "positions")


@dataclass(frozen=True)
class TransformerPretrainedConfig(NetConfig):
    """Settings of the pre-trained Transformer, beside those of every network.

    Args:
        d_model: width of the state that the heads read; a token is as wide as the encoder makes it.
        sequence_sessions: as the encoder's.
        dropout: in the encoder's layers while they are fine-tuned.
    """

    sequence_sessions: int = 60
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inputs != ("channels",) or not 0.0 <= self.dropout < 1.0:
            raise DataError(
                f"{NAME}: inputs {list(self.inputs)} and dropout {self.dropout}; wanted [channels], which its encoder "
                "has read, and a dropout in [0, 1)."
            )


def body(shape: Mapping[str, Any], config: TransformerPretrainedConfig, sizes: Sizes) -> "nn.Module":
    """The network behind an encoder of that shape.

    Args:
        shape: SHAPE by name.
    """
    from quant_core.nn.forecaster import PastOnly
    from quant_core.nn.masked import PatchEncoder, PatchState

    if config.sequence_sessions != shape["sequence_sessions"]:
        raise DataError(
            f"{NAME}: sequence_sessions is {config.sequence_sessions}, the encoder's {shape['sequence_sessions']}; "
            f"set forecaster_{NAME}.sequence_sessions and encoder.sequence_sessions to the same number."
        )
    inner = EncoderConfig(
        shape["d_model"], shape["heads"], shape["layers"], shape["feed_forward"], config.dropout, "mean",
        shape["positions"],
    )  # fmt: skip
    return PastOnly(PatchState(PatchEncoder(sizes.past, shape["patch_size"], inner), config.d_model))


def weights_of(encoder: Fitted) -> dict[str, np.ndarray]:
    """The encoder's parameters by the names that they have in this network."""
    own = {name: value for name, value in encoder.arrays.items() if name.startswith(ENCODER)}
    return {INSIDE + name.removeprefix(ENCODER): np.asarray(value) for name, value in own.items()}


def fit(data: TrainingData, config: TransformerPretrainedConfig, log: Log) -> Fitted:
    """See `fit_net`.

    Raises:
        DataError: there is no encoder, or it is of another length or of channels that are not there.
        LookaheadError: the encoder has read what the fold's labels do not reach.
    """
    encoder = _checked(data)
    shape = {name: encoder.manifest.config[name] for name in SHAPE}
    own = replace(data, columns=encoder.manifest.columns)
    fitted = fit_net(NAME, partial(body, shape), own, config, log, weights_of(encoder))
    facts = {**fitted.manifest.facts, "encoder": shape | {"content_hash": encoder.content_hash}}
    fit_end = max(fitted.manifest.fit_end, encoder.manifest.fit_end)
    return replace(fitted, manifest=replace(fitted.manifest, fit_end=fit_end, facts=facts))


def _checked(data: TrainingData) -> Fitted:
    encoder = data.encoder
    if encoder is None:
        raise DataError(f"{NAME}: the fold has no encoder; materialize the asset encoder of this fold first.")
    absent = [name for name in encoder.manifest.columns if name not in data.columns]
    if absent:
        raise DataError(f"{NAME}: the encoder reads {absent}, the features lack them; fit the encoder again.")
    limit = data.labels["label_end_date"].max()
    if isinstance(limit, date) and encoder.manifest.fit_end > limit:
        raise LookaheadError(
            f"{NAME}: the encoder's fit_end {encoder.manifest.fit_end} is after {limit}, the last day that the fold's "
            "labels reach; use the encoder of this fold, fitted with the embargo of its training window."
        )
    return encoder


def predict(fitted: Fitted, features: pl.DataFrame, first: date) -> pl.DataFrame:
    """See `predict_net`."""
    own = partial(body, fitted.manifest.facts["encoder"])
    return predict_net(own, TransformerPretrainedConfig, fitted, features, first)


SUMMARY = "A Transformer over weeks of channels that begins as the fold's masked encoder and is fine-tuned."
MODELS.register(NAME)(
    Model(
        NAME,
        TransformerPretrainedConfig,
        fit,
        predict,
        context_sessions,
        RESOURCES,
        importance,
        SUMMARY,
        needs_encoder=True,
    )
)
