"""The features table: every enabled feature, raw and normalised, from trailing data only."""

from typing import Any

import dagster as dg
import polars as pl

from quant_assets.assets.market_data import SINGLE_RUN
from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table, sparkline, table_metadata
from quant_assets.partitions import month_span
from quant_core.features import FeatureConfig, compute_features
from quant_core.report.formats import percent


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {"features": FeatureConfig}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """The features asset of one profile."""
    config_type: Any = lab.config("features")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="features",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "numba"},
        code_version=lab.code("features", build),
        ins={"clean_prices": dg.AssetIn(lab.key("clean_prices"), partition_mapping=lab.partitions.feature_lookback)},
    )
    def features(context: dg.AssetExecutionContext, config: config_type, clean_prices: pl.LazyFrame) -> pl.DataFrame:
        """One row per (date, ticker): every enabled feature, from trailing data only."""
        start, end = month_span(context)
        lab.refuse_unknown("features", end)
        table = compute_features(clean_prices, core_settings(FeatureConfig, config), start, end, lab.sectors())
        columns = [name for name, dtype in table.schema.items() if dtype.is_float()]
        shape = distribution(table, columns)
        context.add_output_metadata(
            dict(
                table_metadata(
                    table,
                    columns=len(columns),
                    eligible_rows=int(table["is_eligible"].sum()),
                    coverage=markdown_table(shape.select("feature", "coverage"), 10),
                    distribution=markdown_table(shape.select("feature", "median", "p1_to_p99", "histogram"), 200),
                )
            )
        )
        return table

    return [features]


def distribution(table: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Coverage, median, the range between the tails and a small histogram of each feature, the least covered first."""
    rows = []
    for name in columns:
        values = table[name].drop_nulls()
        low, median, high = (values.quantile(q) for q in (0.01, 0.5, 0.99))
        counts = values.hist(bin_count=12)["count"].to_list() if len(values) > 1 else []
        tails = "" if low is None or high is None else f"{low:.3g} to {high:.3g}"
        covered = percent(len(values) / max(table.height, 1))
        rows.append((len(values), name, covered, median, tails, sparkline(counts)))
    names = ["n_values", "feature", "coverage", "median", "p1_to_p99", "histogram"]
    return pl.DataFrame(rows, schema=names, orient="row").sort("n_values", "feature").drop("n_values")
