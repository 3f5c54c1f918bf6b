"""What a page is made of: figures, tables and notes as data. The template and its script turn them into HTML.

A figure holds numbers, a unit and one line that reads it; colours are roles, so that the reader's light or dark scheme
decides them. Nothing is measured here.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from quant_core.report.formats import spec, write

Role = Literal["chosen", "benchmark", "other", "part", "remainder", "rest", "warning"]
Shape = Literal["line", "area", "stack", "bar", "grouped", "stacked", "interval", "lanes"]
Numbers = Sequence[float | None]
LONG_NAME = 12  # characters


@dataclass(frozen=True)
class Series:
    """One series of a figure.

    Args:
        name: as the legend calls it.
        y: values; for shape "interval" the category's value, with `low` and `high`.
        role: its colour; "other" and "part" take the `slot`-th of their hues.
        x: its own positions where they are fewer than the figure's.
        text: a label a value, written above bars.
        as_line: drawn as a line over the figure's bars.
    """

    name: str
    y: Numbers
    role: Role = "chosen"
    slot: int = 0
    x: Sequence[Any] | None = None
    text: Sequence[str] | None = None
    low: Numbers | None = None
    high: Numbers | None = None
    as_line: bool = False


@dataclass(frozen=True)
class Rule:
    """A straight line across the plot at `value` of one axis."""

    value: float
    axis: Literal["x", "y"] = "y"
    label: str = ""


@dataclass(frozen=True)
class Band:
    """Spans of the date axis in one state; both ends of a span are included."""

    name: str
    slot: int
    spans: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Figure:
    """A figure as the template needs it; `y_format` and `hover_format` are d3-formats."""

    key: str  # id of its element
    title: str
    unit: str
    reading: str
    x: Sequence[Any] = ()  # ISO dates, categories or numbers
    series: tuple[Series, ...] = ()
    shape: Shape = "line"
    x_kind: Literal["date", "category", "number", "log"] = "date"
    x_title: str = ""
    x_format: str = ""
    x_ticks: tuple[tuple[float, str], ...] = ()
    y_format: str = ".2~%"
    hover_format: str = ".1%"
    log_toggle: bool = False
    from_zero: bool = False  # the value axis begins at 0
    half: bool = False  # may share a row with another on a wide screen
    rules: tuple[Rule, ...] = ()
    bands: tuple[Band, ...] = ()
    kind: Literal["figure"] = "figure"

    @property
    def rows(self) -> int:
        """Rows of a figure with one row a category; 0 for the others, whose height is fixed."""
        if self.shape == "lanes":
            return len(self.bands)
        return len(self.x) if self.shape == "interval" else 0


@dataclass(frozen=True)
class Cell:
    """A table cell: what is read, and the unrounded value that the CSV holds."""

    text: str
    value: str
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A table as the template needs it; the first column names the row.

    Args:
        marked: rows in bold.
        text: columns of words, which stand to the left.
        groups: row -> heading written above it; not in the CSV.
        folded: behind a disclosure, for long tables.
    """

    key: str
    title: str
    unit: str
    caption: str
    header: tuple[str, ...]
    csv_header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marked: frozenset[int] = frozenset()
    text: frozenset[int] = frozenset()
    groups: tuple[tuple[int, str], ...] = ()
    folded: bool = False
    half: bool = False
    kind: Literal["table"] = "table"

    @property
    def has_long_names(self) -> bool:
        """Whether the first column needs room where the table is squeezed."""
        return any(len(row[0].text) > LONG_NAME for row in self.rows)

    @property
    def headings(self) -> dict[int, str]:
        """`groups` for a look-up by row."""
        return dict(self.groups)


@dataclass(frozen=True)
class Note:
    """A sentence in place of, or beside, a figure; `badge` is a word in front of it."""

    text: str
    badge: str = ""
    tone: Literal["plain", "good", "bad", "open"] = "plain"
    kind: Literal["note"] = "note"


