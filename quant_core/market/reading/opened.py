"""What a price file is, by its name, its size and its beginning; its rows are read in `prices` and `parquet`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import Problem, in_file
from quant_core.market.reading.columns import Layout, is_header, recognise
from quant_core.market.reading.identity import are_names, are_row_labels
from quant_core.market.reading.layout import Head, cells_of, head_of, no_table
from quant_core.market.reading.opening import (
    MAX_HEADER_BYTES,
    FileStamp,
    beginning,
    check_openable,
    parquet_schema,
)

#: So much of a file shows its header, unless so few lines are in it.
_HEAD_BYTES, _HEAD_LINES = 1 << 14, 60
#: Types of text in Parquet.
TEXTUAL = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True)
class Opened:
    """A file whose beginning was read. head: of a text file. schema: types of a Parquet file's columns."""

    stamp: FileStamp
    layout: Layout
    head: Head | None = None
    schema: tuple[tuple[str, pl.DataType], ...] = ()


def open_file(file: FileStamp, wanted: str, renamed: Mapping[str, str], basis: str) -> Opened:
    """What the file is, by its name, size and beginning.

    Raises:
        DataError: no table by its name or size, empty, an error page, header lines without rows, no date or close.
    """
    check_openable(file)
    if not file.is_text:
        schema = parquet_schema(file)
        layout = recognise(list(schema), file.name, wanted, renamed, basis)
        index = layout.column("index")
        if index is not None and schema[index].base_type() not in TEXTUAL:  # row numbers, days, marks
            layout = layout.without("index")
        return Opened(file, layout, None, tuple(schema.items()))
    head = _head(file, renamed)
    if is_multi_header(head.first_lines):
        return Opened(file, _multi_layout(file, head, wanted, renamed, basis), head)
    if len(head.header) == 1:
        raise no_table(file, head)
    layout = recognise(head.header, file.name, wanted, renamed, basis)
    rows = [cells_of(line, head.delimiter) for line in head.first_lines[1:]]
    if not rows:
        raise DataError(f"{file.name}: a header and no rows; fetch it again.")
    place = {name: place for name, _, place in layout.columns}.get("index")
    if place is not None and are_row_labels([row[place] for row in rows if place < len(row)]):
        layout = layout.without("index")
    return Opened(file, _with_names(layout, rows), head)


def _with_names(layout: Layout, rows: Sequence[tuple[str, ...]]) -> Layout:
    """The layout with a column `instrument` taken for the names where nothing else names the rows."""
    place = {name: place for name, _, place in layout.columns}.get("instrument")
    named = any(layout.column(name) for name in ("ticker", "symbol", "index"))
    if place is None or named or not are_names([row[place] for row in rows if place < len(row)]):
        return layout
    columns = tuple(("symbol" if name == "instrument" else name, own, n) for name, own, n in layout.columns)
    return replace(layout, columns=columns)


def _head(file: FileStamp, renamed: Mapping[str, str]) -> Head:
    start = beginning(file, _HEAD_BYTES)
    if len(start) == _HEAD_BYTES and start.count(b"\n") + start.count(b"\r") < _HEAD_LINES:
        start = beginning(file, MAX_HEADER_BYTES)
    if not start.strip():
        raise DataError(f"{file.name}: the file is empty ({file.size} bytes); fetch it again.")
    return head_of(start, partial(is_header, renamed=tuple(renamed.items())), file.name)


def is_multi_header(lines: tuple[str, ...] | list[str]) -> bool:
    """True for yfinance's export with a line of fields, a line of tickers and a line "Date"."""
    return len(lines) >= 2 and lines[0].startswith("Price,") and lines[1].startswith("Ticker,")


def _multi_layout(file: FileStamp, head: Head, wanted: str, renamed: Mapping[str, str], basis: str) -> Layout:
    if len(head.first_lines) < 4:
        raise DataError(f"{file.name}: three yfinance header lines and no rows; fetch it again.")
    fields = sorted(set(cells_of(head.first_lines[0], ",")[1:]))
    return recognise(["Date", "Ticker", *fields], file.name, wanted, renamed, basis)


def without_rows(opened: Opened) -> Problem:
    """What is said of a file without rows."""
    return in_file("ignored_file", opened.stamp.name, "a header and no row with a value", "fetch it again")
