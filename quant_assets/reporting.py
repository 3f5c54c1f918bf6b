"""From a stored backtest to the report's input: the strategy shown in detail, and the notes that keep it honest."""

import hashlib
from datetime import date

import polars as pl

from quant_assets.lab import Lab
from quant_core.artifacts import code_version
from quant_core.backtest.simulate import Backtest
from quant_core.forecasting.scores import summaries
from quant_core.market.universe import universe
from quant_core.report.render import ReportInput

BENCHMARK = "benchmark"
PREFERRED = "top_n_"


def report_input(lab: Lab, fold: str, result: Backtest, coverage: pl.DataFrame) -> ReportInput:
    """What render_report needs, from the tables of one fold's backtest."""
    start, end = tested_span(result)
    strategies = result.daily["strategy"].unique().sort().to_list()
    chosen = next((name for name in strategies if name.startswith(PREFERRED)), strategies[0])
    horizon = lab.defaults("training_window").horizon_sessions
    return ReportInput(
        title=f"{lab.profile.name}: out-of-sample backtest {start:%b %Y} to {end:%b %Y}",
        profile=lab.profile.name,
        strategy=chosen,
        start=start,
        end=end,
        daily=result.daily,
        positions=result.positions,
        benchmark=result.benchmark,
        metrics=result.metrics,
        quality=result.quality,
        quality_summary=summaries(result.quality, horizon) if result.quality.height else [],
        notes=[*notes(lab, result), *coverage_notes(coverage)],
        provenance=provenance(lab, fold, result),
        risk_free_rate_ann=lab.defaults("backtest").risk_free_rate_ann,
    )


def tested_span(result: Backtest) -> tuple[date, date]:
    """First and last session of the test."""
    days: list[date] = result.daily.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(
        0
    )  # type: ignore[assignment]
    return days[0], days[1]


def notes(lab: Lab, result: Backtest) -> list[str]:
    """What a reader must know before believing the numbers."""
    settings = lab.defaults("backtest")
    series = result.benchmark.filter(pl.col("series") != "")["series"].unique().sort().to_list()
    found = [
        f"Decisions at the close are filled at the next session's {settings.fill}; each side pays "
        f"{settings.commission_bps + settings.slippage_bps + settings.spread_bps:g} bps of traded value "
        f"(commission {settings.commission_bps:g}, slippage {settings.slippage_bps:g}, "
        f"spread {settings.spread_bps:g}).",
        f"Cash earns, and ratios subtract, a constant {settings.risk_free_rate_ann:.1%} a year.",
        f"Benchmark: {' and '.join(series) or 'none'}; "
        "a price index leaves out dividends (about 1.3 % a year for NIFTY 50).",
        *universe_notes(lab, result),
    ]
    if lab.profile.source["name"] == "simulated":
        found.insert(
            0,
            "SIMULATED MARKET: prices are drawn from a seeded model with a weak planted signal. "
            "Nothing here is evidence about NSE.",
        )
    return found


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
