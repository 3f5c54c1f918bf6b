"""How good every model's forecasts were out of sample, and what each is worth beside the others.

Both assets read what the backtest reads of forecasts, over the same span: from the first fold through their own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import dagster as dg
import polars as pl

from quant_assets.asset_names import FORECASTS, REGIMES
from quant_assets.assets.evaluation import since_first_fold, test_end, traded_labels
from quant_assets.config import core_settings
from quant_assets.fitting import ONE_FOLD_A_RUN
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table
from quant_assets.pages.pictures import bars_picture
from quant_assets.storage.table_files import table_files
from quant_assets.tracking.mlflow_resource import tracked
from quant_core.forecasting.comparison import ZERO, forecast_comparison
from quant_core.forecasting.evaluate import ForecastEvaluationConfig
from quant_core.forecasting.quality import MOMENTUM, forecast_quality

#: What the page shows of a scorecard and of a comparison.
SHOWN = ("model", "horizon_sessions", "mean_rank_ic", "nw_t", "crps_skill", "coverage_90")
SHOWN_REGIMES = ("model", "regime", "n_dates", "mean_rank_ic", "crps_skill", "coverage_90", "regime_coverage_90")
SHOWN_PAIRS = ("model", "other", "rank_ic_gain", "dm_t", "dm_p")
#: Whom every model is shown beside.
BASELINES = (ZERO, MOMENTUM, "ridge")


class _Span(NamedTuple):
    """What both assets compute on, of the tested span: forecasts by model, features, prices, and the traded method's
    regimes where the asset reads them."""

    forecasts: dict[str, pl.LazyFrame]
    features: pl.LazyFrame
    prices: pl.DataFrame
    regimes: pl.DataFrame | None


class _Made(NamedTuple):
    """Tables to store, what MLflow keeps of them, and what the page shows."""

    tables: Mapping[str, pl.DataFrame]
    measures: Mapping[str, float]
    shown: Mapping[str, Any]


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {"forecast_quality": ForecastEvaluationConfig, "forecast_comparison": ForecastEvaluationConfig}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """forecast_quality and forecast_comparison of one profile."""
    return [_forecast_quality(lab), _forecast_comparison(lab)]


def _forecast_quality(lab: Lab) -> dg.AssetsDefinition:
    def make(span: _Span) -> _Made:
        threshold = lab.defaults("training_window").direction_threshold
        found = forecast_quality(span.forecasts, span.features, span.prices, lab.sectors(), threshold, span.regimes)
        whole = found.scorecard.filter(pl.col("part") == "all")
        own = whole.filter("is_own_horizon")
        measures = {
            f"{row['model']}.{name}": row[name]
            for row in own.iter_rows(named=True) for name in SHOWN[2:] if row[name] is not None
        }  # fmt: skip
        best = own.sort("mean_rank_ic", descending=True, nulls_last=True).select("model", "mean_rank_ic").drop_nulls()
        by_regime = found.scorecard.filter("is_own_horizon", pl.col("part") == "regime").rename({"value": "regime"})
        return _Made(
            found._asdict(), measures,
            {
                "rank_ic": bars_picture(best, "mean rank IC"), "scorecard": markdown_table(whole.select(SHOWN), 40),
                "by_regime": markdown_table(by_regime.select(SHOWN_REGIMES), 40),
            },
        )  # fmt: skip

    describe = (
        "Every model's forecasts held against what followed: order, distribution, directions; over its own horizon and "
        "a common one, by year, liquidity, sector and market regime, beside momentum."
    )
    return _evaluation(
        lab, "forecast_quality", _forecast_quality, describe, make, (REGIMES,) if lab.has_regimes else ()
    )


def _forecast_comparison(lab: Lab) -> dg.AssetsDefinition:
    def make(span: _Span) -> _Made:
        found = forecast_comparison(span.forecasts, span.features, span.prices)
        added = found.contributions.select("model", "rank_ic_added").drop_nulls()
        beside = found.pairs.filter(pl.col("other").is_in(BASELINES), ~pl.col("model").is_in((ZERO, MOMENTUM)))
        measures = {f"{model}.rank_ic_added": value for model, value in added.iter_rows()}
        return _Made(
            found._asdict(), measures,
            {
                "added_to_the_mean": bars_picture(added.sort("rank_ic_added", descending=True), "rank IC added"),
                "beside_baselines": markdown_table(beside.select(SHOWN_PAIRS), 40),
                "contributions": markdown_table(found.contributions, 40),
            },
        )  # fmt: skip

    describe = (
        "Every pair of models on their common dates (Diebold-Mariano on daily rank ICs), how alike they are, and what "
        "each adds to the mean of all."
    )
    return _evaluation(lab, "forecast_comparison", _forecast_comparison, describe, make)


def _evaluation(
    lab: Lab,
    asset: str,
    made_by: Callable[..., Any],
    description: str,
    make: Callable[[_Span], _Made],
    more: Sequence[str] = (),
) -> dg.AssetsDefinition:
    """A fold's asset of tables about every model's forecasts from the first fold through it; `more` it reads too."""
    config_type: Any = lab.config(asset)
    inputs = ("clean_prices", "features", *(f"{FORECASTS}{model}" for model in lab.forecasters), *more)

    @dg.asset(
        name=asset,
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"polars", "mlflow"},
        required_resource_keys={"mlflow"},
        description=description,
        code_version=lab.code(asset, made_by),
        ins={name: since_first_fold(lab, name) for name in inputs},
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        config: config_type,
        clean_prices: pl.LazyFrame,
        features: pl.LazyFrame,
        **others: pl.LazyFrame,
    ) -> dict:
        """Judge every model from the first fold through this one."""
        settings = core_settings(ForecastEvaluationConfig, config)
        end = test_end(lab, context.partition_key, inputs, settings.until)
        tested = pl.col("date").is_between(date(lab.profile.first_fold, 1, 1), end)
        regimes = others.pop(REGIMES, None)
        traded = None if regimes is None else traded_labels(regimes, lab.profile.regime_method, tested)
        by_model = {name.removeprefix(FORECASTS): others[name].filter(tested) for name in sorted(others)}
        with tracked(context, asset, config.model_dump()) as mlflow:
            made = make(_Span(by_model, features.filter(tested), clean_prices.filter(tested).collect(), traded))
            mlflow.log_metrics(dict(made.measures))
        rows = {f"{name}_rows": table.height for name, table in made.tables.items()}
        context.add_output_metadata({**made.shown, "until": str(end), **rows})
        return table_files(**made.tables)

    return evaluation
