"""`quant sweep`, `leaderboard`, `promote` and `demote`: trials run one after another, ranked, and taken over.

A sweep adds its keys as dynamic partitions, where the UI shows them and can run them as well, and runs those that are
not current. What is stored is whole: a sweep that was killed goes on with the first trial that is not, and in it with
the first fold whose fit is not kept. A trial that fails is recorded and the next one begins.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from quant_assets.asset_names import LEADERBOARD, TRIAL
from quant_assets.commands.runner import RunFailed, Runner, Step
from quant_assets.commands.terminal import plain
from quant_assets.currency.fingerprints import stored_stamp
from quant_assets.experiments.promoted import Promoted, demote, promote, write_promoted
from quant_assets.experiments.trial_board import finished_trials, settings_of
from quant_assets.experiments.trial_keys import OPTUNA, entries_of, grid_keys, spelling, variant_of
from quant_assets.experiments.trial_work import drop_kept_fits, tested_folds
from quant_assets.lab import Lab
from quant_assets.storage.io_manager import NEWEST
from quant_assets.storage.partition_files import artifact_folder, local_path, pointer_path, read_artifact
from quant_assets.storage.table_files import read_table
from quant_core.errors import DataError, QuantError
from quant_core.report.formats import write
from quant_core.schema import PROMOTED

PAGE = "leaderboard.html"
#: What a terminal shows of the leaderboard.
SHOWN = {
    "rank": "#", "trial": "trial", "deflated_sharpe": "deflated", "sharpe_ann": "Sharpe", "cagr": "CAGR",
    "max_drawdown": "drawdown", "mean_rank_ic": "rank IC", "status": "gate",
}  # fmt: skip
SEARCHES = (OPTUNA,)
#: What Dagster makes of Ctrl-C and SIGTERM inside a step.
INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__
Tell = Callable[[str], None]


@dataclass
class Swept:
    """What became of a sweep's trials."""

    done: list[str] = field(default_factory=list)
    current: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def refuse_settings(overrides: dict[str, dict[str, Any]]) -> None:
    """A trial's settings stand in its key, and the rest are the profile's: `--set` may change the profile alone.

    Raises:
        DataError: names a setting of an asset.
    """
    named = [f"{asset}.{name}" for asset, values in overrides.items() if asset != "raw_ohlcv" for name in values]
    if named:
        raise DataError(
            f"--set {named[0]}: a trial has no such setting; write it as a word of the sweep, e.g. top_n=5,10, or put "
            "it into the profile's presets."
        )


def wanted_keys(lab: Lab, words: Sequence[str], search: str | None, tries: int | None) -> list[str]:
    """Checked keys of a grid.

    Args:
        search: "optuna", or None for none.
        tries: settings that it tries a fold.
    Raises:
        DataError: a combination that is no trial.
    """
    if search is not None and search not in SEARCHES:
        raise DataError(f"--search {search}: unknown; wanted {', '.join(SEARCHES)}.")
    if (search is None) != (tries is None):
        raise DataError("--search and --trials go together, e.g. --search optuna --trials 20.")
    keys = grid_keys(words)
    if search is not None:
        keys = [spelling({**entries_of(key), search: str(tries)}) for key in keys]
    return [variant_of(lab, key).key for key in keys]


