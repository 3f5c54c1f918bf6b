"""What a fold's models may learn from: labelled, purged and embargoed rows of the years before it."""

from typing import Any

import dagster as dg
import polars as pl

from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.metadata import table_metadata
from quant_assets.table_files import table_files
from quant_core.folds import fold
from quant_core.forecasting.labels import LabelConfig
from quant_core.forecasting.labels import training_window as make_window

ONE_FOLD_A_RUN = dg.BackfillPolicy.multi_run(1)


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
        """Rows whose label window ends before the fold less the embargo, with their forward return and label."""
        year = fold(int(context.partition_key), lab.profile.train_years)
        eligible = features.filter("is_eligible").collect()  # no other row has a label
        window = make_window(eligible, clean_prices.collect(), year, core_settings(LabelConfig, config))
        context.add_output_metadata(
            dict(
                table_metadata(
                    window, last_label_end=str(window["label_end_date"].max()), fold_starts=str(year.test_start)
                )
            )
        )
        return table_files(window=window)

    return [training_window]
