"""What each method's regimes were worth out of sample: stress that they saw, alarms about nothing, states that a refit
keeps. What strategies and forecasts did in them is in the backtest and in forecast_quality.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import REGIME_MODEL, REGIMES
from quant_assets.assets.evaluation import since_first_fold, test_end
from quant_assets.fitting import ONE_FOLD_A_RUN, fitted_of
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table
from quant_assets.pages.pictures import bars_picture
from quant_assets.storage.table_files import table_files
from quant_assets.tracking.mlflow_resource import tracked
from quant_core.regimes.inputs import market_inputs
from quant_core.regimes.refits import refit_stability, refits_of
from quant_core.regimes.validation import RegimeTables, regime_quality

ASSET = "regime_quality"
#: What the page shows of a recall, a summary and the statistics of names.
SHOWN_RECALL = ("method", "window", "n_sessions", "crisis_share", "crisis_or_bear_share", "delay_sessions")
SHOWN_STATISTICS = ("regime", "session_share", "return_ann", "volatility_ann", "max_drawdown", "mean_duration_sessions")
SHOWN_ALARMS = ("first_date", "n_sessions", "window", "worst_return_63d", "is_false")


def setting_classes(lab: Lab) -> dict[str, type]:
    """It has no settings."""
    return {}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """regime_quality of a profile that has regimes."""
    return [_regime_quality(lab)] if lab.has_regimes else []


def _regime_quality(lab: Lab) -> dg.AssetsDefinition:
    through = lab.partitions.through_fold

    @dg.asset(
        name=ASSET,
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"polars", "mlflow"},
        required_resource_keys={"mlflow"},
        code_version=lab.code(ASSET, _regime_quality),
        ins={
            REGIMES: since_first_fold(lab, REGIMES),
            "clean_prices": dg.AssetIn(
                lab.key("clean_prices"), partition_mapping=through, metadata={"unfinished": True}
            ),
            REGIME_MODEL: dg.AssetIn(lab.key(REGIME_MODEL), partition_mapping=through),
        },
    )
    def quality(
        context: dg.AssetExecutionContext, regimes: pl.LazyFrame, clean_prices: pl.LazyFrame, regime_model: dict
    ) -> dict:
        """Every method's regimes held against stress windows, one another and what the index did after them."""
        end = test_end(lab, context.partition_key, ("clean_prices", REGIMES), None)
        settings = lab.defaults(REGIME_MODEL)
        prices = clean_prices.filter(pl.col("date") <= end).collect()
        market = market_inputs(prices, settings.index_ticker, settings.vix_ticker)
        tested = pl.col("date").is_between(date(lab.profile.first_fold, 1, 1), end)
        with tracked(context, ASSET, {"traded": lab.profile.regime_method}) as mlflow:
            found = regime_quality(regimes.filter(tested).collect(), market)
            stability = refit_stability(refits_of(fitted_of(regime_model), market))
            mlflow.log_metrics(measures(found, stability))
        context.add_output_metadata({**shown(found, stability, lab.profile.regime_method), "until": str(end)})
        return table_files(**found._asdict(), stability=stability)

    return quality


def measures(found: RegimeTables, stability: pl.DataFrame) -> Mapping[str, float]:
    """What MLflow's table of runs shows, `<method>.<figure>`."""
    stress = found.recall.group_by("method").agg(stress_recall=recall_of_all())
    kept = stability.group_by("method").agg(pl.col("equal_share", "names_kept_share").mean())
    whole = found.summary.join(stress, on="method", how="left").join(kept, on="method", how="left")
    figures = ("crisis_share", "switches_ann", "false_alarms_ann", "stress_recall", "equal_share", "names_kept_share")
    return {
        f"{row['method']}.{name}": row[name]
        for row in whole.iter_rows(named=True) for name in figures if row[name] is not None
    }  # fmt: skip


def recall_of_all() -> pl.Expr:
    """Share of the sessions of all stress windows that were labelled Crisis."""
    return (pl.col("crisis_share") * pl.col("n_sessions")).sum() / pl.col("n_sessions").sum()


def shown(found: RegimeTables, stability: pl.DataFrame, traded: str) -> dict[str, Any]:
    """What a person sees on the page: every method where a row is a method, else the traded one."""
    of_traded = pl.col("method") == traded
    stress = found.recall.group_by("method").agg(recall=recall_of_all()).sort("recall", "method", descending=True)
    volatility = found.statistics.filter(of_traded).select("regime", "volatility_ann").drop_nulls()
    return {
        "stress_labelled_crisis": bars_picture(stress, "share of stress that was labelled Crisis"),
        "volatility_by_regime": bars_picture(
            volatility.sort("volatility_ann", descending=True), f"volatility a year by regime, {traded}"
        ),
        "summary": markdown_table(found.summary, 20),
        "recall": markdown_table(found.recall.select(SHOWN_RECALL).sort("window", "method"), 40),
        "statistics": markdown_table(found.statistics.filter(of_traded).select(SHOWN_STATISTICS)),
        "alarms": markdown_table(found.alarms.filter(of_traded).select(SHOWN_ALARMS), 30),
        "agreement": markdown_table(found.agreement, 40),
        "stability": markdown_table(of_methods(stability), 20),
        "traded_method": traded,
        **{f"{name}_rows": table.height for name, table in found._asdict().items()},
    }


def of_methods(stability: pl.DataFrame) -> pl.DataFrame:
    """Over all refits of a method: mean shares, and in how many every name was kept.

    Args:
        stability: RegimeStability.
    """
    kept = pl.col("names_kept_share")
    table = stability.group_by("method").agg(
        n_refits=pl.len(), equal_share=pl.col("equal_share").mean(), names_kept_share=kept.mean(),
        n_with_every_name=(kept == 1.0).sum(),
    )  # fmt: skip
    return table.sort("method")
