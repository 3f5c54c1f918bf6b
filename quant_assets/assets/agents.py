"""Agents that learn to trade the forecasts: one policy a fold and agent, and the books that they decide, by month."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import FORECASTS, POLICY, POLICY_WEIGHTS, REGIMES
from quant_assets.assets.market_data import FRAME, SINGLE_RUN
from quant_assets.assets.target_weights import SHOWN, books
from quant_assets.fitting import FittedAsset, fitted_asset, fitted_of
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table, table_metadata
from quant_assets.partitions import month_span
from quant_core.allocation.held import followed
from quant_core.allocation.learning.agent import AGENTS, AgentConfig, agent_of
from quant_core.allocation.learning.folds import REFUSED, WALK_SESSIONS, fit_policy, policy_weights
from quant_core.allocation.learning.inputs import MarketTables
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.folds import Fold
from quant_core.folds import fold as fold_named
from quant_core.representation.embed import embeddings_on
from quant_core.schema import Regimes, TargetWeights

PRICES, BOOK, FEATURES, ENCODER = "clean_prices", "target_weights", "features", "encoder"


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {f"{POLICY}{name}": AGENTS[agent_of(name)].config_class for name in lab.agents}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """rl_policy_{agent} and weights_{agent} for each agent of the profile."""
    return [asset for name in lab.agents for asset in (_policy(lab, name), _weights(lab, name))]


def _policy(lab: Lab, name: str) -> dg.AssetsDefinition:
    loaded: AgentConfig = lab.defaults(f"{POLICY}{name}")
    model = followed(lab.forecasters, lab.defaults(BOOK))[0]
    before = lab.partitions.before_fold
    months = read_by(lab, model, loaded)
    encoder = {ENCODER: dg.AssetIn(lab.key(ENCODER))} if reads_embeddings(lab, loaded) else {}

    def fit(settings: AgentConfig, inputs: Mapping[str, Any], fold: Fold, log: Log) -> Fitted:
        within_inputs(name, settings, loaded)
        tables = tables_of(lab, inputs, model, settings, fold, fold.train_end)
        limits, account = lab.defaults(BOOK), lab.defaults("backtest")
        return fit_policy(agent_of(name), tables, fold, settings, limits, account, log)

    return fitted_asset(lab, FittedAsset(
        name=f"{POLICY}{name}",
        op=f"rl_{name}",
        group="agents",
        description=f"{AGENTS[agent_of(name)].summary.rstrip('.')}; trained once a fold on what the folds before it "
        "forecast out of sample, several seeds; a fold with too few such years has no policy.",
        ins={each: dg.AssetIn(lab.key(each), partition_mapping=before) for each in months} | encoder,
        fit=fit,
        made_by=_policy,
        registered=(AGENTS.entry(agent_of(name)),),
    ))  # fmt: skip


def within_inputs(name: str, settings: AgentConfig, loaded: AgentConfig) -> None:
    """Refuse a run whose policy would see its months otherwise than the profile's assets show them.

    Raises:
        DataError: names the setting.
    """
    for setting in ("book", "embedding_components"):
        if getattr(settings, setting) != getattr(loaded, setting):
            raise DataError(
                f"{POLICY}{name}: this run has {setting} {getattr(settings, setting)!r}, the profile's weights are "
                f"made with {getattr(loaded, setting)!r}; set it in the profile's presets instead."
            )


def read_by(lab: Lab, model: str, settings: AgentConfig) -> tuple[str, ...]:
    """The month assets that an agent's inputs are made of."""
    regimes = (REGIMES,) if lab.has_regimes else ()
    features = (FEATURES,) if reads_embeddings(lab, settings) else ()
    return (PRICES, BOOK, f"{FORECASTS}{model}", *regimes, *features)


def reads_embeddings(lab: Lab, settings: AgentConfig) -> bool:
    """Whether an agent sees embeddings."""
    return lab.has_encoder and settings.embedding_components > 0


def tables_of(
    lab: Lab, inputs: Mapping[str, Any], model: str, settings: AgentConfig, fold: Fold, last: date
) -> MarketTables:
    """What an agent may know up to a day, among an asset's inputs; embeddings by the fold's own encoder."""
    known = pl.col("date") <= last
    book = inputs[BOOK].filter(known, pl.col("strategy") == f"{settings.book}_{model}").collect()
    more = {}
    if REGIMES in inputs:
        own = pl.col("method") == lab.profile.regime_method
        more["regimes"] = inputs[REGIMES].filter(known, own).collect()
    if ENCODER in inputs and book.height:
        encoder = fitted_of(inputs[ENCODER])[fold.name]
        more["embeddings"] = embeddings_on(encoder, inputs[FEATURES], book["date"].unique().sort())
    return MarketTables(
        prices=inputs[PRICES].filter(known).collect(),
        forecasts=inputs[f"{FORECASTS}{model}"].filter(known).collect(),
        book=book,
        **{"regimes": Regimes.create_empty()} | more,
    )


def _weights(lab: Lab, name: str) -> dg.AssetsDefinition:
    asset = f"{POLICY_WEIGHTS}{name}"
    settings: AgentConfig = lab.defaults(f"{POLICY}{name}")
    model = followed(lab.forecasters, lab.defaults(BOOK))[0]
    walked = lab.partitions.since_fold_began(WALK_SESSIONS)
    encoder = {
        ENCODER: dg.AssetIn(lab.key(ENCODER), partition_mapping=lab.partitions.fold_of_month)
    } if reads_embeddings(lab, settings) else {}  # fmt: skip

    @dg.asset(
        name=asset,
        key_prefix=lab.prefix,
        group_name="agents",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "parquet"},
        dagster_type=FRAME,
        description=f"What {name} decides to hold, each month by the policy of its fold: the mean of its seeds, and "
        "each of them; empty where there is no policy.",
        code_version=lab.code(asset, _weights, AGENTS.entry(agent_of(name))),
        ins={
            **{each: dg.AssetIn(lab.key(each), partition_mapping=walked) for each in read_by(lab, model, settings)},
            **encoder,
            "policy": dg.AssetIn(lab.key(f"{POLICY}{name}"), partition_mapping=lab.partitions.fold_of_month),
        },
    )
    def weights(context: dg.AssetExecutionContext, policy: Any, **inputs: Any) -> pl.DataFrame:
        """What an agent decides to hold."""
        span, fitted = month_span(context), fitted_of(policy)
        parts: list[pl.DataFrame] = [TargetWeights.create_empty()]
        for fold_name, one in sorted(fitted.items()):
            own = fold_named(fold_name)
            tables = tables_of(lab, inputs, model, settings, own, min(span[1], own.test_end))
            parts.append(policy_weights(
                name, one, tables, own, span, lab.defaults(BOOK), lab.defaults("backtest"),
            ))  # fmt: skip
        table = pl.concat(parts).sort("date", "strategy", "ticker")
        newest = table.filter(pl.col("date") == pl.col("date").max())
        refused = {fold: one.manifest.facts[REFUSED] for fold, one in fitted.items() if REFUSED in one.manifest.facts}
        context.add_output_metadata(dict(table_metadata(
            table, strategies=", ".join(sorted(table["strategy"].unique())), refused=str(refused or "none"),
            last_decision=markdown_table(books(newest).select(SHOWN), 20),
        )))  # fmt: skip
        return table

    return weights
