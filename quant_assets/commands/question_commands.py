"""The `quant` commands that answer and store nothing: orders, inspect, compare, validate, list, lists, doctor."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from quant_assets.commands.terminal import (
    FromOption,
    PathOption,
    ProfileOption,
    SetOption,
    SourceOption,
    ToOption,
    chosen_profile,
    console,
    parse_settings,
    plain,
    say,
)
from quant_core.errors import DataError


def add_to(app: typer.Typer) -> None:
    """Make them commands of `quant`."""
    for command in (orders, inspect, compare, validate, lists, doctor):
        app.command()(command)
    app.command("list")(list_)


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
