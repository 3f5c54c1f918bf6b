"""What limits any result, in sentences above or below its figures: members, sessions, trials.

How a test was run is said in `backtest.notes`.
"""

from datetime import date

import polars as pl

from quant_core import folds
from quant_core.calendar import sessions
from quant_core.measures.luck import Luck
from quant_core.report.formats import plural

SIMULATED = (
    "SIMULATED MARKET: prices are drawn from a seeded model with a weak planted signal. Nothing here is evidence about "
    "NSE."
)
#: Lost sessions that a note names.
NAMED_SESSIONS = 12


def unfinished(fold: str, end: date) -> str:
    """What a title adds where the test ends before the fold does."""
    span = folds.fold(fold)
    last = sessions(span.test_start, span.test_end)[-1]
    return "" if end >= last else f" ({fold} unfinished: to {end})"


def coverage_notes(coverage: pl.DataFrame) -> list[str]:
    """Which members could not be held because they had no prices."""
    absent = coverage.filter(pl.col("sessions_priced") == 0)["ticker"].to_list()
    partly = coverage.filter(pl.col("sessions_priced") > 0)
    lost = int((partly["sessions_as_member"] - partly["sessions_priced"]).sum())
    found = [f"Members without any price: {', '.join(absent)}; no strategy could hold them."] if absent else []
    if lost:
        found.append(f"{partly.height} members lack {lost} of their sessions in all (suspensions and vendor gaps).")
    return found


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
