"""Tomorrow's orders: the end of the daily refresh. What each book wants next and why, and the account on paper."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import BACKTEST, FORECASTS, POLICY_WEIGHTS, REGIMES, SIGNALS, TARGET_WEIGHTS
from quant_assets.currency.list_use import last_day_of
from quant_assets.experiments import trials
from quant_assets.experiments.promotions import gate_of
from quant_assets.experiments.trial_witness import decided_otherwise
from quant_assets.experiments.trials import SHIPPED
from quant_assets.fitting import ONE_FOLD_A_RUN
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table
from quant_assets.partitions import fold_of, month_span, months_before
from quant_assets.storage import paper_record
from quant_assets.storage.backtest_files import Evaluation
from quant_assets.storage.table_files import table_files
from quant_assets.tracking.mlflow_resource import artifact_link, tracked
from quant_core.backtest.paper import PaperBooks, beside_backtest, paper_books, paper_drift
from quant_core.backtest.signals import day_health, fill_of, signals_table
from quant_core.calendar import next_session
from quant_core.errors import DataError
from quant_core.fitted import code_version
from quant_core.market.lists import list_warnings
from quant_core.report.notes import SIMULATED
from quant_core.schema import (
    IS_SEED,
    PROMOTED,
    UNJUDGED,
    BacktestDaily,
    Forecasts,
    PaperDaily,
    PaperDecisions,
    PaperDrift,
    Promotion,
    Regimes,
    SignalHealth,
    Signals,
    TargetWeights,
)
from quant_core.trading.rebalancing import Rebalance, rebalance_dates

PAGE = "orders.html"
SEED = 7  # of the bootstrap
#: Months before its own from which a book's holdings are reckoned, and the decision before the newest one is looked up.
MONTHS_BEFORE = 3
#: Days of prices before the account on paper opened: what is trailing looks back on them.
DAYS_BEFORE = 120
#: Weights that differ by less are one decision.
SAME = 1e-9
#: No partition is later: all of an input's may be absent.
NONE_NEEDED = {"optional_before": "9999"}
SHOWN = ("strategy", "status", "decision_date", "fill_date", "traded", "cost_inr")


@dataclass(frozen=True)
class Judged:
    """What the newest backtest says: Promotion, and BacktestDaily of its books; both empty where there is none."""

    candidates: pl.DataFrame
    daily: pl.DataFrame
    fold: str


def setting_classes(lab: Lab) -> dict[str, type]:
    """It has no settings: rules, costs and capital are the backtest's."""
    return {}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """signals of one profile."""
    return [_signals(lab)]


def _signals(lab: Lab) -> dg.AssetsDefinition:
    some = dg.TimeWindowPartitionMapping(start_offset=-MONTHS_BEFORE, allow_nonexistent_upstream_partitions=True)
    weights = (TARGET_WEIGHTS, *(f"{POLICY_WEIGHTS}{name}" for name in lab.agents))
    months = (*weights, *(f"{FORECASTS}{name}" for name in lab.forecasters), *((REGIMES,) if lab.has_regimes else ()))

    @dg.asset(
        name=SIGNALS,
        key_prefix=lab.prefix,
        group_name="signals",
        partitions_def=lab.partitions.months,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"numba", "html", "mlflow"},
        required_resource_keys={"mlflow"},
        code_version=lab.code(SIGNALS, _signals),
        ins={
            "clean_prices": dg.AssetIn(
                lab.key("clean_prices"), partition_mapping=lab.partitions.cleaning_lookback,
                metadata={"needed_months": MONTHS_BEFORE},
            ),
            **{
                name: dg.AssetIn(lab.key(name), partition_mapping=some, metadata={"needed_months": 0})
                for name in months
            },
            BACKTEST: dg.AssetIn(
                lab.key(BACKTEST), partition_mapping=lab.partitions.folds_of_regimes, metadata=NONE_NEEDED
            ),
        },
    )  # fmt: skip
    def signals(
        context: dg.AssetExecutionContext, clean_prices: pl.LazyFrame, backtest: Any, **inputs: pl.LazyFrame
    ) -> dict:
        """What each promoted book (or candidate) wants at the next session and why; the account on paper; one page."""
        new = recorded_now(context, lab, followed_in(all_in(inputs, weights), month_span(context)[1]))
        made: dict[str, dict[str, bytes]] = {}
        for month in sorted(context.partition_keys):
            seen = of_month(lab, month, clean_prices, backtest, inputs)
            made[month], told = files_of(lab, month, *seen, weights)
        newest = made[max(made)]
        with tracked(context, SIGNALS, {}) as mlflow:
            if PAGE in newest:
                mlflow.log_text(newest[PAGE].decode(), PAGE)
                context.add_output_metadata({"page": artifact_link(mlflow, PAGE, "open tomorrow's orders")})
        context.add_output_metadata(told | {"recorded_now": ", ".join(map(str, new)) or "nothing"})
        return made if len(made) > 1 else newest

    return signals


