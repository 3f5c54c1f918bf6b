"""The `quant` command: everything that the web UI does, from a terminal."""

import os
import sys
import time
import webbrowser
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from quant_core.errors import DataError, QuantError

app = typer.Typer(
    help="AI Quant Research Lab: Indian equities from raw prices to an out-of-sample report.\n\n"
    "Start with [bold]quant demo[/bold]; then [bold]quant doctor[/bold] and "
    "[bold]quant run --profile nifty50 --source files --path DIR[/bold].\n\n"
    "Tables and artifacts live in QUANT_DATA (default: data/), "
    "Dagster's own records in DAGSTER_HOME (default: dagster_home/).",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=False, highlight=False)
errors = Console(stderr=True, highlight=False)

ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="Preset to use: see `quant list profiles`.")]
SourceOption = Annotated[
    str | None, typer.Option(help="Price source instead of the profile's own: see `quant list sources`.")
]
PathOption = Annotated[Path | None, typer.Option(help="Folder or file of prices for --source files.")]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="YYYY-MM", help="First month; default: the profile's start.")
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="YYYY-MM", help="Last month; default: the current one.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="ASSET.SETTING=VALUE",
        help="One setting for this run, e.g. forecaster_ridge.alpha=1; repeatable. "
        "profile.start=2008-01 changes the profile itself.",
    ),
]  # fmt: skip
StagesOption = Annotated[
    str | None, typer.Option(help="Comma-separated assets to bring up to date (with what they need): e.g. features.")
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show Dagster's own log.")]


def main() -> None:
    """Entry point: the lab's own errors are shown in one line and exit with 1."""
    try:
        app()
    except QuantError as error:
        errors.print(f"[red]error[/red] {_plain(str(error))}", soft_wrap=True)
        sys.exit(1)


def say(line: str) -> None:
    """One line between the bars of progress."""
    console.print(f"[yellow]note[/yellow] {_plain(line)}", soft_wrap=True)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


@app.command()
def demo(to: ToOption = None, set_: SetOption = None, verbose: VerboseOption = False) -> None:
    """Run the whole lab on a simulated market and print where the report is; needs no network."""
    _run("demo", None, None, None, to, set_, None, verbose)


@app.command()
def run(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, from_: FromOption = None,
    to: ToOption = None, set_: SetOption = None, stages: StagesOption = None, verbose: VerboseOption = False,
) -> None:  # fmt: skip
    """Bring months and folds up to date, upstream first, skipping what is current; prints the report's path last.

    Examples:

      quant run --profile nifty50 --from 2010-01 --to 2023-12

      quant run --profile nifty50 --source files --path prices/ --set target_weights.top_n=10

      quant run --stages features --to 2020-06
    """
    _run(profile, source, path, from_, to, set_, stages, verbose)


@app.command()
def refresh(
    profile: ProfileOption = "demo",
    source: SourceOption = None,
    path: PathOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Fetch the newest sessions and bring the current month, its fold's backtest and the report up to date.

    What the daily schedule does at 18:30 IST; the month is fetched again even where it looks current.
    """
    _run(profile, source, path, None, None, None, None, verbose, force_newest=True)


@app.command()
def report(
    profile: ProfileOption = "demo", source: SourceOption = None,
    fold: Annotated[str | None, typer.Option(help="Fold (year); default: the newest that has a report.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:  # fmt: skip
    """Print the path of a stored report, or open it."""
    from quant_assets.lab import Lab
    from quant_assets.profile import load_profile, source_override

    lab = Lab(load_profile(profile, source_override(source, None)))
    found = _report_path(lab, fold)
    if found is None:
        raise DataError(
            f"{lab.profile.name}: no report{f' of fold {fold}' if fold else ''} is stored under {lab.root}; "
            "make it with `quant run`."
        )
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
    from quant_assets.null_test import validate_profile
    from quant_assets.profile import load_profile, source_override

    chosen = load_profile(profile, source_override(source, str(path) if path else None))
    print(validate_profile(chosen, from_, to, signals, seed))


actions_app = typer.Typer(invoke_without_command=True, no_args_is_help=False, rich_markup_mode="rich")
app.add_typer(actions_app, name="actions")
TickerArgument = Annotated[str, typer.Argument(help="Ticker, e.g. INFY.")]
DayArgument = Annotated[str, typer.Argument(metavar="DATE", help="Its ex-date or the day of the jump, YYYY-MM-DD.")]


@actions_app.callback()
def actions(
    context: typer.Context, profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None,
    from_: FromOption = None, to: ToOption = None,
    all_: Annotated[bool, typer.Option("--all", help="Also those that were applied or kept.")] = False,
) -> None:  # fmt: skip
    """List price jumps that may be unlisted corporate actions, with the evidence; accept or reject them.

    Examples:

      quant actions --profile nifty50 --all

      quant actions accept INFY 2018-09-04 0.5 --profile nifty50

      quant actions accept HDFC 2023-07-13 merger --value 1.68 --into HDFCBANK --profile nifty50

      quant actions reject YESBANK 2020-03-06 --profile nifty50
    """
    if context.invoked_subcommand is None:
        from quant_assets.suspects import suspects

        lab = _lab(profile, source, path)
        found = suspects(lab, from_, to)
        _print_suspects(found, lab.profile.name, all_)


@actions_app.command("accept")
def accept_action(
    ticker: TickerArgument, day: DayArgument,
    terms: Annotated[
        str | None, typer.Argument(metavar="[RATIO|KIND]", help="Price factor (0.5), shares after:before (2:1), or "
        "demerger, rights, merger, cash_out, write_off, suspension; default: the ratio that the evidence suggests.")
    ] = None,
    value: Annotated[float | None, typer.Option(help="Price factor, exchange ratio or rupees of a KIND.")] = None,
    into: Annotated[str | None, typer.Option(help="Ticker whose shares a merger gives.")] = None,
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None,
) -> None:  # fmt: skip
    """Write that the jump is a corporate action; the next run recomputes what depends on it."""
    from quant_assets.suspects import accept

    console.print(
        _plain(accept(_lab(profile, source, path), ticker, parse_day(day), terms, value, into)), soft_wrap=True
    )


@actions_app.command("reject")
def reject_action(
    ticker: TickerArgument, day: DayArgument,
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None,
) -> None:  # fmt: skip
    """Write that the jump is a real move; the next run recomputes what depends on it."""
    from quant_assets.suspects import reject

    console.print(_plain(reject(_lab(profile, source, path), ticker, parse_day(day))), soft_wrap=True)


def _lab(profile: str, source: str | None, path: Path | None) -> Any:
    from quant_assets.lab import Lab
    from quant_assets.profile import load_profile, source_override

    return Lab(load_profile(profile, source_override(source, str(path) if path else None)))


def parse_day(text: str) -> date:
    """A date from the command line."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DataError(f"actions: {text!r} is not a date; write it as YYYY-MM-DD.") from None


def _print_suspects(found: Any, profile: str, all_: bool) -> None:
    import polars as pl

    shown = found if all_ else found.filter(pl.col("outcome") == "quarantined")
    by_outcome = dict(found.group_by("outcome").len().iter_rows())
    total = ", ".join(f"{by_outcome.get(name, 0)} {name}" for name in ("applied", "quarantined", "kept"))
    console.print(f"[bold]{profile}[/bold]: {found.height} suspected corporate actions: {total}")
    if shown.is_empty():
        console.print("None is unresolved." if found.height and not all_ else "None.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("date", "ticker", "member", "outcome", "factor", "open", "close", "volume", "gap", "index", "why"):
        table.add_column(column, overflow="fold")
    for row in shown.iter_rows(named=True):
        numbers = [row[name] for name in ("ratio", "open_ratio", "close_ratio", "volume_ratio")]
        cells = ["-" if number is None else f"{number:.3g}" for number in numbers]
        index = "-" if row["index_return_1d"] is None else f"{row['index_return_1d']:+.1%}"
        member = "yes" if row["is_member"] else "no"
        gap = "-" if row["gap_sessions"] is None else str(row["gap_sessions"])
        table.add_row(
            str(row["date"]), _plain(row["ticker"]), member, row["outcome"], *cells, gap, index, _plain(row["reason"])
        )
    console.print(table)
    console.print("open and close over the close before; volume over its usual. `quant actions accept TICKER DATE`, or")
    console.print("`quant actions reject TICKER DATE` (a real move), with the same --profile and --source.")


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="features, models, sources, agents, strategies, profiles or settings")],
) -> None:
    """Print what is registered: name and one sentence."""
    from quant_assets.listing import LISTINGS

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
        table.add_row(*(_plain(cell) for cell in row))
    console.print(table)


