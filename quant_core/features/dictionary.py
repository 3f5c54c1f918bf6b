"""The page that explains the columns of the features table, from the registry: what a docstring says stands there.

Belongs here: docstrings to one Markdown table, and its place in `docs/data-dictionary.md`. What brings the page up to
date: `python -c "from quant_core.features.dictionary import rewrite; rewrite('docs/data-dictionary.md')"`.
"""

import inspect
import re
from pathlib import Path

from quant_core.errors import DataError
from quant_core.features.catalog import FEATURES, Feature
from quant_core.features.config import FeatureConfig

BEGIN = "<!-- From the registry: see quant_core/features/dictionary.py. -->"
END = "<!-- End of what the registry says. -->"
HEADER = ("feature", "columns", "default", "in words", "values", "warm-up", "source")
SECTION = re.compile(r"^(Args|Returns|Raises|Source):", flags=re.MULTILINE)


def dictionary() -> str:
    """A Markdown table of every registered feature, those of the default table first and in its order.

    Returns:
        columns as HEADER: names for the default windows, the docstring's words, `Returns:` and `Source:`, and the
        sessions of history that a value needs before its own.
    """
    entries = sorted((FEATURES[name] for name in FEATURES), key=lambda entry: (not entry.default, entry.place))
    rows = [HEADER, ("---",) * len(HEADER), *map(_row, entries)]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in rows)


def rewritten(page: str) -> str:
    """The page with what lies between BEGIN and END replaced by `dictionary()`.

    Raises:
        DataError: a page without these two lines.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise DataError(f"data dictionary: wanted the lines {BEGIN!r} and {END!r} around its table; restore them.")
    return f"{head}{BEGIN}\n\n{dictionary()}\n\n{END}{tail}"


def rewrite(path: str | Path) -> None:
    """Bring the page at `path` up to date."""
    Path(path).write_text(rewritten(Path(path).read_text(encoding="utf-8")), encoding="utf-8")


def _row(entry: Feature) -> tuple[str, ...]:
    windows = FeatureConfig().windows
    said = _sections(entry.function.__doc__ or "")
    columns = ", ".join(f"`{name}`" for name in entry.columns(windows))
    default, warm_up = "yes" if entry.default else "no", str(entry.warm_up_sessions(windows))
    return entry.name, columns, default, said.get("", ""), said.get("Returns", ""), warm_up, said.get("Source", "")


def _sections(docstring: str) -> dict[str, str]:
    """The docstring's words, by section ("" for those before the first), each in one line that a table can hold."""
    words, *parts = SECTION.split(inspect.cleandoc(docstring))
    sections = {"": words} | dict(zip(parts[::2], parts[1::2], strict=True))
    return {name: " ".join(text.split()).replace("|", "\\|") for name, text in sections.items()}
