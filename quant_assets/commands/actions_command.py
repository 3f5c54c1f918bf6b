"""`quant actions`: price jumps that may be unlisted corporate actions, with the evidence; accept or reject each."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from quant_assets.commands.terminal import (
    FromOption,
    PathOption,
    ProfileOption,
    SourceOption,
    ToOption,
    chosen_profile,
    console,
    plain,
)
from quant_core.errors import DataError

actions_app = typer.Typer(invoke_without_command=True, no_args_is_help=False, rich_markup_mode="rich")
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
        from quant_assets.commands.action_review import suspects

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
    from quant_assets.commands.action_review import accept

    console.print(
        plain(accept(_lab(profile, source, path), ticker, parse_day(day), terms, value, into)), soft_wrap=True
    )


@actions_app.command("reject")
def reject_action(
    ticker: TickerArgument, day: DayArgument,
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None,
) -> None:  # fmt: skip
    """Write that the jump is a real move; the next run recomputes what depends on it."""
    from quant_assets.commands.action_review import reject

    console.print(plain(reject(_lab(profile, source, path), ticker, parse_day(day))), soft_wrap=True)


def _lab(profile: str, source: str | None, path: Path | None) -> Any:
    from quant_assets.lab import Lab

    return Lab(chosen_profile(profile, source, path))


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
            str(row["date"]), plain(row["ticker"]), member, row["outcome"], *cells, gap, index, plain(row["reason"])
        )
    console.print(table)
    console.print("open and close over the close before; volume over its usual. `quant actions accept TICKER DATE`, or")
    console.print("`quant actions reject TICKER DATE` (a real move), with the same --profile and --source.")
