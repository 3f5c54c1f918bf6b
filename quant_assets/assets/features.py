"""The features table: every enabled feature, raw and normalised, from trailing data only."""

from typing import Any

import dagster as dg
import polars as pl

from quant_assets.assets.market_data import SINGLE_RUN
from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.metadata import markdown_table, table_metadata
from quant_assets.partitions import month_span
from quant_core.features import FeatureConfig, compute_features


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """The features asset of one profile."""
    config_type: Any = lab.config("features")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="features",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "numba"},
        code_version=lab.code("features", "quant_core/features"),
        ins={"clean_prices": dg.AssetIn(lab.key("clean_prices"), partition_mapping=lab.partitions.feature_lookback)},
    )
    def features(context: dg.AssetExecutionContext, config: config_type, clean_prices: pl.LazyFrame) -> pl.DataFrame:
        """One row per (date, ticker): every enabled feature, from trailing data only."""
        start, end = month_span(context)
        table = compute_features(clean_prices, core_settings(FeatureConfig, config), start, end)
        columns = [name for name, dtype in table.schema.items() if dtype.is_float()]
        coverage = pl.DataFrame(
            {"feature": columns, "coverage": [1 - table[c].null_count() / max(table.height, 1) for c in columns]}
        )
        context.add_output_metadata(
            dict(
                table_metadata(
                    table,
                    columns=len(columns),
                    eligible_rows=int(table["is_eligible"].sum()),
                    coverage=markdown_table(coverage.sort("coverage"), 100),
                )
            )
        )
        return table

    return [features]
