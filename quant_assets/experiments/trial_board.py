"""From what finished trials stored, the register of trials and the newest backtest to the leaderboard."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from quant_assets.asset_names import TRIAL
from quant_assets.experiments import trials
from quant_assets.experiments.trial_keys import OPTUNA, entries_of
from quant_assets.experiments.trial_records import is_finished, is_named
from quant_assets.lab import Lab
from quant_assets.storage.partition_files import pointer_path, read_artifact
from quant_assets.storage.table_files import read_table
from quant_core.allocation import STRATEGIES
from quant_core.allocation.book_settings import n_untaken
from quant_core.backtest.leaderboard import SHOWN, Board, board
from quant_core.fitted import code_version
from quant_core.measures.luck import Luck, histories, luck_of
from quant_core.measures.overfitting import family
from quant_core.report.notes import SIMULATED
from quant_core.schema import RIVALS, BacktestDaily, BenchmarkReturns, StressedReturns

SEED = 7  # of the gate's bootstrap
SETTINGS_FILE = "settings.json"
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Tables:
    """Trials below one another: BacktestDaily named by key, and BenchmarkReturns; what is wrong with the register."""

    daily: pl.DataFrame
    benchmark: pl.DataFrame
    problems: tuple[str, ...] = ()


def finished_trials(lab: Lab, keys: Sequence[str]) -> dict[str, Files]:
    """Key -> files of every trial of `keys` that is stored whole."""
    stored = [key for key in keys if is_named(key) and is_finished(lab, key)]
    return {key: read_artifact(pointer_path(lab.root, lab.key(TRIAL), key)) for key in sorted(stored)}


def settings_of(files: Files) -> dict[str, Any]:
    """What a trial ran with."""
    found: dict[str, Any] = json.loads(files[SETTINGS_FILE])
    return found


def ranked_trials(
    lab: Lab, found: Mapping[str, Files], failed: Mapping[str, str], witness: trials.Witness | None
) -> tuple[Board, Tables]:
    """The leaderboard, and the histories behind it.

    Args:
        found: as `finished_trials` gives them.
        failed: trial -> why.
        witness: what was noted of the register outside the data.
    """
    tables = _side_by_side(found)
    if not found:
        none = StressedReturns.create_empty()
        return board(tables.daily, tables.benchmark, none, pl.DataFrame(), None, {}, failed, SEED), tables
    stressed = pl.concat(
        [*(_named(read_table(dict(files), "stressed"), key) for key, files in found.items()), rivals(lab)]
    )
    measured = pl.concat([read_table(dict(files), "measured") for files in found.values()], how="diagonal_relaxed")
    absent = [pl.lit(None, pl.Float64).alias(name) for name in SHOWN if name not in measured.columns]
    register = trials.read(lab.root, lab.profile.name, witness)
    tried = _tried(register, found, tables)
    luck = luck_of(tried, register.n_lost, register.luck)
    own = own_luck(lab, found, tried)
    made = board(tables.daily, tables.benchmark, stressed, measured.with_columns(absent), luck, own, failed, SEED)
    return made, Tables(tables.daily, tables.benchmark, register.problems)


def rivals(lab: Lab) -> pl.DataFrame:
    """StressedReturns of the books that a candidate must beat, from the newest stored backtest; none without one."""
    folds = lab.partitions.folds.get_partition_keys()
    pointers = [pointer_path(lab.root, lab.key("backtest"), fold) for fold in folds]
    stored = [pointer for pointer in pointers if pointer.exists()]
    if not stored:
        return StressedReturns.create_empty()
    table = read_table(read_artifact(stored[-1]), "stressed")
    return table.filter(pl.col("strategy").is_in(list(RIVALS)))


def own_luck(lab: Lab, found: Mapping[str, Files], tried: pl.DataFrame) -> dict[str, Luck]:
    """Trial -> the hurdle of the tries of its kind of book: histories, and settings tried on validation slices.

    A search inside fit windows tries so many settings a fold, of which one is taken.
    """
    registered, limits = list(STRATEGIES), lab.defaults("target_weights")
    kinds = {key: family(str(settings_of(files)["strategy"]), registered) for key, files in found.items()}
    of_book = {name: family(name, registered) for name in tried["strategy"].unique()}
    by_kind = {}
    for kind in sorted(set(kinds.values())):
        searched = sum(int(entries_of(key).get(OPTUNA, "0")) for key, own in kinds.items() if own == kind)
        rows = tried.filter(pl.col("strategy").replace_strict(of_book) == kind)
        by_kind[kind] = luck_of(rows, n_untaken(kind, limits) + searched)
    return {key: by_kind[kind] for key, kind in kinds.items()}


def page_input(lab: Lab, made: Board, tables: Tables) -> Any:
    """What render_leaderboard needs."""
    from quant_core.report.leaderboard_page import LeaderboardInput

    days = tables.benchmark["date"] if tables.benchmark.height else pl.Series([lab_start(lab)])
    digest = hashlib.sha256(made.ranked.write_csv().encode()).hexdigest()
    damage = [f"The register of trials was edited: {'; '.join(tables.problems)}."] if tables.problems else []
    return LeaderboardInput(
        title=f"{lab.profile.name}: {made.ranked.height} trials out of sample", profile=lab.profile.name,
        start=days.min(), end=days.max(), daily=tables.daily, benchmark=tables.benchmark,  # type: ignore[arg-type]
        ranked=made.ranked, summary=made.summary, failed=made.failed, promoted=lab.promoted.trial,
        warnings=[*damage, *([SIMULATED] if lab.profile.source["name"] == "simulated" else [])],
        provenance={
            "Profile": lab.profile.name, "Universe": lab.universe_name, "Source": str(lab.profile.source["name"]),
            "Package version": code_version(), "Result hash": digest[:16],
        },
    )  # fmt: skip


def lab_start(lab: Lab) -> Any:
    """First day of the first fold."""
    from datetime import date

    return date(lab.profile.first_fold, 1, 1)


def _side_by_side(found: Mapping[str, Files]) -> Tables:
    daily = [_named(read_table(dict(files), "daily"), key) for key, files in found.items()]
    indices = [read_table(dict(files), "benchmark") for files in found.values()]
    # Where a test begins nothing is earned; of two that begin on different days the earlier knows the day.
    first = sorted(range(len(indices)), key=lambda k: (indices[k]["date"].min(), k))
    both = pl.concat([BenchmarkReturns.create_empty(), *(indices[k] for k in first)])
    benchmark = both.unique("date", keep="first", maintain_order=True).sort("date")
    return Tables(pl.concat([BacktestDaily.create_empty(), *daily]).sort("date", "strategy"), benchmark)


def _named(table: pl.DataFrame, key: str) -> pl.DataFrame:
    return table.with_columns(strategy=pl.lit(key))


def _tried(register: trials.Register, found: Mapping[str, Files], tables: Tables) -> pl.DataFrame:
    """Every history of the register, and those of trials that it should hold and does not."""
    parts = [register.rows]
    for key, files in found.items():
        own = histories(tables.daily.filter(pl.col("strategy") == key), tables.benchmark)
        book = own.with_columns(strategy=pl.lit(settings_of(files)["strategy"]))
        parts.append(trials.unregistered(register, book).with_columns(trial=pl.lit(key)))
    return pl.concat(parts)
