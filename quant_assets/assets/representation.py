"""What windows of channels look like: a masked encoder, fitted once a fold, and its embeddings, by month."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.assets.market_data import SINGLE_RUN
from quant_assets.fitting import FittedAsset, fitted_asset, fitted_of
from quant_assets.lab import Lab
from quant_assets.pages.metadata import table_metadata
from quant_assets.partitions import context_mapping, month_span
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.folds import Fold
from quant_core.representation import MaskedEncoderConfig
from quant_core.representation.embed import embeddings as make_embeddings
from quant_core.representation.pretrain import RESOURCES, fit_encoder
from quant_core.schema import Embeddings, validate


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {"encoder": MaskedEncoderConfig} if lab.has_encoder else {}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """encoder and embeddings, for a profile that wants them or has a model that begins with an encoder."""
    return [_encoder(lab), _embeddings(lab)] if lab.has_encoder else []


def _encoder(lab: Lab) -> dg.AssetsDefinition:
    loaded: MaskedEncoderConfig = lab.defaults("encoder")
    months = lab.partitions.training_months(loaded.context_sessions)

    def fit(settings: MaskedEncoderConfig, inputs: Mapping[str, Any], fold: Fold, log: Log) -> Fitted:
        within_shape(settings, loaded)
        return fit_encoder(inputs["features"], fold, settings, log, lab.defaults("training_window").embargo_sessions)

    return fitted_asset(lab, FittedAsset(
        name="encoder",
        op="encoder",
        group="representation",
        description="A Transformer over weeks of one-day channels that learns to fill in hidden weeks; fitted once a "
        "fold, on rows before the fold less its embargo, without labels.",
        ins={"features": dg.AssetIn(lab.key("features"), partition_mapping=months)},
        fit=fit,
        made_by=_encoder,
        resources=RESOURCES,
    ))  # fmt: skip


def within_shape(settings: MaskedEncoderConfig, loaded: MaskedEncoderConfig) -> None:
    """Refuse a run's settings that read more months than the profile loads, or give its months other columns.

    Raises:
        DataError: names the setting.
    """
    if settings.sequence_sessions > loaded.sequence_sessions or settings.d_model != loaded.d_model:
        raise DataError(
            f"encoder: this run has sequence_sessions {settings.sequence_sessions} and d_model {settings.d_model}, the "
            f"profile loads {loaded.sequence_sessions} sessions and stores {loaded.d_model} columns; set them in the "
            "profile's presets instead."
        )


def _embeddings(lab: Lab) -> dg.AssetsDefinition:
    loaded: MaskedEncoderConfig = lab.defaults("encoder")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="representation",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "parquet"},
        code_version=lab.code("embeddings", _embeddings),
        ins={
            "features": dg.AssetIn(lab.key("features"), partition_mapping=context_mapping(loaded.context_sessions)),
            "encoder": dg.AssetIn(lab.key("encoder"), partition_mapping=lab.partitions.fold_of_month),
        },
    )
    def embeddings(context: dg.AssetExecutionContext, features: pl.LazyFrame, encoder: Any) -> pl.DataFrame:
        """The mean of an encoder's tokens for each eligible name and date, each month by the fold that contains it."""
        made = make_embeddings(fitted_of(encoder), features, *month_span(context), loaded.d_model)
        table = validate(made, Embeddings, "embeddings", "report it: the encoder broke the contract.")
        context.add_output_metadata(dict(table_metadata(table, folds=str(sorted(table["fold"].unique())))))
        return table

    return embeddings