def of_month(
    lab: Lab, month: str, prices: pl.LazyFrame, backtest: Mapping[str, dict[str, bytes]] | None,
    inputs: Mapping[str, pl.LazyFrame],
) -> tuple[pl.LazyFrame, Mapping[str, dict[str, bytes]], dict[str, pl.LazyFrame]]:  # fmt: skip
    """Prices, backtests and inputs as a run of the month alone has them; a refresh reads a range."""
    last, fold = last_day_of(SIGNALS, month), fold_of(lab.partitions.folds, month) or ""
    own = pl.col("date").is_between(months_before(month, MONTHS_BEFORE), last)
    return (
        prices.filter(pl.col("date") <= last),
        {name: files for name, files in (backtest or {}).items() if name <= fold},
        {name: table.filter(own) for name, table in inputs.items() if table is not None},
    )


def followed_in(targets: pl.DataFrame, last: date) -> pl.DataFrame:
    """Decisions up to a day of every book that can be followed: no seeds of agents, nothing that is shipped."""
    return targets.filter(~IS_SEED, ~pl.col("strategy").is_in(list(SHIPPED)), pl.col("date") <= last)


def all_in(inputs: Mapping[str, pl.LazyFrame], weights: Sequence[str]) -> pl.DataFrame:
    """Every book's decisions, the seeds of agents too."""
    return pl.concat([TargetWeights.create_empty(), *(inputs[name].collect() for name in weights)])


def files_of(
    lab: Lab, month: str, clean_prices: pl.LazyFrame, backtest: Mapping[str, dict[str, bytes]],
    inputs: Mapping[str, pl.LazyFrame], weights: Sequence[str],
) -> tuple[dict[str, bytes], dict[str, Any]]:  # fmt: skip
    """The artifact of a month, and what the asset's page in the UI says of it."""
    last = last_day_of(SIGNALS, month)
    targets = all_in(inputs, weights)
    judged, followed = judged_by(lab, backtest), followed_in(targets, last)
    record = paper_record.read(lab.root, lab.profile.name, last)
    begin = min([last.replace(day=1) - timedelta(days=31 * MONTHS_BEFORE), *opened(record.decisions)])
    prices = clean_prices.filter(pl.col("date").is_between(begin, last)).collect()
    found = made_of(lab, prices, followed, judged, record.decisions, inputs, targets)
    session, pages = prices["date"].max(), {}
    if isinstance(session, date):
        pages = {PAGE: page_of(lab, found, session, judged, record, followed).encode()}
    told = {
        "session": str(session), "books": markdown_table(shown(found["signals"]), 40),
        "health": markdown_table(found["health"].filter(~pl.col("is_sound")), 10),
        "drift": markdown_table(found["drift"], 20),
        "recorded_days": found["decisions"]["date"].n_unique(), "record": "; ".join(record.problems) or "whole",
    }  # fmt: skip
    return {**csv_files(found), **table_files(**found), **pages}, told


