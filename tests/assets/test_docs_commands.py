"""Every `quant ...` line of the pages is a command that there is, with options that it has; so is every `make ...`."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from lab_process import ROOT

from quant_assets.commands.cli import app

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "docs" / "strangers-hour.sh"]
QUANT = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/quant|quant|\$QUANT)\s")


def lines(page: Path) -> Iterator[str]:
    """Lines of the page's blocks of shell, continued ones put together, and what it says in backquotes."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    blocks = [text] if page.suffix == ".sh" else [block for language, block in fenced if language in ("", "sh")]
    yield from re.findall(r"`(quant [a-z][^`\\]*)", text)
    for block in blocks:
        yield from block.replace("\\\n", " ").splitlines()


def asked() -> list[tuple[str, list[str]]]:
    """(page, words after `quant`) of every command line."""
    found = []
    for page in PAGES:
        for line in map(str.strip, lines(page)):
            if QUANT.match(line):
                words = shlex.split(re.sub(r"\s[>&|].*", "", line), comments=True)
                start = next(n for n, word in enumerate(words) if "=" not in word)
                found.append((page.name, words[start + 1 :]))
    return found


def unknown(words: list[str]) -> str:
    """What of a command line does not exist; "" for nothing."""
    command, path = typer.main.get_command(app), "quant"
    rest = list(words)
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        if name not in command.commands:
            return f"{path} {name}"
        command, path = command.commands[name], f"{path} {name}"
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    missing = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in options]
    return f"{path}: {missing}" if missing else ""


def test_every_quant_command_of_the_pages_exists_with_its_options() -> None:
    commands = asked()
    assert len(commands) > 50
    assert [(page, what) for page, words in commands if (what := unknown(words))] == []


def test_every_make_target_of_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), flags=re.MULTILINE)
    }
    assert len(named) > 5
    assert {(page, target) for page, target in named if target not in targets} == set()


@pytest.mark.parametrize(
    ("words", "told"),
    [(["rnu"], "quant rnu"), (["run", "--form", "2010-01"], "quant run: ['--form']"), (["run", "--to=2020-01"], "")],
)
def test_a_command_that_is_not_there_is_told(words: list[str], told: str) -> None:
    assert unknown(words) == told
