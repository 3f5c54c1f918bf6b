"""The `quant` commands that bring the lab up to date: demo, run, refresh, restated; and where the report is."""

import os
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from quant_assets.commands.terminal import (
    FromOption,
    PathOption,
    ProfileOption,
    SetOption,
    SourceOption,
    ToOption,
    VerboseOption,
    chosen_profile,
    console,
    parse_settings,
    plain,
    say,
)
from quant_assets.instance.collector import collector_paused
from quant_core.errors import DataError

StagesOption = Annotated[
    str | None, typer.Option(help="Comma-separated assets to bring up to date (with what they need): e.g. features.")
]


def add_to(app: typer.Typer) -> None:
    """Make them commands of `quant`."""
    for command in (demo, run, refresh, restated, report):
        app.command()(command)


def demo(to: ToOption = None, set_: SetOption = None, verbose: VerboseOption = False) -> None:
    """Run the whole lab on a simulated market and print where the report is; needs no network."""
    _run("demo", None, None, None, to, set_, None, verbose)


def run(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, from_: FromOption = None,
    to: ToOption = None, set_: SetOption = None, stages: StagesOption = None, verbose: VerboseOption = False,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="DATE", help="Run again on the prices that were "
        "stored on that day (YYYY-MM-DD, or with THH:MM; IST), beside what there is.")] = None,
) -> None:  # fmt: skip
    """Bring months and folds up to date, upstream first, skipping what is current; prints the report's path last.

    Examples:

      quant run --profile nifty50 --from 2010-01 --to 2023-12

      quant run --profile nifty50 --source files --path prices/ --set target_weights.top_n=10

      quant run --stages features --to 2020-06

      quant run --profile nifty50 --as-of 2026-03-31
    """
    _run(profile, source, path, from_, to, set_, stages, verbose, as_of=as_of)


