"""What a fold's models may learn: the purged and embargoed labels of the years before it."""

from typing import Any

import dagster as dg
import polars as pl

from quant_assets.config import core_settings
from quant_assets.fitting import ONE_FOLD_A_RUN
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table, table_metadata
from quant_assets.storage.table_files import table_files
from quant_core.folds import fold
from quant_core.forecasting.labels import LabelConfig, training_labels


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {"training_window": LabelConfig}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """The training_window asset of one profile."""
    config_type: Any = lab.config("training_window")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="training",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"polars", "parquet"},
        automation_condition=dg.AutomationCondition.on_missing(),
        code_version=lab.code("training_window", build),
        ins={
            "features": dg.AssetIn(lab.key("features"), partition_mapping=lab.partitions.train),
            "clean_prices": dg.AssetIn(lab.key("clean_prices"), partition_mapping=lab.partitions.train),
        },
    )
    def training_window(
        context: dg.AssetExecutionContext, config: config_type, features: pl.LazyFrame, clean_prices: pl.LazyFrame
    ) -> dict:
        """Labels of every horizon whose window ends before the fold less the embargo, of the eligible rows."""
        own = fold(context.partition_key, lab.profile.train_years)
        eligible = features.filter("is_eligible").select("date", "ticker", "is_eligible").collect()
        labels = training_labels(eligible, clean_prices.collect(), own, core_settings(LabelConfig, config))
        per_horizon = labels.group_by("horizon_sessions").agg(
            rows=pl.len(), tickers=pl.col("ticker").n_unique(), first=pl.col("date").min(), last=pl.col("date").max(),
            last_label_end=pl.col("label_end_date").max(),
        )  # fmt: skip
        context.add_output_metadata(
            dict(
                table_metadata(
                    labels,
                    horizons=markdown_table(per_horizon.sort("horizon_sessions")),
                    last_label_end=str(labels["label_end_date"].max()),
                    fold_starts=str(own.test_start),
                )
            )
        )
        return table_files(labels=labels)

    return [training_window]
