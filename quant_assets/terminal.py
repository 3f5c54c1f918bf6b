"""What the `quant` commands share: the console, and the options that several of them take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:  # a command that needs no profile starts without the stages
    from quant_assets.profile import Profile

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


def say(line: str) -> None:
    """One line between the bars of progress."""
    console.print(f"[yellow]note[/yellow] {plain(line)}", soft_wrap=True)


def plain(text: str) -> str:
    """Text in which the console finds no markup."""
    return text.replace("[", "\\[")


def chosen_profile(profile: str, source: str | None, path: Path | None) -> "Profile":
    """The profile that a command's options name."""
    from quant_assets.profile import load_profile, source_override

    return load_profile(profile, source_override(source, str(path) if path else None))