def sweep(runner: Runner, keys: Sequence[str], add_only: bool, tell: Tell) -> Swept:
    """Add trials and run those that are not current; without keys those that were added before and never finished.

    Raises:
        DataError: what trials read is not stored.
    """
    lab, instance = runner.lab, runner.instance
    name = str(lab.partitions.trials.name)
    known = instance.get_dynamic_partitions(name)
    fresh = [key for key in keys if key not in set(known)]
    chosen = list(keys) or list(known)  # in the order in which they were added, as tries count in order
    found = Swept()
    if chosen and not add_only:
        tested_folds(lab)
    instance.add_dynamic_partitions(name, fresh)
    tell(f"{len(chosen)} trials, {len(fresh)} of them new")
    if add_only or not chosen:
        return found
    stale = set(_stale(runner, chosen))
    found.current = [key for key in chosen if key not in stale]
    for place, key in enumerate(chosen, 1):
        where = f"{place}/{len(chosen)} {key}"
        if key not in stale:
            tell(f"{where}: current")
            continue
        begun = time.monotonic()
        try:
            variant_of(lab, key)
            runner.execute(Step(TRIAL, (key,)))
        except QuantError as error:
            if INTERRUPTED in str(error):
                raise RunFailed(f"sweep: interrupted at trial {key}; run `quant sweep` to go on with it.") from error
            found.failed[key] = str(error)
            tell(f"{where}: failed: {error}")
            continue
        found.done.append(key)
        tell(f"{where}: Sharpe ratio {_sharpe(lab, key)}, {time.monotonic() - begun:.0f} s")
    if not found.failed and not instance.get_runs_count(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        drop_kept_fits(lab)
    return found


def _stale(runner: Runner, keys: Sequence[str]) -> list[str]:
    """Keys whose trial is not stored, or was made from something else; a key that is no trial stays to be refused."""
    found = []
    for key in keys:
        try:
            found += runner.stale(TRIAL, [key])
        except QuantError:
            found.append(key)
    return found


def _sharpe(lab: Lab, key: str) -> str:
    measured = read_table(read_artifact(pointer_path(lab.root, lab.key(TRIAL), key)), "measured")
    return write("sharpe_ann", measured["sharpe_ann"][0] if "sharpe_ann" in measured.columns else None)


def make_leaderboard(runner: Runner) -> None:
    """Rank what is finished now."""
    try:
        runner.execute(Step(LEADERBOARD, ()))
    except RunFailed as error:
        raise DataError(f"leaderboard: {error}") from error


def stored_leaderboard(lab: Lab) -> dict[str, bytes]:
    """The newest leaderboard's files.

    Raises:
        DataError: there is none.
    """
    pointer = pointer_path(lab.root, lab.key(LEADERBOARD), NEWEST)
    if stored_stamp(lab.root, lab.key(LEADERBOARD), NEWEST) is None:
        raise DataError(f"{lab.profile.name}: no leaderboard is stored; run `quant sweep forecaster=ridge` first.")
    return read_artifact(pointer)


def page_path(lab: Lab) -> str:
    """Where the newest leaderboard's page is."""
    found = artifact_folder(pointer_path(lab.root, lab.key(LEADERBOARD), NEWEST)) / PAGE
    local = local_path(found)
    return str(found if local is None else local.resolve())


def board_table(files: dict[str, bytes]) -> list[Any]:
    """The ranking as a table for a terminal, and a line on what was tried."""
    from rich.table import Table

    ranked, summary = read_table(files, "leaderboard"), read_table(files, "summary").row(0, named=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, label in SHOWN.items():
        table.add_column(label, justify="left" if name in ("trial", "status") else "right", overflow="fold")
    for row in ranked.select(list(SHOWN)).iter_rows(named=True):
        table.add_row(*(plain(write(name, row[name])) for name in SHOWN))
    pbo = "unknown" if summary["pbo"] is None else f"{summary['pbo']:.2f}"
    said = (
        f"{summary['n_trials']} trials in {summary['n_clusters']} clusters, {summary['n_failed']} failed; probability "
        f"of overfitting {pbo}; {summary['n_registered']} histories registered"
    )
    return [table, said]


def as_json(lab: Lab, files: dict[str, bytes]) -> str:
    """The leaderboard for programs: ranking, summary, failures, and what is promoted."""
    import json

    tables = {name: read_table(files, name).to_dicts() for name in ("leaderboard", "summary", "failed")}
    return json.dumps({**tables, "promoted": lab.promoted.trial or None}, indent=1)


def promote_trial(lab: Lab, key: str, despite_gate: bool) -> Promoted:
    """Take a trial's settings over: the alias first, then the copy that runs read.

    Raises:
        DataError: it is promoted already, not finished or not ranked, the gate did not pass it, or the profile has no
            such forecaster or book.
    """
    if lab.promoted.trial == key:
        raise DataError(f"promote {key}: it is promoted already, as version {lab.promoted.version}.")
    files = finished_trials(lab, [key]).get(key)
    if files is None:
        raise DataError(f"promote {key}: no such trial is finished; see `quant leaderboard`, or run `quant sweep`.")
    ranked = read_table(stored_leaderboard(lab), "leaderboard").filter(pl.col("trial") == key)
    if ranked.is_empty():
        raise DataError(f"promote {key}: the leaderboard does not have it yet; run `quant leaderboard` first.")
    row = ranked.row(0, named=True)
    if row["status"] != PROMOTED and not despite_gate:
        raise DataError(
            f"promote {key}: the promotion gate says {row['status']!r}: {row['reasons']}; add --despite-gate to "
            "take it over all the same."
        )
    variant, told = variant_of(lab, key), settings_of(files)
    if variant.model not in lab.models:
        raise DataError(
            f"promote {key}: profile {lab.profile.name} has forecasters {list(lab.models)}; add {variant.model} to its "
            "models first."
        )
    books = lab.defaults("target_weights").strategies
    if books is not None and variant.book not in books:
        raise DataError(f"promote {key}: profile {lab.profile.name} has books {list(books)}; add {variant.book} first.")
    settings = {asset: dict(values) for asset, values in variant.changed.items() if values}
    settings[f"forecaster_{variant.model}"] = told["forecaster_changed"]
    stamp = stored_stamp(lab.root, lab.key(TRIAL), key)
    wanted = Promoted(key, {k: v for k, v in settings.items() if v}, str(told["strategy"]))
    made = promote(lab.profile.name, wanted, stamp.content_hash if stamp else "", lab.promoted)
    write_promoted(lab.root, lab.profile.name, made)
    return made


def demote_trial(lab: Lab) -> Promoted:
    """Go back to what was promoted before, or to the profile's own settings.

    Raises:
        DataError: nothing is promoted.
    """
    if not lab.promoted.trial:
        raise DataError(f"demote: nothing is promoted in profile {lab.profile.name}.")
    before = demote(lab.profile.name, lab.promoted)
    write_promoted(lab.root, lab.profile.name, before)
    return before
