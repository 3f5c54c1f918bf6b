"""Runs a notebook of this folder and writes what it shows as one HTML page: `python notebooks/pages.py 05 --to DIR`.

A notebook is a Python file whose cells begin with `# %%` (Jupytext's percent format), those of text with
`# %% [markdown]`: editors run it cell by cell, JupyterLab with Jupytext opens it, and plain Python runs it whole.
"""

import argparse
import ast
import contextlib
import html
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from markdown_it import MarkdownIt
from plotly.basedatatypes import BaseFigure
from plotly.offline import get_plotlyjs

FOLDER = Path(__file__).parent
CELL = re.compile(r"^# %%(.*)$", flags=re.MULTILINE)
MOST_ROWS = 60
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#1f2328}
pre{background:#f6f8fa;padding:.7rem;overflow-x:auto;font-size:13px}table{border-collapse:collapse;font-size:13px}
.wide{overflow-x:auto}td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #d0d7de;white-space:nowrap}
td:first-child{text-align:left}tr:first-child{font-weight:600}"""


@dataclass(frozen=True)
class Cell:
    """One cell: its text without the marker, the line that it begins in, and whether it is words or code."""

    text: str
    line: int
    is_words: bool


@dataclass(frozen=True)
class Shown:
    """What a cell showed: printed text, and the value of its last expression (None where it has none)."""

    cell: Cell
    printed: str
    value: Any


def notebooks() -> list[Path]:
    """The notebooks of this folder, in order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.py"))


def cells(source: str) -> list[Cell]:
    """The cells of a notebook; markdown cells without their comment signs."""
    marks = list(CELL.finditer(source))
    ends = [mark.start() for mark in marks[1:]] + [len(source)]
    found = []
    for mark, end in zip(marks, ends, strict=True):
        text, is_words = source[mark.end() : end].strip("\n"), "[markdown]" in mark.group(1)
        words = re.sub(r"^# ?", "", text, flags=re.MULTILINE) if is_words else text
        found.append(Cell(words, source[: mark.end()].count("\n") + 2, is_words))
    return found


def executed(path: Path) -> Iterator[Shown]:
    """Run the cells in order, in one namespace, and yield what each shows."""
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(path)}
    for cell in cells(path.read_text(encoding="utf-8")):
        yield Shown(cell, "", None) if cell.is_words else _run(cell, names, path)


def _run(cell: Cell, names: dict[str, Any], path: Path) -> Shown:
    tree = ast.parse(cell.text, str(path))
    ast.increment_lineno(tree, cell.line - 1)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, str(path), "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), str(path), "eval"), names)
    return Shown(cell, printed.getvalue(), value)


def page(path: Path) -> str:
    """The notebook and what it shows as one HTML page that needs nothing else."""
    body = "\n".join(_html(shown) for shown in executed(path))
    title = html.escape(path.stem)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f"<!doctype html><html><head>{head}<style>{STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f"<body>{body}</body></html>"
    )


def _html(shown: Shown) -> str:
    if shown.cell.is_words:
        return str(MarkdownIt("commonmark", {"html": False}).render(shown.cell.text))
    code = f"<details><summary>code</summary><pre>{html.escape(shown.cell.text)}</pre></details>"
    printed = f"<pre>{html.escape(shown.printed)}</pre>" if shown.printed else ""
    return code + printed + _value(shown.value)


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, BaseFigure):
        return str(value.to_html(full_html=False, include_plotlyjs=False))
    if isinstance(value, pl.DataFrame):
        return _table(value)
    return f"<pre>{html.escape(str(value))}</pre>"


def _table(table: pl.DataFrame) -> str:
    rows = [table.columns, *([_cell(value) for value in row] for row in table.head(MOST_ROWS).iter_rows())]
    lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    more = f"<p>{table.height - MOST_ROWS:,} rows more</p>" if table.height > MOST_ROWS else ""
    return f'<div class="wide"><table>{lines}</table></div>{more}'


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of their names, e.g. 05; default: all")
    parser.add_argument("--to", type=Path, default=Path("notebooks-html"), help="folder of the pages")
    chosen = parser.parse_args(arguments)
    found = [path for path in notebooks() if path.stem.startswith(tuple(chosen.names) or "")]
    if not found:
        parser.error(f"no notebook begins with {' or '.join(chosen.names)}; there is {[p.stem for p in notebooks()]}")
    chosen.to.mkdir(parents=True, exist_ok=True)
    for path in found:
        target = chosen.to / f"{path.stem}.html"
        target.write_text(page(path), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main(sys.argv[1:])
