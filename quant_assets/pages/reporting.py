"""From a stored backtest, the register of trials and the profile to the report's input."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from datetime import date

import polars as pl

from quant_assets.experiments import trials
from quant_assets.experiments.promotions import gate_of
from quant_assets.lab import Lab
from quant_assets.storage.backtest_files import Evaluation
from quant_assets.storage.forecast_tables import ForecastTables
from quant_core.backtest.notes import benchmark_notes, delisting_notes, failure_notes, late_notes, trading_notes
from quant_core.backtest.simulate import Backtest
from quant_core.cleaning.coverage import suspect_warnings
from quant_core.errors import DataError
from quant_core.fitted import code_version
from quant_core.forecasting.scores import summaries
from quant_core.market.lists import list_warnings, sector_note
from quant_core.measures.known_days import known_days
from quant_core.measures.luck import Luck, histories
from quant_core.measures.overfitting import overfitting_by_family, overfitting_of
from quant_core.measures.significance import significance_table
from quant_core.report.config import ReportConfig
from quant_core.report.formats import listed
from quant_core.report.inputs import ReportInput, chosen_strategy, tested_span
from quant_core.report.notes import SIMULATED, coverage_notes, damage_warnings, lost_notes, trial_notes, unfinished

SEED = 7  # of the bootstrap


def report_input(
    lab: Lab, fold: str, found: Evaluation, config: ReportConfig, registered: Sequence[str],
    witness: trials.Witness | None = None, judged: ForecastTables | None = None,
    importance: pl.DataFrame | None = None,
) -> ReportInput:  # fmt: skip
    """What render_report needs, from the tables of one fold's backtest and the register of trials.

    Args:
        registered: names of the strategies that there are; a book's family is one of them.
        witness: what was noted of the register outside the data, to tell whether it is whole.
        judged: how good every model's forecasts were.
        importance: what the fold's models lean on.
    Raises:
        DataError: the configured strategy is not in the backtest.
    """
    result = found.backtest
    start, end = tested_span(result.daily)
    if start == end:
        raise DataError(
            f"backtest_report {fold}: the first decision is of {start}, the test's only session, and nothing was "
            "earned yet; run on with a later month (--to)."
        )
    register = trials.read(lab.root, lab.profile.name, witness)
    own = histories(result.daily, result.benchmark)
    tried, luck = register.until(end), trials.hurdle(register, own, end)
    gate = gate_of(lab, result, tried)
    compared = not known_days(result.benchmark).is_empty()
    damage, days = register_damage(register, own), result.benchmark["date"][1:]
    horizon = max((lab.defaults(f"forecaster_{name}").horizon_sessions for name in lab.forecasters), default=1)
    return ReportInput(
        title=f"{lab.profile.name}: out-of-sample backtest {start:%b %Y} to {end:%b %Y}{unfinished(fold, end)}",
        profile=lab.profile.name,
        strategy=chosen_strategy(result.daily, config.strategy),
        start=start,
        end=end,
        daily=result.daily,
        positions=result.positions,
        trades=result.trades,
        costs=result.costs,
        trips=result.trips,
        benchmark=result.benchmark,
        metrics=result.metrics,
        sensitivity=result.sensitivity,
        significance=significance_table(result.daily, result.benchmark, luck, seed=SEED),
        attribution=found.attribution,
        transfer=found.transfer,
        promotion=gate.candidates,
        promotion_leads=gate.leads,
        overfitting=overfitting_of(tried, days),
        overfitting_by_family=overfitting_by_family(tried, days, registered),
        register_damage=damage,
        quality=found.quality,
        decay=found.decay,
        quantiles=found.quantiles,
        quality_summary=summaries(found.quality, horizon) if found.quality.height else [],
        **({} if judged is None else {f.name: getattr(judged, f.name) for f in fields(judged)}),
        importance=importance,
        regimes=found.regimes,
        by_regime=found.by_regime,
        sectors=lab.sectors(),
        data_quality=found.defects,
        warnings=[
            *damage_warnings(damage),
            *failure_notes(result.failures),
            *late_notes(result.positions, result.daily),
            *list_warnings(lab.lists_known(end), lab.dividends_known_until(), end, has_benchmark=compared),
            *suspect_warnings(found.defects),
        ],
        notes=notes(lab, found, start, luck),
        provenance=provenance(lab, fold, result),
    )


def notes(lab: Lab, found: Evaluation, start: date, luck: Luck) -> list[str]:
    """What a reader must know before believing the numbers."""
    settings, result = lab.defaults("backtest"), found.backtest
    return [
        *([SIMULATED] if lab.profile.source["name"] == "simulated" else []),
        *trading_notes(settings),
        *benchmark_notes(result.benchmark),
        lab.universe().note(start),
        *sector_note(lab.lists()),
        *delisting_notes(result.trades, settings.delisting_haircut),
        *coverage_notes(found.coverage),
        *lost_notes(found.lost),
        *trial_notes(luck),
    ]


def register_damage(register: trials.Register, own: pl.DataFrame) -> str:
    """What was deleted from the register of trials or edited in it; "" where it is whole."""
    absent = trials.unregistered(register, own)["strategy"].unique().sort().to_list()
    told = [f"it lacks this backtest's own {listed(absent)}"] if absent else []
    return "; ".join([*register.problems, *told])


def provenance(lab: Lab, fold: str, result: Backtest) -> dict[str, str]:
    """Where the numbers come from; nothing in it changes between reruns of the same data."""
    digest = hashlib.sha256(result.daily.write_csv().encode()).hexdigest()
    return {
        "Profile": lab.profile.name,
        "Universe": lab.universe_name,
        "Source": str(lab.profile.source["name"]),
        "Folds": f"{lab.profile.first_fold} to {fold}, each trained on the {lab.profile.train_years} years before it",
        "Data months": f"{lab.profile.start} on",
        "Package version": code_version(),
        "Result hash": digest[:16],
    }