Block = Figure | Table | Note


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    key: str
    title: str
    blocks: tuple[Block, ...]


def paired(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks, with one that may share a row but has no neighbour for it at full width."""
    made: list[Block] = []
    waiting: Figure | Table | None = None
    for block in blocks:
        if waiting is not None:
            made.append(waiting if _is_half(block) else replace(waiting, half=False))
            made.append(block)
            waiting = None
        elif not isinstance(block, Note) and block.half:
            waiting = block
        else:
            made.append(block)
    return (*made, replace(waiting, half=False)) if waiting is not None else tuple(made)


def figures_json(figures: Iterable[Figure]) -> tuple[str, dict[str, str]]:
    """The axes that the figures share, and what the script draws of each figure; safe inside script elements."""
    axes: dict[tuple[Any, ...], int] = {}

    def axis(values: Sequence[Any]) -> int:
        return axes.setdefault(tuple(values), len(axes))

    drawn = {figure.key: _json(_content(figure, axis)) for figure in figures}
    return _json(list(axes)), drawn


def frame_table(
    key: str,
    title: str,
    frame: pl.DataFrame,
    *,
    unit: str = "",
    caption: str = "",
    labels: dict[str, str] | None = None,
    marked: str | None = None,
    folded: bool = False,
    half: bool = False,
) -> Table:
    """A frame as it stands, each column written by its name.

    Args:
        labels: column -> heading, where `formats.spec` does not say it well.
        marked: rows whose first column has this value are in bold.
    """
    names = frame.columns
    rows = tuple(tuple(cell(name, value) for name, value in zip(names, row, strict=True)) for row in frame.iter_rows())
    header = tuple((labels or {}).get(name) or spec(name).label for name in names)
    bold = frozenset(k for k, row in enumerate(rows) if row and row[0].value == marked)
    text = frozenset(k for k, dtype in enumerate(frame.dtypes) if dtype == pl.String)
    return Table(key, title, unit, caption, header, tuple(names), rows, bold, text, folded=folded, half=half)


def cell(name: str, value: Any) -> Cell:
    """`value` of column `name`; missing and NaN are an en dash on the page and empty in the CSV."""
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    return Cell(write(name, value), "" if is_missing else str(value))


def rounded(values: pl.Series, digits: int = 4) -> list[float | None]:
    """Floats short enough to be stored; NaN and infinite values become gaps."""
    numbers = values.cast(pl.Float64)
    return numbers.set(~numbers.is_finite().fill_null(False), None).round(digits).to_list()


def iso_dates(dates: pl.Series) -> list[str]:
    """2015-01-31, as the script wants it."""
    return dates.dt.to_string("%Y-%m-%d").to_list()


def _is_half(block: Block) -> bool:
    return not isinstance(block, Note) and block.half


def _content(figure: Figure, axis: Any) -> dict[str, Any]:
    return {
        "x": axis(figure.x),
        "series": [_series(series, axis) for series in figure.series],
        "shape": figure.shape,
        "xKind": figure.x_kind,
        "xTitle": figure.x_title,
        "xFormat": figure.x_format,
        "xTicks": figure.x_ticks,
        "yFormat": figure.y_format,
        "hoverFormat": figure.hover_format,
        "fromZero": figure.from_zero,
        "rules": [{"value": rule.value, "axis": rule.axis, "label": rule.label} for rule in figure.rules],
        "bands": [{"name": band.name, "slot": band.slot, "spans": band.spans} for band in figure.bands],
    }


def _series(series: Series, axis: Any) -> dict[str, Any]:
    content = {"name": series.name, "role": series.role, "slot": series.slot, "y": series.y}
    extra = {"text": series.text, "low": series.low, "high": series.high, "line": series.as_line or None}
    own = {} if series.x is None else {"x": axis(series.x)}
    return content | own | {name: value for name, value in extra.items() if value is not None}


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
