"""What a fold does about regimes: which book it will hold in which of them, chosen in its fit window."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import REGIME_BOOKS, REGIME_MODEL
from quant_assets.assets.regimes import embeddings_before, fit_ins, market_before
from quant_assets.config import core_settings
from quant_assets.fitting import ONE_FOLD_A_RUN, fitted_of
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table
from quant_assets.storage.table_files import table_files
from quant_core.allocation import AllocationConfig, decide_all
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.regime_books import RegimeBooksConfig, choose_books
from quant_core.backtest.simulate import Backtest, simulate
from quant_core.fitted import Fitted
from quant_core.folds import Fold
from quant_core.folds import fold as fold_named
from quant_core.regimes import METHODS
from quant_core.regimes.config import RegimeConfig, is_of_embeddings
from quant_core.regimes.table import fit_window_labels, methods_of
from quant_core.schema import CASH, Forecasts, RegimeBooks


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {REGIME_BOOKS: RegimeBooksConfig} if lab.has_regimes else {}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """regime_books of a profile that has regimes."""
    return [_regime_books(lab)] if lab.has_regimes else []


def _regime_books(lab: Lab) -> dg.AssetsDefinition:
    config_type: Any = lab.config(REGIME_BOOKS)
    loaded: RegimeBooksConfig = lab.defaults(REGIME_BOOKS)

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="regimes",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"polars", "numba"},
        automation_condition=dg.AutomationCondition.on_missing(),
        code_version=lab.code(REGIME_BOOKS, _regime_books, *(METHODS.entry(name) for name in METHODS)),
        ins={REGIME_MODEL: dg.AssetIn(lab.key(REGIME_MODEL)), **fit_ins(lab, is_of_embeddings(loaded.regime_method))},
    )
    def regime_books(
        context: dg.AssetExecutionContext, config: config_type, regime_model: dict, clean_prices: pl.LazyFrame,
        **more: Any,
    ) -> dict:  # fmt: skip
        """Which book the fold holds in which regime: the one that did best in it, net of costs, before the fold."""
        settings = core_settings(RegimeBooksConfig, config)
        own = fold_named(context.partition_key, lab.profile.train_years)
        fitted = fitted_of(regime_model)[own.name]
        table: pl.DataFrame = RegimeBooks.create_empty()
        if settings.regime_method in methods_of(fitted):
            labels = labels_before(fitted, settings.regime_method, clean_prices, own, more)
            prices = clean_prices.filter(pl.col("date") < own.test_start).collect()
            tested = candidates_before(prices, settings, lab.defaults("target_weights"), lab.defaults("backtest"), own)
            table = choose_books(tested.daily, tested.benchmark, labels, own.name, settings)
        else:
            context.log.warning(f"{settings.regime_method} found no sound states before {own.name}; nothing is chosen.")
        context.add_output_metadata({
            "chosen": markdown_table(table.filter("is_chosen").drop("is_chosen"), 10),
            "compared": markdown_table(side_by_side(table), 40),
            "choices": table.height,  # of a candidate in a regime, inside the fit window; no trial of the test
            "dagster/row_count": table.height,
        })  # fmt: skip
        return table_files(regime_books=table)

    return regime_books


def labels_before(
    fitted: Fitted, method: str, clean_prices: pl.LazyFrame, fold: Fold, more: Mapping[str, Any]
) -> pl.DataFrame:
    """(date, regime) of one method over the whole of its fit window."""
    settings = RegimeConfig(**fitted.manifest.config)
    embedded = embeddings_before(more, fold, settings) if is_of_embeddings(method) else None
    return fit_window_labels(fitted, market_before(clean_prices, fold, settings), method, embedded)


def candidates_before(
    prices: pl.DataFrame, settings: RegimeBooksConfig, limits: AllocationConfig, account: BacktestConfig, fold: Fold
) -> Backtest:
    """The candidates through the ledger over the years that train a fold, by the lab's own limits, costs and fills.

    Args:
        prices: CleanPrices of everything before the fold.
    """
    names = tuple(name for name in settings.candidates if name != CASH)
    config, nothing = replace(limits, strategies=names), Forecasts.create_empty()
    decided = decide_all(prices, nothing, config, fold.train_start, fold.train_end)
    own = prices.filter(pl.col("date").is_between(fold.train_start, fold.train_end))
    return simulate(own, decided.weights, replace(account, until=None), stress=False)


def side_by_side(table: pl.DataFrame) -> pl.DataFrame:
    """Sharpe ratio of each candidate, one row a regime."""
    ratios = table.with_columns(pl.col("sharpe_ann").round(2)).sort("regime", "strategy")
    return ratios.pivot(on="strategy", index=["regime"], values="sharpe_ann")
