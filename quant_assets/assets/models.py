"""Forecasters: one asset for each model of the profile, fitted once a fold."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.fitting import FittedAsset, fitted_asset
from quant_assets.lab import Lab
from quant_assets.table_files import read_table
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.folds import Fold, assert_purged
from quant_core.forecasting import MODELS, Model, TrainingData
from quant_core.forecasting.model import with_calibration


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {f"forecaster_{name}": MODELS[name].config_class for name in lab.models}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """One forecaster asset for each model of the profile."""
    return [fitted_asset(lab, _forecaster(lab, MODELS[name], context_sessions(lab, name))) for name in lab.models]


def context_sessions(lab: Lab, model: str) -> int:
    """Sessions that the profile's settings let a model look back on."""
    return MODELS[model].context_sessions(lab.defaults(f"forecaster_{model}"))


def _forecaster(lab: Lab, model: Model, looks_back: int) -> FittedAsset:
    asset = f"forecaster_{model.name}"
    months = lab.partitions.training_months(looks_back)

    def fit(settings: Any, inputs: Mapping[str, Any], fold: Fold, log: Log) -> Fitted:
        within_context(model, settings, looks_back)
        labels = read_table(inputs["training_window"][fold.name], "labels")
        assert_purged(labels, fold, 0)
        features = inputs["features"].filter(pl.col("date") < fold.test_start)
        data = TrainingData.of(labels, features)
        threshold = lab.defaults("training_window").direction_threshold
        return with_calibration(model.fit(data, settings, log), data, settings, threshold)

    return FittedAsset(
        name=asset,
        op=model.name,
        group="models",
        description=f"{model.summary.rstrip('.') or model.name}; fitted once a fold, on purged labels only.",
        ins={
            "training_window": dg.AssetIn(lab.key("training_window")),
            "features": dg.AssetIn(lab.key("features"), partition_mapping=months),
        },
        fit=fit,
        made_by=_forecaster,
        registered=(MODELS.entry(model.name),),
        resources=model.resources,
        importance=model.importance,
    )


def within_context(model: Model, settings: Any, loaded_sessions: int) -> None:
    """Refuse a run's settings that look further back than the months that the profile loads."""
    wanted = model.context_sessions(settings)
    if wanted > loaded_sessions:
        raise DataError(
            f"forecaster_{model.name}: this run looks back {wanted} sessions, the profile loads {loaded_sessions}; set "
            "it in the profile's presets instead."
        )
