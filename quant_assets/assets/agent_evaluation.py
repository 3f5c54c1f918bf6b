"""What learning agents were worth beside books that learn nothing, out of sample, on one account each."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import POLICY, POLICY_WEIGHTS, REGIMES
from quant_assets.assets.evaluation import since_first_fold, test_end, traded_labels
from quant_assets.fitting import ONE_FOLD_A_RUN, fitted_of
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table
from quant_assets.pages.pictures import book_pictures
from quant_assets.pages.reporting import SEED, provenance
from quant_assets.storage.table_files import table_files
from quant_assets.tracking.mlflow_resource import artifact_link, tracked
from quant_core.allocation.learning.folds import REFUSED, RESPONSIVENESS
from quant_core.backtest.agents import AgentTables, agent_tables, since
from quant_core.backtest.simulate import Backtest, simulate
from quant_core.fitted import Fitted
from quant_core.market.lists import price_returns_after
from quant_core.report.inputs import tested_span
from quant_core.schema import IS_SEED, AgentBooks, AgentLeads, AgentRegimes, AgentSeeds, AgentYears

ASSET, PAGE = "rl_evaluation", "agents.html"
SHOWN_BOOKS = ("strategy", "cagr", "sharpe_ann", "max_drawdown", "turnover_ann", "cost_ann")
#: What the page draws of how policies were trained and of what moves them.
CURVES = {
    "agent": pl.String, "fold": pl.String, "seed": pl.Int32, "steps": pl.Int64, "validation_growth": pl.Float64,
    "validation_sharpe": pl.Float64,
}  # fmt: skip
MOVES = {"agent": pl.String, "fold": pl.String, "block": pl.String, "weight_change": pl.Float64}


def setting_classes(lab: Lab) -> dict[str, type]:
    """It has no settings: the account is the backtest's."""
    return {}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """rl_evaluation of a profile that has agents."""
    return [_evaluation(lab)] if lab.agents else []


def _evaluation(lab: Lab) -> dg.AssetsDefinition:
    weights = [f"{POLICY_WEIGHTS}{name}" for name in lab.agents]
    months = ("clean_prices", "target_weights", *weights, *((REGIMES,) if lab.has_regimes else ()))
    policies = [f"{POLICY}{name}" for name in lab.agents]

    @dg.asset(
        name=ASSET,
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"plotly", "html", "mlflow"},
        required_resource_keys={"mlflow"},
        code_version=lab.code(ASSET, _evaluation),
        ins={
            **{name: since_first_fold(lab, name) for name in months},
            **{name: dg.AssetIn(lab.key(name), partition_mapping=lab.partitions.through_fold) for name in policies},
        },
    )
    def evaluation(context: dg.AssetExecutionContext, **inputs: Any) -> dict:
        """Agents, their seeds and every other book from the same cash on the same day: one page."""
        from quant_core.report.agents_page import render_agents

        end = test_end(lab, context.partition_key, months, None)
        settings = lab.defaults("backtest")
        tested = pl.col("date").is_between(date(lab.profile.first_fold, 1, 1), end)
        decided = pl.concat([inputs[name].filter(tested).collect() for name in weights])
        fitted = {name: fitted_of(inputs[f"{POLICY}{name}"]) for name in lab.agents}
        reasons = untrained(fitted)
        with tracked(context, ASSET, {"agents": list(lab.agents)}) as mlflow:
            if decided.is_empty():
                return nothing_yet(context, "no policy has decided anything", reasons)
            others = inputs["target_weights"].filter(tested).collect()
            prices = inputs["clean_prices"].filter(tested).collect()
            labels = traded_labels(inputs.get(REGIMES), settings.regime_method, tested)
            price_after = price_returns_after(lab.dividends_known_until(), end)
            account = replace(settings, until=None)
            books = pl.concat([decided, others])
            whole = simulate(prices, books, account, price_returns_after=price_after, stress=False)
            result = since(whole, decided["date"].min())  # type: ignore[arg-type]
            if result.metrics.is_empty():
                return nothing_yet(context, "only one session since the first decision: nothing is measured", reasons)
            tables = agent_tables(result, lab.agents, labels, SEED)
            curves, moves = curves_of(fitted), responsiveness_of(fitted)
            html = render_agents(page_input(lab, context.partition_key, result, tables, curves, moves, reasons))
            for row in tables.books.filter("is_agent").iter_rows(named=True):
                mlflow.log_metrics({f"{row['strategy']}.{k}": float(v) for k, v in row.items() if isinstance(v, float)})
            mlflow.log_text(html, PAGE)
            context.add_output_metadata({"page": artifact_link(mlflow, PAGE, "open the page")})
        context.add_output_metadata({
            **book_pictures(result.daily.filter(~IS_SEED), result.benchmark),
            "books": markdown_table(tables.books.select(SHOWN_BOOKS), 40),
            "seeds": markdown_table(tables.seeds, 10), "leads": markdown_table(tables.leads, 60),
            "years": markdown_table(tables.years.filter(pl.col("strategy").is_in(list(lab.agents))), 40),
            "responsiveness": markdown_table(moves, 40), "untrained": str(reasons or "none"),
            "until": str(end),
        })  # fmt: skip
        return table_files(**tables._asdict(), curves=curves, responsiveness=moves) | {PAGE: html.encode()}

    return evaluation


