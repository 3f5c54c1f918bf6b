"""Market regimes: methods fitted once a fold on everything before it, and what they say of each session, by month."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import REGIME_MODEL
from quant_assets.assets.market_data import SINGLE_RUN
from quant_assets.fitting import ONE_FOLD_A_RUN, FittedAsset, fitted_asset, fitted_of
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table, table_metadata
from quant_assets.pages.pictures import curve_picture
from quant_assets.partitions import month_span
from quant_assets.storage.table_files import table_files
from quant_core.calendar import sessions_before
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.folds import Fold
from quant_core.folds import fold as fold_named
from quant_core.regimes import METHODS
from quant_core.regimes.config import RegimeConfig
from quant_core.regimes.fit import fit_regimes
from quant_core.regimes.history import regime_history as history_of
from quant_core.regimes.inputs import LOOKBACK_SESSIONS, daily_embeddings, market_inputs
from quant_core.regimes.table import regimes as regimes_of
from quant_core.representation.embed import embeddings_on
from quant_core.schema import Embeddings, Regimes, validate


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {REGIME_MODEL: RegimeConfig} if lab.has_regimes else {}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """regime_model, regimes and regime_history of a profile that has regimes."""
    return [_regime_model(lab), _regimes(lab), _regime_history(lab)] if lab.has_regimes else []


def _regime_model(lab: Lab) -> dg.AssetsDefinition:
    loaded: RegimeConfig = lab.defaults(REGIME_MODEL)

    def fit(settings: RegimeConfig, inputs: Mapping[str, Any], fold: Fold, log: Log) -> Fitted:
        within_source(settings, loaded)
        market = market_before(inputs["clean_prices"], fold, settings)
        return fit_regimes(market, settings, fold, log, embeddings_before(inputs, fold, settings))

    return fitted_asset(lab, FittedAsset(
        name=REGIME_MODEL,
        op="regimes",
        group="regimes",
        description="What a session of the market is like, by several methods side by side: fitted once a fold on all "
        "sessions before it, states named by rules on that window.",
        ins=fit_ins(lab, loaded.reads_embeddings),
        fit=fit,
        made_by=_regime_model,
        registered=tuple(METHODS.entry(name) for name in METHODS),
    ))  # fmt: skip


def fit_ins(lab: Lab, reads_embeddings: bool) -> dict[str, dg.AssetIn]:
    """What a fold's methods are fitted on: prices, and for those that read them the encoder's embeddings."""
    prices = {"clean_prices": dg.AssetIn(lab.key("clean_prices"), partition_mapping=lab.partitions.before_fold)}
    if not reads_embeddings:
        return prices
    months = lab.partitions.training_months(lab.defaults("encoder").context_sessions)
    return prices | {
        "features": dg.AssetIn(lab.key("features"), partition_mapping=months),
        "encoder": dg.AssetIn(lab.key("encoder")),
    }


def within_source(settings: RegimeConfig, loaded: RegimeConfig) -> None:
    """Refuse a run's methods that read embeddings where the profile's assets do not load them.

    Raises:
        DataError: names the methods.
    """
    if settings.reads_embeddings and not loaded.reads_embeddings:
        raise DataError(
            f"{REGIME_MODEL}: this run has methods {list(settings.methods)}, but the profile loads no embeddings; name "
            "them in the profile's regimes instead."
        )


def market_before(clean_prices: pl.LazyFrame, fold: Fold, settings: RegimeConfig) -> pl.DataFrame:
    """The market's inputs of every session before a fold."""
    prices = clean_prices.filter(pl.col("date") < fold.test_start).collect()
    return market_inputs(prices, settings.index_ticker, settings.vix_ticker)


def embeddings_before(inputs: Mapping[str, Any], fold: Fold, settings: RegimeConfig) -> pl.DataFrame | None:
    """Daily embeddings by the fold's own encoder, of every `embedding_stride`-th session that trains it."""
    if not settings.reads_embeddings:
        return None
    training = pl.col("date").is_between(fold.train_start, fold.train_end)
    days = inputs["features"].filter(training).select("date").collect()["date"].unique().sort()
    encoder = fitted_of(inputs["encoder"])[fold.name]
    return _daily(embeddings_on(encoder, inputs["features"], days.gather_every(settings.embedding_stride)))


