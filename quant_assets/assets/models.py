"""Forecasters: one asset for each model of the profile, fitted once a fold."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.fitting import PERMUTATION, SESSIONS, FittedAsset, fitted_asset, fitted_of
from quant_assets.lab import Lab
from quant_assets.storage.table_files import read_table
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.folds import Fold, assert_purged
from quant_core.forecasting import MODELS, Model, TrainingData
from quant_core.forecasting.ensemble import ENSEMBLE, EnsembleConfig, fit_ensemble
from quant_core.forecasting.explained import sessions_read
from quant_core.forecasting.importance import ensemble_importance, validation_importance
from quant_core.forecasting.model import with_calibration
from quant_core.forecasting.validation import with_rank_ic


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    classes = {name: MODELS[name].config_class for name in lab.models} | {ENSEMBLE: EnsembleConfig}
    return {f"forecaster_{name}": classes[name] for name in lab.forecasters}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """One forecaster asset for each model of the profile, and the ensemble of them."""
    models = [_forecaster(lab, MODELS[name], context_sessions(lab, name)) for name in lab.models]
    ensemble = [_ensemble(lab, lab.models)] if ENSEMBLE in lab.forecasters else []
    return [fitted_asset(lab, spec) for spec in (*models, *ensemble)]


def context_sessions(lab: Lab, model: str) -> int:
    """Sessions that the profile's settings let a model look back on."""
    return MODELS[model].context_sessions(lab.defaults(f"forecaster_{model}"))


def _forecaster(lab: Lab, model: Model, looks_back: int) -> FittedAsset:
    asset = f"forecaster_{model.name}"
    months = lab.partitions.training_months(looks_back)

    def fit(settings: Any, inputs: Mapping[str, Any], fold: Fold, log: Log) -> Fitted:
        within_context(model, settings, looks_back)
        data = training_data(inputs, fold)
        threshold = lab.defaults("training_window").direction_threshold
        fitted = with_rank_ic(model.fit(data, settings, log), data.at(settings.horizon_sessions))
        return with_calibration(fitted, data, settings, threshold)

    def tables(settings: Any, inputs: Mapping[str, Any], fold: Fold, fitted: Fitted) -> Mapping[str, pl.DataFrame]:
        worth = validation_importance(model, fitted, training_data(inputs, fold), settings)
        return {PERMUTATION: worth, SESSIONS: sessions_read(fitted)}

    return FittedAsset(
        name=asset,
        op=model.name,
        group="models",
        description=f"{model.summary.rstrip('.') or model.name}; fitted once a fold, on purged labels only.",
        ins={
            "training_window": dg.AssetIn(lab.key("training_window")),
            "features": dg.AssetIn(lab.key("features"), partition_mapping=months),
            **({"encoder": dg.AssetIn(lab.key("encoder"))} if model.needs_encoder else {}),
        },
        fit=fit,
        made_by=_forecaster,
        registered=(MODELS.entry(model.name),),
        resources=model.resources,
        importance=model.importance,
        tables=tables,
    )


def _ensemble(lab: Lab, models: Sequence[str]) -> FittedAsset:
    """Weighs the models by what they said of their validation slices, in this fold and those before it."""

    def fit(settings: Any, inputs: Mapping[str, Any], fold: Fold, log: Log) -> Fitted:
        data = training_data(inputs, fold)
        members = {name: fitted_of(inputs[f"forecaster_{name}"]) for name in models}
        threshold = lab.defaults("training_window").direction_threshold
        fitted = with_rank_ic(fit_ensemble(members, data.labels, settings), data.at(settings.horizon_sessions))
        return with_calibration(fitted, data, settings, threshold)

    def tables(settings: Any, inputs: Mapping[str, Any], fold: Fold, fitted: Fitted) -> Mapping[str, pl.DataFrame]:
        files = {name: inputs[f"forecaster_{name}"][fold.name] for name in fitted.manifest.columns}
        own = fitted_of(files)
        return {PERMUTATION: ensemble_importance(fitted, own, training_data(inputs, fold).labels, settings)}

    through = lab.partitions.through_fold
    return FittedAsset(
        name=f"forecaster_{ENSEMBLE}",
        op=ENSEMBLE,
        group="models",
        description="The mean of the models' ranks, equal or stacked on validation slices; weighed once a fold.",
        ins={
            "training_window": dg.AssetIn(lab.key("training_window")),
            "features": dg.AssetIn(lab.key("features"), partition_mapping=lab.partitions.train),
            **{
                f"forecaster_{name}": dg.AssetIn(lab.key(f"forecaster_{name}"), partition_mapping=through)
                for name in models
            },
        },
        fit=fit,
        made_by=_ensemble,
        tables=tables,
    )


def training_data(inputs: Mapping[str, Any], fold: Fold) -> TrainingData:
    """The fold's labels, which know nothing of its test, the features before it, and the encoder if one is read."""
    labels = read_table(inputs["training_window"][fold.name], "labels")
    assert_purged(labels, fold, 0)
    features = inputs["features"].filter(pl.col("date") < fold.test_start)
    return TrainingData.of(labels, features, fitted_of(inputs.get("encoder")).get(fold.name))


def within_context(model: Model, settings: Any, loaded_sessions: int) -> None:
    """Refuse a run's settings that look further back than the months that the profile loads."""
    wanted = model.context_sessions(settings)
    if wanted > loaded_sessions:
        raise DataError(
            f"forecaster_{model.name}: this run looks back {wanted} sessions, the profile loads {loaded_sessions}; set "
            "it in the profile's presets instead."
        )
