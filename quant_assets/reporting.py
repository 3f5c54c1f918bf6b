"""From a stored backtest to the report's input: the strategy shown in detail, what luck explains, and the notes that
keep it honest."""

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from quant_assets import trials
from quant_assets.lab import Lab
from quant_assets.lists import list_warnings, sector_note
from quant_assets.suspects import FLAGS, sentence
from quant_core.backtest.benchmark import estimated_days
from quant_core.backtest.simulate import Backtest
from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.fitted import code_version
from quant_core.forecasting.scores import summaries
from quant_core.measures.luck import Luck, histories
from quant_core.measures.overfitting import probability_of_backtest_overfitting
from quant_core.measures.significance import significance_table
from quant_core.report.formats import listed, plural
from quant_core.report.inputs import Overfit, ReportInput
from quant_core.report.settings import ReportConfig
from quant_core.schema import DELISTING, NO_SERIES

if TYPE_CHECKING:
    from quant_assets.assets.evaluation import Evaluation

PREFERRED = "top_n_"
CSCV_BLOCKS = 16
SEED = 7  # of the bootstrap
#: Lost sessions that a note names.
NAMED_SESSIONS = 12


def report_input(
    lab: Lab, fold: str, found: "Evaluation", config: ReportConfig, registered: Sequence[str],
    witness: trials.Witness | None = None,
) -> ReportInput:  # fmt: skip
    """What render_report needs, from the tables of one fold's backtest and the register of trials.

    Args:
        registered: names of the strategies that there are; a book's family is one of them.
        witness: what was noted of the register outside the data, to tell whether it is whole.
    Raises:
        DataError: the configured strategy is not in the backtest.
    """
    result = found.backtest
    start, end = tested_span(result)
    if start == end:
        raise DataError(
            f"backtest_report {fold}: the first decision is of {start}, the test's only session, and nothing was "
            "earned yet; run on with a later month (--to)."
        )
    register = trials.read(lab.root, lab.profile.name, witness)
    own = histories(result.daily, result.benchmark)
    tried, luck = register.until(end), trials.hurdle(register, own, end)
    damage = register_damage(register, own)
    horizon = max((lab.defaults(f"forecaster_{name}").horizon_sessions for name in lab.models), default=1)
    return ReportInput(
        title=f"{lab.profile.name}: out-of-sample backtest {start:%b %Y} to {end:%b %Y}{unfinished(fold, end)}",
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
        significance=significance_table(result.daily, result.benchmark, luck, seed=SEED),
        overfitting=overfitting(tried, result.benchmark["date"][1:]),
        overfitting_by_family=overfitting_by_family(tried, result.benchmark["date"][1:], registered),
        register_damage=damage,
        quality=found.quality,
        decay=found.decay,
        quantiles=found.quantiles,
        quality_summary=summaries(found.quality, horizon) if found.quality.height else [],
        sectors=lab.sectors(),
        data_quality=found.defects,
        warnings=[
            *damage_warnings(damage),
            *failure_notes(result),
            *list_warnings(lab, end),
            *suspect_warnings(found.defects),
        ],
        notes=[
            *notes(lab, result),
            *coverage_notes(found.coverage),
            *lost_notes(found.lost),
            *trial_notes(luck),
        ],
        provenance=provenance(lab, fold, result),
    )


def unfinished(fold: str, end: date) -> str:
    """What a title adds where the test ends before the fold's year does."""
    year = sessions(date(int(fold), 1, 1), date(int(fold), 12, 31))
    return "" if end >= year[-1] else f" ({fold} unfinished: to {end})"


def chosen_strategy(result: Backtest, config: ReportConfig) -> str:
    """The strategy of the config, else the first model's book, else the first by name."""
    strategies = result.daily["strategy"].unique().sort().to_list()
    if config.strategy and config.strategy not in strategies:
        raise DataError(
            f"backtest_report: strategy is {config.strategy!r}; the backtest has {', '.join(strategies)}; "
            "choose one of them, or leave it empty."
        )
    return config.strategy or next((name for name in strategies if name.startswith(PREFERRED)), strategies[0])


def overfitting(tried: pl.DataFrame, days: pl.Series) -> Overfit | None:
    """CSCV over the trials that cover every tested session; None where too few do, or for too short a test."""
    inside = tried.filter(pl.col("date").is_in(days.implode()))
    whole = inside.filter(pl.len().over("trial") == len(days)).sort("trial", "date")
    names = whole["trial"].unique(maintain_order=True).to_list()
    if len(names) < 2 or len(days) < 2 * CSCV_BLOCKS:
        return None
    excess = whole.select(pl.col("simple_return_1d") - pl.col("risk_free_return_1d")).to_series().to_numpy()
    found = probability_of_backtest_overfitting(np.reshape(excess, (len(names), -1)).T, CSCV_BLOCKS)
    return Overfit(found.pbo, found.logits.tolist(), found.n_splits, len(names))


