"""The `quant` command: everything that the web UI does, from a terminal."""

import os
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from quant_assets.commands import upkeep_commands
from quant_assets.commands.actions_command import actions_app
from quant_assets.commands.experiments_cli import add_commands
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
    refused,
    say,
)
from quant_assets.instance.collector import collector_paused
from quant_assets.instance.env_file import read_env_file
from quant_core.errors import DataError, QuantError

app = typer.Typer(
    help="AI Quant Research Lab: Indian equities from raw prices to an out-of-sample report.\n\n"
    "Start with [bold]quant demo[/bold]; then [bold]quant doctor[/bold] and "
    "[bold]quant run --profile nifty50 --source files --path DIR[/bold].\n\n"
    "Tables and artifacts live in QUANT_DATA (default: data/), "
    "Dagster's own records in DAGSTER_HOME (default: dagster_home/). QUANT_LOG_LEVEL (debug, info, warning, error) and "
    "QUANT_LOG_FORMAT (text, json) say what is logged to stderr, and how.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)
#: What to do about a place that the system refuses, and how SQLite says that it does.
PLACE_REMEDY = "give a place that can be read and written, free space on it, or see `quant doctor`."
DISK_REASONS = ("database or disk is full", "attempt to write a readonly database", "disk I/O error")
#: What typer raises for options and arguments that a command does not have or cannot take.
USAGE_ERROR: Any = typer.BadParameter.__base__
app.add_typer(actions_app, name="actions")
add_commands(app)
upkeep_commands.add_to(app)
StagesOption = Annotated[
    str | None, typer.Option(help="Comma-separated assets to bring up to date (with what they need): e.g. features.")
]
MlflowPortOption = Annotated[
    int | None, typer.Option(help="Port of MLflow's UI on 127.0.0.1; default: QUANT_MLFLOW_PORT, else 5000.")
]


def main() -> None:
    """Entry point: what a person can mend is one line on stderr; docs/operations.md has the exit codes."""
    try:
        read_env_file()
        code = app(prog_name="quant", standalone_mode=False) or 0
    except QuantError as error:
        code = refused(str(error))
    except USAGE_ERROR as error:
        code = 2 if type(error).__name__ == "NoArgsIsHelpError" else refused(in_usage(error), 2)  # it has shown help
    except OSError as error:
        what = error.strerror or str(error)
        where = f"{error.filename}: " if error.filename else ""
        code = refused(f"{where}{what}; {PLACE_REMEDY}")
    except Exception as error:
        if not (what := refused_by_database(error)):
            raise
        code = refused(f"{what}; {PLACE_REMEDY}")
    sys.exit(code)


def refused_by_database(error: BaseException) -> str:
    """What a database on a full or read-only disk says; "" for any other error."""
    reason = str(getattr(error, "orig", error))
    return f"{os.environ.get('DAGSTER_HOME', '')}: {reason}" if reason in DISK_REASONS else ""


def in_usage(error: Any) -> str:
    """A mistake in a command's options, with where to read about them."""
    command = error.ctx.command_path if error.ctx else "quant"
    return f"{command}: {error.format_message().rstrip('.')}; see `{command} --help`."


@app.command()
def demo(to: ToOption = None, set_: SetOption = None, verbose: VerboseOption = False) -> None:
    """Run the whole lab on a simulated market and print where the report is; needs no network."""
    _run("demo", None, None, None, to, set_, None, verbose)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def validate(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, from_: FromOption = None,
    to: ToOption = None,
    signals: Annotated[int, typer.Option(help="Random signals of each kind.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 0,
) -> None:  # fmt: skip
    """Test the machine on random signals over the stored clean prices: nothing may be found, a planted signal must be.

    Needs `quant run --stages clean_prices` (or a whole run) first. See docs/validation.md.
    """
    from quant_assets.commands.validate_command import validate_profile

    print(validate_profile(chosen_profile(profile, source, path), from_, to, signals, seed))


@app.command()
def compare(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None,
    models: Annotated[str | None, typer.Option(help="Names divided by commas; default: all.")] = None,
    fold: Annotated[str | None, typer.Option(help="Fold (year); default: the newest that is stored.")] = None,
    csv: Annotated[Path | None, typer.Option(help="File for every figure; a terminal has the chief ones.")] = None,
) -> None:  # fmt: skip
    """Print how good each model's forecasts were out of sample, and what each adds to the others.

    Needs a whole `quant run` (or its stages forecast_quality and forecast_comparison) first. See docs/metrics.md.
    """
    from quant_assets.commands.compare_command import compare_profile

    heading, table = compare_profile(chosen_profile(profile, source, path), models, fold, csv, console.width)
    console.print(f"[bold]{plain(heading)}[/bold]")
    console.print(table)


@app.command()
def orders(
    capital: Annotated[str, typer.Option(metavar="RUPEES", help="What the account is worth in all, cash included.")],
    holdings: Annotated[
        Path | None, typer.Option(help="CSV with the columns ticker and shares; without it nothing is held.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="Book to follow; default: the promoted one.")] = None,
    day: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="Session of the closes; default: the newest.")
    ] = None,
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None,
    csv: Annotated[Path | None, typer.Option(help="File for the whole list.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Every field, for programs.")] = False,
) -> None:  # fmt: skip
    """Print the whole shares to buy and sell tomorrow, with estimated charges and impact. Sends nothing anywhere.

    From the newest stored decision of a book (`quant run` or the daily refresh make them). See docs/orders.md.
    """
    from quant_assets.commands import orders_command as command

    answer = command.orders_of(chosen_profile(profile, source, path), holdings, capital, strategy, day)
    if csv is not None:
        command.write_csv(answer, csv)
    if json:
        print(command.as_json(answer))
        return
    console.print(f"[bold]{plain(answer.heading)}[/bold]", soft_wrap=True)
    console.print(command.as_table(answer))
    for line in command.as_lines(answer):
        console.print(plain(line), soft_wrap=True)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="features, models, sources, strategies, profiles or settings")],
) -> None:
    """Print what is registered: name and one sentence."""
    from quant_assets.commands.listing import LISTINGS

    if kind not in LISTINGS:
        raise DataError(f"quant list: {kind!r} is unknown; choose one of {', '.join(LISTINGS)}.")
    columns, rows = LISTINGS[kind]()
    if not rows:
        console.print(f"No {kind} are registered yet.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    console.print(table)


@app.command()
def lists(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, set_: SetOption = None
) -> None:
    """Print the lists of facts that a profile leans on: what each covers, to which day, and how to replace it."""
    from quant_assets.commands.lists_command import lists_told
    from quant_assets.lab import Lab

    overrides, entries = parse_settings(set_)
    chosen = chosen_profile(profile, source, path, entries)
    for line in lists_told(Lab(chosen, source_settings=overrides.get("raw_ohlcv", {}))):
        console.print(line, soft_wrap=True)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="File or folder of prices.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SETTING=VALUE", help="A setting of the files source, e.g. date_format=%d/%m/%Y."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Every field, for programs.")] = False,
) -> None:
    """Say what each file of your own was taken for, what was understood in it, and every problem with its line.

    The first thing to run on your own data; nothing is stored. Exits with 1 where no row could be read.
    """
    from quant_assets.commands.inspect_command import as_json, as_lines, inspect_path

    for pair in set_ or []:
        if not all(pair.partition("=")[:2]):
            raise DataError(f"--set {pair}: not of the form SETTING=VALUE; e.g. --set date_format=%d/%m/%Y.")
    pairs = [f"files.{pair.removeprefix('raw_ohlcv.').removeprefix('files.')}" for pair in set_ or []]
    found = inspect_path(str(path), parse_settings(pairs)[0].get("files", {}))
    if json:
        print(as_json(found))
    else:
        for line in as_lines(found):
            console.print(plain(line), soft_wrap=True)
    if not found.rows:
        raise typer.Exit(1)


