"""From a stored backtest to the report's input: the strategy shown in detail, what luck explains, and the notes that
keep it honest."""

import hashlib
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from quant_assets import trials
from quant_assets.lab import Lab
from quant_core.artifacts import code_version
from quant_core.backtest.simulate import Backtest
from quant_core.errors import DataError
from quant_core.forecasting.scores import summaries
from quant_core.market.universe import universe
from quant_core.report.inputs import Overfitting, ReportInput
from quant_core.report.settings import ReportConfig
from quant_core.schema import DELISTING
from quant_core.trading.overfitting import probability_of_backtest_overfitting
from quant_core.trading.significance import significance_table

if TYPE_CHECKING:
    from quant_assets.assets.evaluation import Evaluation

PREFERRED = "top_n_"
CSCV_BLOCKS = 16
SEED = 7  # of the bootstrap
MISSING_SESSION = "session_without_prices"


def report_input(lab: Lab, fold: str, found: "Evaluation", config: ReportConfig) -> ReportInput:
    """What render_report needs, from the tables of one fold's backtest and the register of trials.

    Raises:
        DataError: the configured strategy is not in the backtest.
    """
    result = found.backtest
    start, end = tested_span(result)
    tried = trials.load(lab.root, lab.profile.name, end)
    horizon = lab.defaults("training_window").horizon_sessions
    return ReportInput(
        title=f"{lab.profile.name}: out-of-sample backtest {start:%b %Y} to {end:%b %Y}",
        profile=lab.profile.name,
        strategy=chosen_strategy(result, config),
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
        significance=significance_table(result.daily, result.benchmark, trials.sharpes(tried), seed=SEED),
        overfitting=overfitting(tried, result.benchmark["date"][1:]),
        quality=found.quality,
        decay=found.decay,
        quantiles=found.quantiles,
        quality_summary=summaries(found.quality, horizon) if found.quality.height else [],
        sectors=lab.sectors(),
        data_quality=found.defects,
        notes=[
            *notes(lab, result),
            *coverage_notes(found.coverage),
            *defect_notes(found.defects),
            *trial_notes(tried),
        ],
        provenance=provenance(lab, fold, result),
    )


def chosen_strategy(result: Backtest, config: ReportConfig) -> str:
    """The strategy of the config, else the first model's book, else the first by name."""
    strategies = result.daily["strategy"].unique().sort().to_list()
    if config.strategy and config.strategy not in strategies:
        raise DataError(
            f"backtest_report: strategy is {config.strategy!r}; the backtest has {', '.join(strategies)}; "
            "choose one of them, or leave it empty."
        )
    return config.strategy or next((name for name in strategies if name.startswith(PREFERRED)), strategies[0])


def overfitting(tried: pl.DataFrame, sessions: pl.Series) -> Overfitting | None:
    """CSCV over the trials that cover every tested session; None where too few do, or for too short a test."""
    inside = tried.filter(pl.col("date").is_in(sessions.implode()))
    whole = inside.filter(pl.len().over("trial") == len(sessions)).sort("trial", "date")
    names = whole["trial"].unique(maintain_order=True).to_list()
    if len(names) < 2 or len(sessions) < 2 * CSCV_BLOCKS:
        return None
    excess = whole.select(pl.col("simple_return_1d") - pl.col("risk_free_return_1d")).to_series().to_numpy()
    found = probability_of_backtest_overfitting(np.reshape(excess, (len(names), -1)).T, CSCV_BLOCKS)
    return Overfitting(found.pbo, found.logits.tolist(), found.n_splits, len(names))


def tested_span(result: Backtest) -> tuple[date, date]:
    """First and last session of the test."""
    days: list[date] = result.daily.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(
        0
    )  # type: ignore[assignment]
    return days[0], days[1]


def notes(lab: Lab, result: Backtest) -> list[str]:
    """What a reader must know before believing the numbers."""
    series = result.benchmark.filter(pl.col("series") != "none")["series"].unique().sort().to_list()
    found = [
        *trading_notes(lab),
        f"Benchmark: {' and '.join(series) or 'none'}; "
        "a price index leaves out dividends (about 1.3 % a year for NIFTY 50).",
        *universe_notes(lab, result),
        *delisting_notes(result, lab.defaults("backtest").delisting_haircut),
        *failure_notes(result),
    ]
    if lab.profile.source["name"] == "simulated":
        found.insert(
            0,
            "SIMULATED MARKET: prices are drawn from a seeded model with a weak planted signal. "
            "Nothing here is evidence about NSE.",
        )
    return found