def judged_by(lab: Lab, backtest: Mapping[str, dict[str, bytes]] | None) -> Judged:
    """The gate's answer from the newest of the backtests that are stored; none from one that an older version stored.

    The schedule makes the backtest after this asset: if this one waited for a readable one, neither would be made.
    """
    fold = max(backtest or {}, default="")
    try:
        result = Evaluation.of((backtest or {})[fold]).backtest
    except (KeyError, DataError):
        return Judged(Promotion.create_empty(), BacktestDaily.create_empty(), "")
    tried = trials.load(lab.root, lab.profile.name, result.daily["date"].max())  # type: ignore[arg-type]
    return Judged(gate_of(lab, result, tried).candidates, result.daily, fold)


def recorded_now(context: dg.AssetExecutionContext, lab: Lab, followed: pl.DataFrame) -> list[date]:
    """The decision days that this run is the first to write down; none for a run with settings of its own."""
    if changed := decided_otherwise(context.run.tags):
        context.log.warning(f"not recorded on paper: this run sets {', '.join(changed)} otherwise than the profile.")
        return []
    delay = lab.defaults(BACKTEST).delay_sessions
    fills = {day: fill_of(day, delay) for day in followed["date"].unique()}
    return paper_record.record(lab.root, lab.profile.name, followed, fills, paper_record.clock())


def opened(decisions: pl.DataFrame) -> list[date]:
    """The day from which prices are needed for the account on paper; nothing where it has not opened."""
    first = decisions["date"].min()
    return [first - timedelta(days=DAYS_BEFORE)] if isinstance(first, date) else []


def made_of(
    lab: Lab, prices: pl.DataFrame, followed: pl.DataFrame, judged: Judged, decisions: pl.DataFrame,
    inputs: Mapping[str, pl.LazyFrame], targets: pl.DataFrame,
) -> dict[str, pl.DataFrame]:  # fmt: skip
    """The asset's tables by name: signals, health, paper, drift, decisions."""
    if prices.is_empty():
        contracts = {
            "signals": Signals, "health": SignalHealth, "paper": PaperDaily, "drift": PaperDrift,
            "decisions": PaperDecisions,
        }  # fmt: skip
        return {name: contract.create_empty() for name, contract in contracts.items()}
    settings, newest = lab.defaults(BACKTEST), prices["date"].max()
    scores = [inputs[name].collect() for name in sorted(inputs) if name.startswith(FORECASTS)]
    regimes = inputs[REGIMES].collect() if inputs.get(REGIMES) is not None else Regimes.create_empty()
    labels = regimes.filter(pl.col("method") == settings.regime_method).select("date", "regime")
    today = labels.filter(pl.col("date") == newest)["regime"].to_list()
    table = signals_table(
        prices, followed, pl.concat([Forecasts.create_empty(), *scores]), labels, statuses(followed, judged), settings
    )
    books: PaperBooks = paper_books(prices, decisions, settings)
    paper = beside_backtest(books.daily, judged.daily)
    return {
        "signals": table,
        "health": day_health(prices, targets, lab.profile.price_index, today[0] if today else None),
        "paper": paper, "drift": paper_drift(paper, SEED), "decisions": decisions,
    }  # fmt: skip


def statuses(followed: pl.DataFrame, judged: Judged) -> dict[str, str]:
    """Books that are shown: the promoted ones; where there are none, every candidate."""
    known = dict(judged.candidates.select("strategy", "status").iter_rows())
    found = {name: known.get(name, UNJUDGED) for name in followed["strategy"].unique().sort()}
    promoted = {name: status for name, status in found.items() if status == PROMOTED}
    return promoted or found