@app.command()
def doctor(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, set_: SetOption = None,
    send_alert: Annotated[bool, typer.Option("--send-alert", help="Send a message to webhook and e-mail.")] = False,
) -> None:  # fmt: skip
    """Check environment, storage, calendar, source, daemon, freshness, alerts and GPU, and say what to fix.

    Exits with 1 where something must be mended.
    """
    from quant_assets.upkeep.doctor import examine

    overrides, entries = parse_settings(set_)
    findings = list(examine(chosen_profile(profile, source, path, entries), overrides))
    for finding in findings:
        mark = {"ok": "[green]ok  [/green]", "note": "[yellow]note[/yellow]", "fix": "[red]fix [/red]"}[finding.level]
        console.print(f"{mark} {finding.what}: {plain(finding.found)}", soft_wrap=True)
    sent = _alert_tried(profile) if send_alert else True
    if not sent or any(finding.level == "fix" for finding in findings):
        raise typer.Exit(1)


def _alert_tried(profile: str) -> bool:
    from quant_assets.automation.alerts import Alert, configured, send

    places = send(Alert(f"{profile}: a message to try the alerts", to_do=("Nothing: it has come.",)), say)
    console.print(f"sent by {' and '.join(places)}" if places else "sent by nothing")
    return places == configured() != []


@app.command()
def dev(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None,
    port: Annotated[int, typer.Option(help="Port of Dagster's UI on 127.0.0.1.")] = 3000,
    mlflow_port: MlflowPortOption = None,
    automate: Annotated[bool, typer.Option("--automate", help="Switch on the daily refresh and every sensor.")] = False,
) -> None:  # fmt: skip
    """Start the web UI with its daemon (schedules, sensors, backfills), and MLflow's UI beside it, all on loopback.

    One Ctrl-C stops everything that it started.
    """
    chosen = chosen_profile(profile, source, path)
    os.environ["QUANT_PROFILE"] = profile
    if source or path:
        os.environ["QUANT_SOURCE"] = str(chosen.source["name"])
        os.environ["QUANT_SOURCE_PATH"] = str(chosen.source.get("path", ""))
    from quant_assets.commands.dev import serve

    raise typer.Exit(serve(chosen.name, port, mlflow_port, automate))


@app.command()
def mlflow(port: MlflowPortOption = None) -> None:
    """Start MLflow's own UI on loopback, over the runs that the lab tracked; `quant dev` starts it too."""
    from quant_assets.commands.dev import become_mlflow

    become_mlflow(port)


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


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
