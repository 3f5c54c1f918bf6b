"""What is traded on: each model's forecasts, made by the fold that contains the month, and the weights they imply."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.assets.market_data import SINGLE_RUN
from quant_assets.assets.models import load_fitted
from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.metadata import markdown_table, table_metadata
from quant_assets.partitions import lookback, month_span
from quant_core.allocation import AllocationConfig
from quant_core.allocation import target_weights as decide
from quant_core.errors import DataError
from quant_core.forecasting import MODELS, Model
from quant_core.schema import Forecasts, validate


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """forecasts_{model} for every registered model, and target_weights."""
    return [*(_forecasts(lab, MODELS[name]) for name in MODELS), _target_weights(lab, list(MODELS))]


def score_month(model: Model, fitted_files: dict[str, bytes], fold: str, features: pl.DataFrame) -> pl.DataFrame:
    """Scores of one fold's model for rows after its fit_end."""
    fitted = load_fitted(fitted_files)
    return model.predict(fitted, features).select(
        "date",
        "ticker",
        model=pl.lit(model.name),
        fold=pl.lit(int(fold), pl.Int32),
        fit_end=pl.lit(fitted.manifest.fit_end),
        horizon_sessions=pl.lit(fitted.manifest.horizon_sessions, pl.Int32),
        score=pl.col("score").cast(pl.Float64),
    )


def score(model: Model, fitted: dict[str, dict[str, bytes]] | None, features: pl.DataFrame) -> pl.DataFrame:
    """Forecasts of every row whose year has a fitted fold; rows of earlier years get none."""
    parts = [
        score_month(model, files, fold, features.filter(pl.col("date").dt.year() == int(fold)))
        for fold, files in sorted((fitted or {}).items())
    ]
    return pl.concat([Forecasts.create_empty(), *parts]).sort("date", "ticker", "model")


def _forecasts(lab: Lab, model: Model) -> dg.AssetsDefinition:
    asset = f"forecasts_{model.name}"

    @dg.asset(
        name=asset,
        key_prefix=lab.prefix,
        group_name="signals",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "parquet"},
        description=f"Scores of {model.name}, each month by the fold that contains it; empty before the first fold.",
        code_version=lab.code(asset, _forecasts, MODELS.entry(model.name)),
        ins={
            "features": dg.AssetIn(lab.key("features")),
            "forecaster": dg.AssetIn(
                lab.key(f"forecaster_{model.name}"), partition_mapping=lab.partitions.fold_of_month
            ),
        },
    )
    def forecasts(context: dg.AssetExecutionContext, features: pl.LazyFrame, forecaster: Any) -> pl.DataFrame:
        """Every score with its fold and the fit_end behind it."""
        table = validate(
            score(model, forecaster, features.collect()), Forecasts, asset, "report it: a model broke the contract."
        )
        newest = table.filter(pl.col("date") == pl.col("date").max()).sort("score", descending=True)
        context.add_output_metadata(
            dict(
                table_metadata(
                    table, folds=str(sorted(table["fold"].unique())), best_of_last_session=markdown_table(newest, 10)
                )
            )
        )
        return table

    return forecasts


def _target_weights(lab: Lab, models: Sequence[str]) -> dg.AssetsDefinition:
    config_type: Any = lab.config("target_weights")
    forecasts_in = {f"forecasts_{name}": dg.AssetIn(lab.key(f"forecasts_{name}")) for name in models}
    loaded: AllocationConfig = lab.defaults("target_weights")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="signals",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "parquet"},
        code_version=lab.code("target_weights", _target_weights),
        ins={
            "clean_prices": dg.AssetIn(lab.key("clean_prices"), partition_mapping=lookback(loaded.history_sessions)),
            **forecasts_in,
        },
    )
    def target_weights(
        context: dg.AssetExecutionContext, config: config_type, clean_prices: pl.LazyFrame, **forecasts: pl.LazyFrame
    ) -> pl.DataFrame:
        """What each strategy wants to hold after its decision dates; the rest is cash."""
        settings = within_history(core_settings(AllocationConfig, config), loaded)
        scores = pl.concat([forecasts[name].collect() for name in sorted(forecasts)])
        table = decide(clean_prices.collect(), scores, settings, *month_span(context))
        newest = table.filter(pl.col("date") == pl.col("date").max())
        context.add_output_metadata(
            dict(
                table_metadata(
                    table,
                    strategies=", ".join(sorted(table["strategy"].unique())),
                    last_decision=markdown_table(books(newest), 60),
                )
            )
        )
        return table

    return target_weights


def within_history(settings: AllocationConfig, loaded: AllocationConfig) -> AllocationConfig:
    """A run's settings, refused where they look further back than the months that the profile loads."""
    if settings.history_sessions > loaded.history_sessions:
        raise DataError(
            f"target_weights: this run looks back {settings.history_sessions} sessions, the profile loads "
            f"{loaded.history_sessions}; set lookback_sessions and momentum_sessions in the profile's presets instead."
        )
    return settings


def books(decision: pl.DataFrame) -> pl.DataFrame:
    """Each strategy's book in one row: how many names, what is invested, the largest position and a few names."""
    largest_first = decision.sort(["weight", "ticker"], descending=[True, False])
    return (
        largest_first.group_by("date", "strategy")
        .agg(
            names=pl.len(),
            invested=pl.col("weight").sum(),
            largest=pl.col("weight").max(),
            holds=pl.col("ticker").head(5).str.join(", "),
        )
        .sort("date", "strategy")
    )
