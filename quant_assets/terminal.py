"""What the `quant` commands share: the console, and the options that several of them take."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from quant_core.errors import DataError

if TYPE_CHECKING:  # a command that needs no profile starts without the stages
    from collections.abc import Mapping

    from quant_assets.profile import Profile

console = Console(stderr=False, highlight=False)
errors = Console(stderr=True, highlight=False)

LONGEST_PATH = 200  # characters of a path that an error repeats

ProfileOption = Annotated[
    str, typer.Option("--profile", "-p", envvar="QUANT_PROFILE", help="Preset to use: see `quant list profiles`.")
]
SourceOption = Annotated[
    str | None,
    typer.Option(envvar="QUANT_SOURCE", help="Price source instead of the profile's own: see `quant list sources`."),
]
PathOption = Annotated[
    Path | None, typer.Option(envvar="QUANT_SOURCE_PATH", help="Folder or file of prices for --source files.")
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="YYYY-MM", help="First month; default: the profile's start.")
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="YYYY-MM", help="Last month; default: the current one.")]


def say(line: str) -> None:
    """One line between the bars of progress."""
    console.print(f"[yellow]note[/yellow] {plain(line)}", soft_wrap=True)


def plain(text: str) -> str:
    """Text in which the console finds no markup."""
    return text.replace("[", "\\[")


def refused(message: str, code: int = 1) -> int:
    """Say on stderr, in one line, what is to be mended; gives the exit code back."""
    errors.print(f"[red]error[/red] {plain(' '.join(message.splitlines()))}", soft_wrap=True)
    return code


def chosen_profile(
    profile: str, source: str | None, path: Path | None, entries: "Mapping[str, Any] | None" = None
) -> "Profile":
    """The profile that a command's options name.

    Args:
        entries: further entries of the profile to replace.
    Raises:
        DataError: an entry that it does not have or refuses, a path that cannot hold prices.
    """
    from quant_assets.profile import load_profile, source_override

    if path is not None:
        check_path(path)
    return load_profile(profile, source_override(source, str(path) if path else None) | dict(entries or {}))


def check_path(path: Path) -> None:
    """Nothing where prices can be read from a path, or where there is nothing at it, which the source says itself.

    Raises:
        DataError: a device or the like, or no permission; names the path.
    """
    said = f"--path {str(path)[:LONGEST_PATH]}"
    try:
        if path.is_dir():
            os.scandir(path).close()
        elif path.is_file():
            path.open("rb").close()
        elif path.exists():
            raise DataError(f"{said}: neither a file nor a folder; give the folder of the prices, or one file.")
    except OSError as failure:
        raise DataError(
            f"{said}: cannot be read ({failure.strerror}); change its permissions, or give another path."
        ) from failure