@app.command()
def doctor(profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None) -> None:
    """Check environment, storage, calendar, source and GPU, and say what to fix; exits with 1 where needed."""
    from quant_assets.doctor import examine
    from quant_assets.profile import load_profile, source_override

    findings = list(examine(load_profile(profile, source_override(source, str(path) if path else None))))
    for finding in findings:
        mark = {"ok": "[green]ok  [/green]", "note": "[yellow]note[/yellow]", "fix": "[red]fix [/red]"}[finding.level]
        console.print(f"{mark} {finding.what}: {_plain(finding.found)}", soft_wrap=True)
    if any(finding.level == "fix" for finding in findings):
        raise typer.Exit(1)


@app.command()
def dev(profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None,
        port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000) -> None:  # fmt: skip
    """Start the web UI on loopback together with the daemon that runs schedules, sensors and backfills."""
    from quant_assets.home import bury_the_dead, prepare_home
    from quant_assets.paths import dagster_home, project_root
    from quant_assets.profile import load_profile, source_override

    chosen = load_profile(profile, source_override(source, str(path) if path else None))
    prepare_home(dagster_home())
    for line in chain.from_iterable(bury_the_dead()):
        say(line)
    os.environ["QUANT_PROFILE"] = profile
    if source or path:
        os.environ["QUANT_SOURCE"] = str(chosen.source["name"])
        os.environ["QUANT_SOURCE_PATH"] = str(chosen.source.get("path", ""))
    workspace = project_root() / "workspace.yaml"
    where = ["-w", str(workspace)] if workspace.is_file() else ["-m", "quant_assets.definitions"]
    # Dagster's advice to use another command is none for the user of this one.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command` is superseded")
    console.print(f"[bold]{chosen.name}[/bold]: http://127.0.0.1:{port} (stop with Ctrl-C)")
    _replace_process("dagster", ["dev", *where, "-h", "127.0.0.1", "-p", str(port)])