def trading_notes(lab: Lab) -> list[str]:
    """How decisions became trades, and what cash earned. A run's own overrides are in its configuration."""
    settings = lab.defaults("backtest")
    charges = {
        "flat": f"each side pays {settings.commission_bps:g} bps of commission",
        "nse_delivery": "trades pay NSE's delivery charges of their day (STT, stamp duty, exchange, SEBI, GST, DP; "
        f"docs/costs.md) and {settings.commission_bps:g} bps of brokerage",
    }[settings.cost_model]
    impact = "no impact of their own size"
    if settings.impact_coefficient > 0.0:
        impact = f"square-root impact with coefficient {settings.impact_coefficient:g}"
    delay = "the next session" if settings.delay_sessions == 1 else f"session {settings.delay_sessions} after"
    rate = settings.risk_free_rate_ann
    cash = "the RBI policy repo rate of the day" if rate is None else f"a constant {rate:.1%} a year"
    return [
        f"Decisions at the close are filled at the {settings.fill} of {delay}; {charges}, "
        f"{settings.slippage_bps + settings.spread_bps:g} bps of slippage and spread, and {impact}. An index is "
        "traded as a fund without a fee would be.",
        f"Cash earns, and ratios subtract, {cash}. Dividends are "
        + {"cash": "paid into cash.", "reinvest": "left in the name that paid them."}[settings.dividends],
    ]


def delisting_notes(result: Backtest, haircut: float) -> list[str]:
    """Names that were held when they stopped trading, by terms or at the default haircut, and what the latter is."""
    ended = result.trades.filter(pl.col("side") == DELISTING)
    unsaid = ended.filter(pl.col("cost_inr") > 0.0)["ticker"].unique().sort().to_list()
    known = ended.filter(pl.col("cost_inr") <= 0.0)["ticker"].unique().sort().to_list()
    found = [
        f"A position that stops trading without known terms is paid out {haircut:.0%} below its last value "
        f"({', '.join(unsaid) if unsaid else 'none was'}); the result with nothing and with everything lost is under "
        "robustness."
    ]
    return [*found, f"Ended by merger, cash or write-off as listed: {', '.join(known)}."] if known else found


def failure_notes(result: Backtest) -> list[str]:
    """Strategies that could not decide on some dates, and kept their books."""
    by_strategy = result.failures.group_by("strategy").agg(pl.len(), pl.col("date").min().alias("first"),
                                                           pl.col("date").max().alias("last"))  # fmt: skip
    return [
        f"FAILED: {name} could not decide on {n} {'date' if n == 1 else 'dates'} from {first} to {last} and kept its "
        "book then; the check strategies_decided of target_weights has the reasons."
        for name, n, first, last in by_strategy.sort("strategy").iter_rows()
    ]


def defect_notes(defects: pl.DataFrame) -> list[str]:
    """Suspected corporate actions and lost sessions, where there are any."""
    count = dict(defects.select("defect", "n_rows").iter_rows())
    found = []
    if count.get(MISSING_SESSION):
        found.append(f"{count[MISSING_SESSION]} NSE sessions have no price at all; nothing was decided or filled then.")
    if count.get("suspected_action"):
        found.append(
            f"{count['suspected_action']} price jumps look like unlisted splits or bonuses (suspected_action below); "
            "they are in the returns unless clean_prices.suspected_actions is 'apply'."
        )
    return found


def trial_notes(tried: pl.DataFrame) -> list[str]:
    """What the number of trials counts."""
    n = tried["trial"].n_unique()
    return [
        f"Trials: {n} different return histories have been tried in this profile so far, baselines included; reruns "
        "and longer runs of one count once. Tries that were never run here are not in it."
    ]


def universe_notes(lab: Lab, result: Backtest) -> list[str]:
    """Survivorship and completeness of the universe over the tested span."""
    chosen = universe(lab.profile.universe)
    start, _ = tested_span(result)
    if chosen.survivors_only:
        return [
            f"SURVIVORSHIP BIAS: {chosen.description}. Names that failed or were dropped are missing; "
            "returns are overstated."
        ]
    if chosen.complete_from is None:
        return [f"Universe: {chosen.description}."]
    if start < chosen.complete_from:
        return [
            f"SURVIVORSHIP BIAS before {chosen.complete_from}: {chosen.description}, complete only from that day on."
        ]
    return [f"Universe: {chosen.description}, complete from {chosen.complete_from}."]


def coverage_notes(coverage: pl.DataFrame) -> list[str]:
    """Which members could not be held because they had no prices."""
    absent = coverage.filter(pl.col("sessions_priced") == 0)["ticker"].to_list()
    partly = coverage.filter(pl.col("sessions_priced") > 0)
    lost = int((partly["sessions_as_member"] - partly["sessions_priced"]).sum())
    found = [f"Members without any price: {', '.join(absent)}; no strategy could hold them."] if absent else []
    if lost:
        found.append(f"{partly.height} members lack {lost} of their sessions in all (suspensions and vendor gaps).")
    return found


def provenance(lab: Lab, fold: str, result: Backtest) -> dict[str, str]:
    """Where the numbers come from; nothing in it changes between reruns of the same data."""
    digest = hashlib.sha256(result.daily.write_csv().encode()).hexdigest()
    return {
        "Profile": lab.profile.name,
        "Universe": lab.profile.universe,
        "Source": str(lab.profile.source["name"]),
        "Folds": f"{lab.profile.first_fold} to {fold}, each trained on the {lab.profile.train_years} years before it",
        "Data months": f"{lab.profile.start} on",
        "Package version": code_version(),
        "Result hash": digest[:16],
    }