def refresh(
    profile: ProfileOption = "demo",
    source: SourceOption = None,
    path: PathOption = None,
    set_: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Fetch the newest sessions and bring the current month, its fold's backtest and the report up to date.

    What the daily schedule does at 18:30 IST; the month is fetched again even where it looks current.
    """
    _run(profile, source, path, None, None, set_, None, verbose, force_newest=True)


def restated(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, set_: SetOption = None,
    months: Annotated[int, typer.Option(min=1, max=600, help="How many of the newest closed months.")] = 12,
    take: Annotated[bool, typer.Option("--take", help="Store them and run everything that follows from them.")] = False,
) -> None:  # fmt: skip
    """Ask the source again for closed months: which of them does the vendor give otherwise than they are stored?

    Stores nothing without --take. The former versions stay: `quant run --as-of DATE` runs on them again.
    """
    from quant_assets.automation.vendor_check import told
    from quant_assets.lab import Lab

    overrides, entries = parse_settings(set_)
    lab = Lab(chosen_profile(profile, source, path, entries), source_settings=overrides.get("raw_ohlcv", {}))
    lines, differ = told(lab, months)
    for line in lines:
        console.print(plain(line), soft_wrap=True)
    if differ and take:
        _run(profile, source, path, None, None, set_, None, False, force=differ)
    elif differ:
        console.print(
            f"{len(differ)} months differ: `quant restated --profile {profile} --take` takes them over, or in the UI "
            f"raw_ohlcv, Materialize, {', '.join(differ)}, and what follows from it."
        )


def report(
    profile: ProfileOption = "demo", source: SourceOption = None,
    fold: Annotated[str | None, typer.Option(help="Fold (year); default: the newest that has a report.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:  # fmt: skip
    """Print the path of a stored report, or open it."""
    from quant_assets.lab import Lab

    lab = Lab(chosen_profile(profile, source, None))
    found = _report_path(lab, fold)
    if found is None:
        raise DataError(
            f"{lab.profile.name}: no report{f' of fold {fold}' if fold else ''} is stored under {lab.root}; "
            "make it with `quant run`."
        )
    if open_ and "://" in found:
        raise DataError(f"{found} is in an object store, which no browser opens; follow the report's link to MLflow.")
    if open_:
        webbrowser.open(Path(found).as_uri())
    print(found)


def _run(
    profile: str, source: str | None, path: Path | None, first: str | None, last: str | None, pairs: list[str] | None,
    stages: str | None, verbose: bool, force_newest: bool = False, force: Sequence[str] = (), as_of: str | None = None,
) -> None:  # fmt: skip
    started = time.monotonic()
    overrides, entries = parse_settings(pairs)
    from quant_assets.storage.paths import dagster_home

    chosen = chosen_profile(profile, source, path, entries)
    if as_of is not None:
        chosen = _as_known(chosen, overrides, as_of)
    home = dagster_home()
    console.print(f"[bold]{chosen.name}[/bold]  {plain(chosen.description)}", soft_wrap=True)
    with collector_paused():
        from quant_assets.commands.opening import open_runner
        from quant_assets.pages.data_seen import noted_before, summary

    with open_runner(chosen, overrides, home, verbose, say) as runner:
        months = runner.month_range(first, last)
        runner = runner.until(months[1])
        wanted = runner.wanted(
            *months, until=[name.strip() for name in stages.split(",")] if stages is not None else []
        )
        if as_of is not None:
            wanted.pop("raw_ohlcv", None)  # as it was known, never fetched
        _bring_up_to_date(runner, wanted, runner.newest_months() if force_newest else force)
        problems = runner.problems or noted_before(runner.lab, runner.instance, "raw_ohlcv")
    if told := summary("raw_ohlcv", problems):
        console.print(f"[yellow]{plain(told)}[/yellow]", soft_wrap=True)
    console.print(f"done in {time.monotonic() - started:.0f} s")
    _print_results(runner.lab, months[1], "backtest_report" in wanted)


def _as_known(profile: Any, overrides: dict[str, dict[str, Any]], text: str) -> Any:
    """The profile as it was known on a day; from here on this process works in the place of that day."""
    from quant_assets.commands.as_of import as_of, known_profile

    when = as_of(text)
    known = known_profile(profile, overrides.get("raw_ohlcv", {}), when)
    say(f"as of {when.text}: prices to {known.end} as they were stored; everything goes to {os.environ['QUANT_DATA']}")
    return known


def _bring_up_to_date(runner: Any, wanted: dict[str, list[str]], forced: Sequence[str]) -> None:
    from quant_assets.pages.data_seen import refuse_nothing

    columns = (SpinnerColumn(finished_text="[green]✓[/green]"), TextColumn("{task.description:<22}"), BarColumn(24),
               TextColumn("{task.fields[what]:<34}"), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console) as progress:
        for asset, partitions in wanted.items():
            stale = runner.stale(asset, partitions)
            if asset == "raw_ohlcv":
                stale = sorted({*stale, *forced} & set(partitions))
            current = len(partitions) - len(stale)
            what = f"{len(stale)} to do, {current} current" if stale else f"{current} current"
            task = progress.add_task(asset, total=len(stale) or 1, what=what)
            if not stale:
                progress.advance(task)
            for step in runner.steps(asset, stale):
                runner.execute(step)
                progress.advance(task, len(step.partitions))
            refuse_nothing(runner.lab, asset, partitions, runner.problems)


def _print_results(lab: Any, last: str, made: bool) -> None:
    found = _report_path(lab, None if not made else _newest_fold(lab, last)) if made else None
    if found is None:
        return
    from quant_assets.commands.listing import headline

    console.print(headline(lab, Path(found)))
    print(found)


def _newest_fold(lab: Any, last: str) -> str | None:
    from quant_assets.partitions import first_month

    folds = [fold for fold in _stored_folds(lab) if first_month(fold) <= last]
    return folds[-1] if folds else None


def _stored_folds(lab: Any) -> list[str]:
    from quant_assets.storage.partition_files import pointer_path

    key = lab.key("backtest_report")
    return [fold for fold in lab.partitions.folds.get_partition_keys() if pointer_path(lab.root, key, fold).exists()]


def _report_path(lab: Any, fold: str | None) -> str | None:
    from quant_assets.storage.partition_files import artifact_folder, local_path, pointer_path

    folds = _stored_folds(lab)
    chosen = fold if fold in folds else (folds[-1] if folds and fold is None else None)
    if chosen is None:
        return None
    found = artifact_folder(pointer_path(lab.root, lab.key("backtest_report"), chosen)) / "report.html"
    local = local_path(found)
    return str(found if local is None else local.resolve())