def nothing_yet(context: dg.AssetExecutionContext, why: str, reasons: Mapping[str, str]) -> dict[str, bytes]:
    """The artifact of agents that cannot be judged yet, with a word of why."""
    context.log.warning(f"{why} up to {context.partition_key}: {reasons or 'every fold has a policy'}")
    context.add_output_metadata({"agents": why, "reasons": str(reasons)})
    return table_files(**empty()._asdict())


def empty() -> AgentTables:
    """The tables of an evaluation of nothing."""
    contracts = (AgentBooks, AgentSeeds, AgentLeads, AgentRegimes, AgentYears)
    return AgentTables(*(contract.create_empty() for contract in contracts))


def untrained(fitted: Mapping[str, Mapping[str, Fitted]]) -> dict[str, str]:
    """Fold -> why it has no policy, of folds where no agent has one."""
    reasons: dict[str, str] = {}
    for folds in fitted.values():
        reasons |= {fold: one.manifest.facts[REFUSED] for fold, one in folds.items() if REFUSED in one.manifest.facts}
    return dict(sorted(reasons.items()))


def curves_of(fitted: Mapping[str, Mapping[str, Fitted]]) -> pl.DataFrame:
    """Validation scores by agent, fold, seed and step."""
    parts = [pl.DataFrame(schema=CURVES)]
    for agent, folds in fitted.items():
        for fold, one in folds.items():
            if "steps" in one.curve.columns:
                named = one.curve.with_columns(agent=pl.lit(agent), fold=pl.lit(fold))
                parts.append(named.select(pl.col(name).cast(kind) for name, kind in CURVES.items()))
    return pl.concat(parts).sort("agent", "fold", "seed", "steps")


def responsiveness_of(fitted: Mapping[str, Mapping[str, Fitted]]) -> pl.DataFrame:
    """What each block of inputs moves, by agent and fold."""
    rows = [
        (agent, fold, block, change)
        for agent, folds in fitted.items()
        for fold, one in folds.items()
        for block, change in sorted(one.manifest.facts.get(RESPONSIVENESS, {}).items())
    ]
    return pl.DataFrame(rows, schema=MOVES, orient="row")


def page_input(
    lab: Lab, fold: str, result: Backtest, tables: AgentTables, curves: pl.DataFrame, moves: pl.DataFrame,
    reasons: Mapping[str, str],
) -> Any:  # fmt: skip
    """What render_agents needs."""
    from quant_core.report.agents_page import AgentsInput

    first, last = tested_span(result.daily)
    return AgentsInput(
        title=f"{lab.profile.name}: learning agents {first:%b %Y} to {last:%b %Y}", profile=lab.profile.name,
        start=first, end=last, daily=result.daily.filter(~IS_SEED), benchmark=result.benchmark,
        **tables._asdict(), curves=curves, responsiveness=moves, untrained=reasons,
        provenance=provenance(lab, fold, result),
    )  # fmt: skip