@app.command()
def mlflow(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000) -> None:
    """Start MLflow's own UI on loopback, over the runs that the lab tracked."""
    from quant_assets.resources import tracking_uri

    _replace_process(
        "mlflow", ["ui", "--backend-store-uri", tracking_uri(), "--host", "127.0.0.1", "--port", str(port)]
    )


def _replace_process(command: str, arguments: list[str]) -> None:
    """Become another command of this environment, so that signals reach it directly."""
    executable = Path(sys.executable).with_name(command)
    sys.stdout.flush()
    os.execv(executable, [str(executable), *arguments])


def parse_settings(pairs: list[str] | None) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """`--set` values as (settings of assets, entries of the profile); values are read as YAML.

    Raises:
        DataError: a pair that is not ASSET.SETTING=VALUE.
    """
    import yaml

    assets: dict[str, dict[str, Any]] = {}
    profile: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        asset, dot, setting = name.partition(".")
        if not (equals and dot and asset and setting):
            raise DataError(f"--set {pair}: not of the form ASSET.SETTING=VALUE; e.g. --set target_weights.top_n=10.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        if asset == "profile":
            profile[setting] = text
        else:  # YAML reads dates as dates, run configuration holds them as text
            assets.setdefault(asset, {})[setting] = text if isinstance(value, date) else value
    return assets, profile


def _run(
    profile: str, source: str | None, path: Path | None, first: str | None, last: str | None, pairs: list[str] | None,
    stages: str | None, verbose: bool, force_newest: bool = False,
) -> None:  # fmt: skip
    started = time.monotonic()
    overrides, entries = parse_settings(pairs)
    from quant_assets.paths import dagster_home
    from quant_assets.profile import load_profile, source_override

    chosen = load_profile(profile, source_override(source, str(path) if path else None) | entries)
    home = dagster_home()
    console.print(f"[bold]{chosen.name}[/bold]  {_plain(chosen.description)}", soft_wrap=True)
    from quant_assets.home import open_runner

    with open_runner(chosen, overrides, home, verbose, say) as runner:
        months = runner.month_range(first, last)
        runner = runner.until(months[1])
        wanted = runner.wanted(*months, until=[name.strip() for name in stages.split(",")] if stages else [])
        _bring_up_to_date(runner, wanted, force_newest)
    console.print(f"done in {time.monotonic() - started:.0f} s")
    _print_results(runner.lab, months[1], "backtest_report" in wanted)


def _bring_up_to_date(runner: Any, wanted: dict[str, list[str]], force_newest: bool) -> None:
    columns = (SpinnerColumn(finished_text="[green]✓[/green]"), TextColumn("{task.description:<22}"), BarColumn(24),
               TextColumn("{task.fields[what]:<34}"), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console) as progress:
        for asset, partitions in wanted.items():
            stale = runner.stale(asset, partitions)
            if force_newest and asset == "raw_ohlcv":
                stale = sorted({*stale, *runner.newest_months()} & set(partitions))
            current = len(partitions) - len(stale)
            what = f"{len(stale)} to do, {current} current" if stale else f"{current} current"
            task = progress.add_task(asset, total=len(stale) or 1, what=what)
            if not stale:
                progress.advance(task)
            for step in runner.steps(asset, stale):
                runner.execute(step)
                progress.advance(task, len(step.partitions))


def _print_results(lab: Any, last: str, made: bool) -> None:
    found = _report_path(lab, None if not made else _newest_fold(lab, last)) if made else None
    if found is None:
        return
    from quant_assets.listing import headline

    console.print(headline(lab, Path(found)))
    print(found)


def _newest_fold(lab: Any, last: str) -> str | None:
    from quant_assets.partitions import first_month

    folds = [fold for fold in _stored_folds(lab) if first_month(fold) <= last]
    return folds[-1] if folds else None


def _stored_folds(lab: Any) -> list[str]:
    from quant_assets.storage import pointer_path

    key = lab.key("backtest_report")
    return [fold for fold in lab.partitions.folds.get_partition_keys() if pointer_path(lab.root, key, fold).exists()]


def _report_path(lab: Any, fold: str | None) -> str | None:
    from quant_assets.storage import artifact_folder, local_path, pointer_path

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
