"""Hand-made training windows (keys, label_end_date, label, inputs) through a model's own door."""

from dataclasses import replace
from datetime import date

import polars as pl

from quant_core.fitted import Fitted
from quant_core.forecasting import MODELS, ForecasterConfig, TrainingData
from quant_core.schema import TrainingLabels

NOT_INPUTS = ("label_end_date", "forward_return_5d", "label")


def training_data(window: pl.DataFrame, horizon_sessions: int = 5) -> TrainingData:
    """The window's labels over one horizon, and its other columns as features."""
    labels = window.select(
        "date", "ticker", "label_end_date",
        horizon_sessions=pl.lit(horizon_sessions, pl.Int32), forward_return=pl.col("label").cast(pl.Float64),
        rank_label=pl.col("label").cast(pl.Float64), zscore_label=-pl.col("label").cast(pl.Float64),
        direction=pl.lit(None, pl.Int8), realized_variance=pl.lit(None, pl.Float64),
    ).select(TrainingLabels.column_names())  # fmt: skip
    return TrainingData.of(labels, features_of(window).lazy())


def features_of(window: pl.DataFrame) -> pl.DataFrame:
    """Keys and inputs, every row eligible unless it says otherwise."""
    inputs = window.drop(NOT_INPUTS, strict=False)
    return inputs if "is_eligible" in inputs.columns else inputs.with_columns(is_eligible=True)


def fit(window: pl.DataFrame, config: ForecasterConfig, seed: int = 7, model: str = "ridge") -> Fitted:
    """A model fitted on a window."""
    return MODELS[model].fit(training_data(window), replace(config, seed=seed), lambda epoch, values: None)


def predict(fitted: Fitted, rows: pl.DataFrame, first: date = date(1990, 1, 1)) -> pl.DataFrame:
    """Scores of a window's rows from `first` on."""
    return MODELS[fitted.manifest.kind].predict(fitted, features_of(rows), first)
