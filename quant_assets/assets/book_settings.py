"""What each fold trades its forecasts with: half-life, buffer and trading rate, chosen on the validation slices."""

from collections.abc import Mapping, Sequence

import dagster as dg
import polars as pl

from quant_assets.asset_names import BOOK_SETTINGS, FORECASTER
from quant_assets.fitting import ONE_FOLD_A_RUN, fitted_of
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table
from quant_assets.storage.table_files import table_files
from quant_core.allocation import STRATEGIES
from quant_core.allocation.book_settings import JUDGED, Said, fit_book_settings
from quant_core.allocation.held import followed
from quant_core.fitted import Fitted
from quant_core.folds import fold as fold_named


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """book_settings, of the forecasters whose books are traded sparingly."""
    return [_book_settings(lab, followed(lab.forecasters, lab.defaults("target_weights")))]


def _book_settings(lab: Lab, models: Sequence[str]) -> dg.AssetsDefinition:
    @dg.asset(
        key_prefix=lab.prefix,
        group_name="signals",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"polars", "numba"},
        automation_condition=dg.AutomationCondition.on_missing(),
        code_version=lab.code(BOOK_SETTINGS, _book_settings, *(STRATEGIES.entry(book) for book, _ in JUDGED.values())),
        ins={
            "clean_prices": dg.AssetIn(lab.key("clean_prices"), partition_mapping=lab.partitions.train),
            **{f"{FORECASTER}{name}": dg.AssetIn(lab.key(f"{FORECASTER}{name}")) for name in models},
        },
    )
    def book_settings(context: dg.AssetExecutionContext, clean_prices: pl.LazyFrame, **forecasters: dict) -> dict:
        """What the fold trades its forecasts with, chosen on what its fits said of their validation slices."""
        own = fold_named(context.partition_key, lab.profile.train_years)
        fitted = {name: fitted_of(forecasters[f"{FORECASTER}{name}"])[own.name] for name in models}
        prices = clean_prices.filter(pl.col("date") < own.test_start).collect()
        limits, account = lab.defaults("target_weights"), lab.defaults("backtest")
        table = fit_book_settings(own.name, said_of(fitted), prices, limits, account, lab.sectors())
        context.add_output_metadata({
            "chosen": markdown_table(table.filter("is_chosen").select("model", "setting", "value", "merit"), 40),
            "tried": markdown_table(table.select("model", "setting", "value", "merit"), 60),
            "candidates": table.height,  # inside the fit window; no trial of the test
            "dagster/row_count": table.height,
        })  # fmt: skip
        return table_files(book_settings=table)

    return book_settings


def said_of(fitted: Mapping[str, Fitted]) -> dict[str, Said]:
    """What each model's fit said of its validation slice, and its horizon."""
    return {
        name: (one.validation.select("date", "ticker", "score"), int(one.manifest.facts["horizon_sessions"]))
        for name, one in fitted.items()
        if one.validation.height
    }