def _regimes(lab: Lab) -> dg.AssetsDefinition:
    loaded: RegimeConfig = lab.defaults(REGIME_MODEL)
    fold_months = lab.partitions.since_fold_began(0)
    ins = {
        "clean_prices": dg.AssetIn(
            lab.key("clean_prices"), partition_mapping=lab.partitions.since_fold_began(LOOKBACK_SESSIONS)
        ),
        REGIME_MODEL: dg.AssetIn(lab.key(REGIME_MODEL), partition_mapping=lab.partitions.fold_of_month),
    }
    if loaded.reads_embeddings:
        ins["embeddings"] = dg.AssetIn(lab.key("embeddings"), partition_mapping=fold_months)

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="regimes",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "parquet"},
        code_version=lab.code("regimes", _regimes, *(METHODS.entry(name) for name in METHODS)),
        ins=ins,
    )
    def regimes(
        context: dg.AssetExecutionContext, clean_prices: pl.LazyFrame, regime_model: Any, **more: pl.LazyFrame
    ) -> pl.DataFrame:
        """Filtered regimes of each session by every method, each month by the fold that contains it."""
        span, fitted, prices = month_span(context), fitted_of(regime_model), clean_prices.collect()
        own = None if "embeddings" not in more else _daily(more["embeddings"].collect())
        parts = [of_fold(name, fitted[name], prices, span, own) for name in sorted(fitted)]
        made = pl.concat([Regimes.create_empty(), *parts])
        table = validate(made, Regimes, "regimes", "report it: a method broke the contract.")
        newest = table.filter(pl.col("date") == pl.col("date").max()).select("method", "regime", "sessions_in_regime")
        refused = {name: one.manifest.facts["refused"] for name, one in fitted.items() if one.manifest.facts["refused"]}
        for name, reasons in refused.items():
            context.log.warning(f"fold {name}: no regimes by {', '.join(f'{k} ({v})' for k, v in reasons.items())}")
        context.add_output_metadata(dict(table_metadata(
            table, folds=str(sorted(fitted)), last_session=markdown_table(newest), refused=str(refused or "none"),
            shares=markdown_table(shares(table), 40),
        )))  # fmt: skip
        return table

    return regimes


def of_fold(
    name: str, fitted: Fitted, prices: pl.DataFrame, span: tuple[date, date], embedded: pl.DataFrame | None
) -> pl.DataFrame:
    """One fold's regimes within a span; inputs begin on the same session whatever the span, so that bits agree."""
    own = fold_named(name)
    begin, settings = sessions_before(own.test_start, LOOKBACK_SESSIONS), fitted.manifest.config
    rows = prices.filter(pl.col("date").is_between(begin, min(span[1], own.test_end)))
    market = market_inputs(rows, settings["index_ticker"], settings["vix_ticker"])
    return regimes_of({name: fitted}, market, *span, embedded)


def _daily(rows: pl.DataFrame) -> pl.DataFrame:
    """Daily aggregates of embeddings."""
    values = rows.sort("date", "ticker").drop(Embeddings.column_names(), strict=False)
    return daily_embeddings(rows.sort("date", "ticker").select("date", "ticker"), values.to_numpy())


def shares(table: pl.DataFrame) -> pl.DataFrame:
    """Share of each method's sessions in each regime, one row a method."""
    counted = table.group_by("method", "regime").len()
    whole = counted.with_columns(share=(pl.col("len") / pl.col("len").sum().over("method")).round(3))
    return whole.sort("method", "regime").pivot(on="regime", index="method", values="share")


def _regime_history(lab: Lab) -> dg.AssetsDefinition:
    loaded: RegimeConfig = lab.defaults(REGIME_MODEL)

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="regimes",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        automation_condition=dg.AutomationCondition.on_missing(),
        kinds={"polars", "parquet"},
        code_version=lab.code("regime_history", _regime_history, *(METHODS.entry(name) for name in METHODS)),
        ins={REGIME_MODEL: dg.AssetIn(lab.key(REGIME_MODEL)), **fit_ins(lab, loaded.reads_embeddings)},
    )
    def regime_history(
        context: dg.AssetExecutionContext, regime_model: dict, clean_prices: pl.LazyFrame, **more: Any
    ) -> dict:
        """The fit window in hindsight, for this page's chart only: smoothed regimes know what came after."""
        fold = fold_named(context.partition_key)
        fitted = fitted_of(regime_model)[fold.name]
        settings = RegimeConfig(**fitted.manifest.config)
        market = market_before(clean_prices, fold, settings)
        table = history_of(fitted, market, embeddings_before(more, fold, settings))
        own = table.filter(pl.col("method") == lab.profile.regime_method)
        context.add_output_metadata({
            "probability_of_crisis": curve_picture(own.select("date", "filtered_crisis", "smoothed_crisis")),
            "states": markdown_table(states(fitted), 40), "rows": table.height,
        })  # fmt: skip
        return table_files(history=table)

    return regime_history


def states(fitted: Fitted) -> pl.DataFrame:
    """Every method's states over its fit window: name and statistics, the calmest first."""
    methods = fitted.manifest.facts["methods"]
    return pl.DataFrame([{"method": name, **state} for name in sorted(methods) for state in methods[name]["states"]])
