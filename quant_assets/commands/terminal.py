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

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="ASSET.SETTING=VALUE",
        help="One setting for this run, e.g. forecaster_ridge.alpha=1; repeatable. "
        "profile.start=2008-01 changes the profile itself.",
    ),
]  # fmt: skip
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="A log line a step; QUANT_LOG_LEVEL=debug adds Dagster's own.")
]


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


def parse_settings(pairs: list[str] | None) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """`--set` values as (settings of assets, entries of the profile); values are read as YAML.

    Raises:
        DataError: a pair that is not ASSET.SETTING=VALUE.
    """
    from quant_assets.setting_values import from_yaml

    assets: dict[str, dict[str, Any]] = {}
    profile: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        asset, dot, setting = name.partition(".")
        if not (equals and dot and asset and setting):
            raise DataError(f"--set {pair}: not of the form ASSET.SETTING=VALUE; e.g. --set target_weights.top_n=10.")
        if asset == "profile":
            profile[setting] = text
        else:
            assets.setdefault(asset, {})[setting] = from_yaml(text)
    return assets, profile