def overfitting_by_family(tried: pl.DataFrame, days: pl.Series, registered: Sequence[str]) -> dict[str, Overfit]:
    """`overfitting` over the variants of each family of which at least two cover the whole test."""
    found = {}
    names = tried["strategy"].unique().sort().to_list()
    for name in sorted({family(strategy, registered) for strategy in names}):
        variants = tried.filter(pl.col("strategy").is_in([own for own in names if family(own, registered) == name]))
        one = overfitting(variants, days)
        if one is not None:
            found[name] = one
    return found


def family(strategy: str, registered: Sequence[str]) -> str:
    """The registered strategy whose variant this is: top_n for top_n_ridge; its own name where there is none."""
    known = [name for name in registered if strategy == name or strategy.startswith(f"{name}_")]
    return max(known, key=len, default=strategy)


def tested_span(result: Backtest) -> tuple[date, date]:
    """First and last session of the test."""
    days: list[date] = result.daily.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(
        0
    )  # type: ignore[assignment]
    return days[0], days[1]


def notes(lab: Lab, result: Backtest) -> list[str]:
    """What a reader must know before believing the numbers."""
    found = [
        *trading_notes(lab),
        *benchmark_notes(result.benchmark),
        *universe_notes(lab, result),
        *sector_note(lab),
        *delisting_notes(result, lab.defaults("backtest").delisting_haircut),
    ]
    if lab.profile.source["name"] == "simulated":
        found.insert(
            0,
            "SIMULATED MARKET: prices are drawn from a seeded model with a weak planted signal. "
            "Nothing here is evidence about NSE.",
        )
    return found


def benchmark_notes(benchmark: pl.DataFrame) -> list[str]:
    """Which indices it is made of, and which of its days are estimates."""
    guessed = estimated_days(benchmark)
    sure = benchmark.join(guessed, on="date", how="anti").filter(pl.col("series") != NO_SERIES)
    series = sure["series"].unique().sort().to_list()
    found = [
        f"Benchmark: {' and '.join(series) or 'none'}; "
        "a price index leaves out dividends (about 1.3 % a year for NIFTY 50)."
    ]
    if guessed.height:
        found.append(
            f"{guessed.height} benchmark days, the last {guessed['date'].max()!s}, are estimates: the price index's "
            "return and the trailing dividend yield until the total return is published, or 0 without any index row."
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


def lost_notes(lost: pl.DataFrame) -> list[str]:
    """Sessions that the data lost, by name."""
    days = lost["date"].sort().to_list()
    if not days:
        return []
    named = ", ".join(map(str, days[:NAMED_SESSIONS])) + (", ..." if len(days) > NAMED_SESSIONS else "")
    return [
        f"{len(days)} NSE sessions have no price of any member: {named}. Nothing was decided then, books were kept, "
        "and orders waited for the next session with prices."
    ]


def suspect_warnings(defects: pl.DataFrame) -> list[str]:
    """How many suspected corporate actions were applied, quarantined or kept; nothing where there were none."""
    found = dict(defects.select("defect", "n_rows").iter_rows())
    text = sentence({outcome: int(found.get(kind, 0)) for outcome, kind in FLAGS.items()})
    return [text] if text else []


def register_damage(register: trials.Register, own: pl.DataFrame) -> str:
    """What was deleted from the register of trials or edited in it; "" where it is whole."""
    absent = trials.unregistered(register, own)["strategy"].unique().sort().to_list()
    told = [f"it lacks this backtest's own {listed(absent)}"] if absent else []
    return "; ".join([*register.problems, *told])


def trial_notes(luck: Luck) -> list[str]:
    """What the number of trials counts."""
    shipped = luck.n_trials - luck.n_own_trials
    counted = (
        f"Trials: {plural(luck.n_trials, 'different return history', 'different return histories')} in this profile so "
        f"far, {plural(shipped, 'shipped baseline')} and {plural(luck.n_own_trials, 'own try', 'own tries')}, in "
        f"{plural(luck.n_clusters, 'cluster')} of variants of one bet. All of them raise the hurdle; reruns and longer "
        "runs of one count once. Tries that were never run here are not in it."
    )
    return [counted]


def damage_warnings(damage: str) -> list[str]:
    """What is missing from the register of trials, where it is not whole."""
    if not damage:
        return []
    return [
        f"REGISTER OF TRIALS DAMAGED: {damage}. What is lost goes on counting as far as it is known; the hurdle may be "
        "too low."
    ]


def universe_notes(lab: Lab, result: Backtest) -> list[str]:
    """Survivorship and completeness of the universe over the tested span."""
    chosen = lab.universe()
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