def page_of(
    lab: Lab, found: Mapping[str, pl.DataFrame], newest: date, judged: Judged, record: paper_record.Record,
    followed: pl.DataFrame,
) -> str:  # fmt: skip
    """The page as HTML."""
    from quant_core.report.signals_page import SignalsInput, render_signals

    table, paper, upcoming = found["signals"], found["paper"], next_session(newest)
    names = table["strategy"].unique()
    on_page = pl.col("strategy").is_in(names.implode())
    return render_signals(SignalsInput(
        profile=lab.profile.name,
        session=newest,
        next_session=upcoming,
        next_decision=next_decision(newest, lab.defaults(TARGET_WEIGHTS).rebalance),
        signals=table,
        health=found["health"],
        paper=paper.filter(on_page),
        drift=found["drift"].filter(on_page),
        decisions=record.decisions,
        missed=missed(followed, record.decisions),
        revised=revised(followed, record.decisions),
        capital_inr=lab.defaults(BACKTEST).initial_capital_inr,
        reasons=dict(judged.candidates.filter(pl.col("reasons") != "").select("strategy", "reasons").iter_rows()),
        warnings=warnings(lab, newest, record),
        provenance=provenance(lab, table, judged, record),
    ))  # fmt: skip


def next_decision(newest: date, rebalance: Rebalance) -> date | None:
    """The first session after the newest one on which is decided."""
    return next(iter(rebalance_dates(next_session(newest), newest + timedelta(days=62), rebalance)), None)


def missed(followed: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """strategy, date: decisions since the account on paper opened that are not in the record."""
    days = followed.select("strategy", "date").unique()
    since = days.filter(pl.col("date") > decisions["date"].min()) if decisions.height else days.clear()
    return since.join(decisions, on="date", how="anti").sort("date", "strategy")


def revised(followed: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """strategy, date: recorded decisions that would be others today."""
    keys = ["date", "strategy", "ticker"]
    days = decisions.select("date").unique()
    now = followed.join(days, on="date", how="semi").select(*keys, "weight", is_now=True)
    then = decisions.join(now.select("date").unique(), on="date", how="semi").select(*keys, recorded="weight", was=True)
    both = now.join(then, on=keys, how="full", coalesce=True)
    weight, recorded = pl.col("weight"), pl.col("recorded")
    same = ((weight - recorded).abs() < SAME) | (weight.is_null() & recorded.is_null())
    differs = ~(pl.col("is_now").fill_null(False) & pl.col("was").fill_null(False) & same.fill_null(False))
    return both.filter(differs).select("strategy", "date").unique().sort("date", "strategy")


def warnings(lab: Lab, newest: date, record: paper_record.Record) -> list[str]:
    """What a reader must not miss."""
    damage = [f"THE RECORD ON PAPER IS DAMAGED: {'; '.join(record.problems)}."] if record.problems else []
    simulated = [SIMULATED] if lab.profile.source["name"] == "simulated" else []
    listed = list_warnings(lab.lists_known(newest, SIGNALS), lab.dividends_known_until(), newest, has_benchmark=False)
    return [*damage, *simulated, *listed]


def provenance(lab: Lab, table: pl.DataFrame, judged: Judged, record: paper_record.Record) -> dict[str, str]:
    """Where the page comes from; nothing in it changes between reruns of the same data."""
    days = record.decisions["date"].unique().sort()
    return {
        "Profile": lab.profile.name,
        "Source": str(lab.profile.source["name"]),
        "Judged by the backtest of fold": judged.fold or "none yet",
        "Decisions on paper": f"{len(days)} days, {days[0]} to {days[-1]}" if len(days) else "none yet",
        "Newest digest of the record": record.head or "none yet",
        "Package version": code_version(),
        "Hash of the signals": hashlib.sha256(table.write_csv().encode()).hexdigest()[:16],
    }


def csv_files(found: Mapping[str, pl.DataFrame]) -> dict[str, bytes]:
    """Tables that a person may open in a spreadsheet."""
    from quant_core.report.signals_page import defused_csv

    return {f"{name}.csv": defused_csv(found[name]).encode() for name in ("signals", "paper")}


def shown(signals: pl.DataFrame) -> pl.DataFrame:
    """One row a book for the asset's page in the UI."""
    by_book = signals.group_by("strategy", "status", "decision_date", "fill_date").agg(
        traded=0.5 * pl.col("trade_weight").abs().sum(), cost_inr=pl.col("cost_inr").sum()
    )
    return by_book.select(SHOWN).rename({"traded": "traded_share"}).sort("strategy")
