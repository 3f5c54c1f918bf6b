"""From the bytes of a text file to cells: encoding, delimiter, line ends, where the header is, which lines fit it.

A line that does not fit the header is never squeezed into it: it is left out and named with its number. Unquoted commas
(`3,800.00` for 3800) make lines too long, and one that also lacks a cell has the right length by accident; therefore,
once a line is too long, every line in which two neighbouring cells could be one number is left out too.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.errors import DataError
from quant_core.market.problems import Problem, in_file, shown
from quant_core.market.reading.columns import plain
from quant_core.market.reading.encoding import to_utf8
from quant_core.market.reading.opening import MAX_COLUMNS, MAX_HEADER_BYTES, FileStamp
from quant_core.market.reading.records import Records, records

DELIMITERS = (",", ";", "\t", "|")
#: The header is looked for in so many lines that are neither blank nor comments.
MAX_PREAMBLE = 40
COMMENT = b"#"
#: Lines from the header on that tell what kind of table it is.
_SHOWN_LINES = 4
#: Cells that unquoted thousands leave side by side: 3 and 800.00.
_HEAD_OF_NUMBER, _TAIL_OF_NUMBER = r"^\s*[-+(₹]*\s*\d{1,3}\s*$", r"^\s*\d{3}(\.\d*)?\)?\s*$"

IsHeader = Callable[[Sequence[str]], bool]


@dataclass(frozen=True)
class Head:
    """How the file is laid out, from its beginning.

    n_skipped: lines before the header. header: its cells, trimmed; several lines for a header of several.
    """

    encoding: str
    delimiter: str
    n_skipped: int
    header: tuple[str, ...]
    first_lines: tuple[str, ...]

    @property
    def first_line(self) -> str:
        return self.first_lines[0] if self.first_lines else ""


@dataclass(frozen=True)
class Cells:
    """The body of a text file as text.

    table: one column a wanted cell, named by its place ("0", "1"); trimmed, null where nothing stands. lines: the
    number of the line that each row begins on. is_ragged: some line was too long, so cells may have been shifted.
    maybe_split: which of some rows have neighbouring cells that could be one number which an unquoted comma divides.
    """

    table: pl.DataFrame
    lines: pl.Series
    problems: tuple[Problem, ...]
    is_ragged: bool
    maybe_split: Callable[[pl.Series], pl.Series]


def head_of(start: bytes, is_header: IsHeader, where: str) -> Head:
    """The layout from the first bytes of a file.

    Without a line that `is_header` knows, the first line that is no comment stands for it.

    Raises:
        DataError: empty, no text, or a header that is none by its length.
    """
    text, encoding = to_utf8(start, where)
    lines = text.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    longest = max(len(line) for line in lines[: MAX_PREAMBLE + 1])
    if longest >= MAX_HEADER_BYTES:
        raise DataError(
            f"{where}: a line of more than {MAX_HEADER_BYTES:,} characters is no header; keep fewer columns."
        )
    some = ((n, line) for n, line in enumerate(lines) if line.strip() and not line.startswith(COMMENT.decode()))
    full = list(islice(some, MAX_PREAMBLE + _SHOWN_LINES))
    if not full:
        raise DataError(f"{where}: no line but blank ones and comments; fetch it again.")
    n, delimiter, header = _header(full[:MAX_PREAMBLE], is_header)
    if len(header) > MAX_COLUMNS:
        raise DataError(f"{where}: {len(header):,} columns, at most {MAX_COLUMNS:,} are read; keep fewer.")
    later = tuple(line for number, line in full if number >= n)
    return Head(encoding, delimiter, n, header, later[:_SHOWN_LINES])


def _header(lines: list[tuple[int, str]], is_header: IsHeader) -> tuple[int, str, tuple[str, ...]]:
    for n, line in lines:
        found = [(cells, delimiter) for delimiter in DELIMITERS if is_header(cells := cells_of(line, delimiter))]
        if found:
            cells, delimiter = max(found, key=lambda one: len(one[0]))
            return n, delimiter, cells
    n, line = lines[0]
    delimiter = max(DELIMITERS, key=lambda one: len(cells_of(line, one)))
    return n, delimiter, cells_of(line, delimiter)


def cells_of(line: str, delimiter: str) -> tuple[str, ...]:
    """The cells of one line, trimmed."""
    try:
        found = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        found = line.split(delimiter)
    return tuple(cell.strip() for cell in found)


def read_cells(
    data: bytes, head: Head, file: FileStamp, places: Sequence[int], is_header: IsHeader, n_header: int = 1
) -> Cells:
    """The body under the header.

    Args:
        data: the whole file.
        places: which cells of a line are wanted; the first is that of a date or a name.
        n_header: lines that the header takes.
    Raises:
        DataError: no text, or quotes that nothing closes.
    """
    text, _ = to_utf8(data, file.name, head.encoding)
    found = records(text, head.delimiter, file.name)
    first = int(np.searchsorted(found.lines, head.n_skipped + n_header + 1))
    body = found.content(np.arange(first, len(found.starts)), COMMENT)
    n_cells = len(head.header)
    width = n_cells + _closing_delimiters(found, body, n_cells, head.delimiter)
    kept, problems = body[found.n_cells[body] == width], []
    table = _parsed(found, kept, head.delimiter, places, width)
    good, end = _one_table(table, found, kept, head, is_header)
    if end < len(kept):
        body = body[body < kept[end]]
        what = "another header, so that its columns are other ones: this line and what follows is left out"
        problems.append(in_file("second_table", file.name, what, "split the file there", int(found.lines[kept[end]])))
    ragged, too_long = body[found.n_cells[body] != width], bool((found.n_cells[body] > width).any())
    if len(ragged):
        problems.append(_ragged(found, ragged, n_cells, file))
    if too_long:
        split = _maybe_split(found, kept, head, width)
        if (split & good).any():
            problems.append(_split(found, kept[split & good], file))
        good &= ~split
    lines = pl.Series("line", found.lines[kept], dtype=pl.Int64)
    good &= table.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    left = kept[good.to_numpy()]
    return Cells(
        table.filter(good), lines.filter(good), tuple(problems), too_long,
        lambda rows: _maybe_split(found, left[rows.to_numpy()], head, width),
    )  # fmt: skip


def _closing_delimiters(found: Records, body: NDArray[np.int64], n_cells: int, delimiter: str) -> int:
    """1 where every line has one cell more than the header and nothing in it: lines that end with a delimiter."""
    if not len(body) or not (found.n_cells[body] == n_cells + 1).all():
        return 0
    last = np.frombuffer(found.text, dtype=np.uint8)[found.ends[body] - 1]
    if (last == ord(delimiter)).all():
        return 1
    has_blanks = bool(np.isin(last, [ord(delimiter), ord(" ")]).all())
    return int(has_blanks and all(found.text_of(n).rstrip(" ").endswith(delimiter) for n in body))


def _one_table(
    table: pl.DataFrame, found: Records, kept: NDArray[np.int64], head: Head, is_header: IsHeader
) -> tuple[pl.Series, int]:
    """Which rows are no repeated header (files put one after another), and where another table begins.

    A header has no date and no name in the first column: what stands there has hardly a digit, or is a header's word.
    """
    key = table.to_series(0)
    words = key.unique().drop_nulls()
    words = words.filter((words.str.count_matches(r"\d") < 2) | words.is_in(list(head.header)))
    good, end = pl.repeat(True, len(key), eager=True), len(key)
    for place in key.is_in(words.implode()).fill_null(False).arg_true().to_list() if len(words) else []:
        cells = cells_of(found.text_of(int(kept[place])), head.delimiter)
        if _plain(cells[: len(head.header)]) == _plain(head.header):
            good[place] = False
        elif is_header(cells):
            end = place
            break
    return good & (pl.int_range(len(key), eager=True) < end), end


def _plain(cells: Sequence[str]) -> list[str]:
    return [plain(cell) for cell in cells]


def _ragged(found: Records, some: NDArray[np.int64], n_cells: int, file: FileStamp) -> Problem:
    why = f"have not the {n_cells} cells of the header"
    remedy = "quote cells that hold the delimiter, write numbers without thousands separators, complete cut lines"
    return _left_out(found, some, why, remedy, file)


def _split(found: Records, some: NDArray[np.int64], file: FileStamp) -> Problem:
    why = "may hold a number that its own comma divides, as too long ones in this file do,"
    return _left_out(found, some, why, "quote numbers or write them without thousands separators", file)


def _left_out(found: Records, some: NDArray[np.int64], why: str, remedy: str, file: FileStamp) -> Problem:
    """What is said of lines that do not fit the header."""
    listed = ", ".join(str(found.lines[n]) for n in some[:10]) + (", ..." if len(some) > 10 else "")
    what, first = f"{len(some)} lines ({listed}) {why} and are left out, first", int(some[0])
    return in_file("ragged", file.name, what, remedy, int(found.lines[first]), found.text_of(first).strip())


def _maybe_split(found: Records, kept: NDArray[np.int64], head: Head, width: int) -> pl.Series:
    """Which lines have two neighbouring cells that could be one number which an unquoted comma divides."""
    if head.delimiter != ",":
        return pl.repeat(False, len(kept), eager=True)
    table = _parsed(found, kept, head.delimiter, range(width), width)
    split = [
        pl.col(left).str.contains(_HEAD_OF_NUMBER) & pl.col(right).str.contains(_TAIL_OF_NUMBER)
        for left, right in zip(table.columns, table.columns[1:], strict=False)
    ]
    return table.select(pl.any_horizontal(pl.lit(False), *split).fill_null(False).alias("split")).to_series()


def _parsed(found: Records, kept: NDArray[np.int64], delimiter: str, places: Sequence[int], width: int) -> pl.DataFrame:
    """Text cells of the records, trimmed, in columns named by their places; null where nothing stands."""
    names = [f"column_{place}" for place in places]
    if not len(kept):
        return pl.DataFrame(schema={str(place): pl.String for place in places})
    table = pl.read_csv(
        found.joined(kept), has_header=False, infer_schema=False, separator=delimiter,
        quote_char='"' if found.has_quotes else None, schema={f"column_{n}": pl.String for n in range(width)},
        columns=sorted(set(places)),
    ).select(names)  # fmt: skip
    table.columns = [str(place) for place in places]
    stripped = table.select(pl.all().str.strip_chars())
    return stripped.select(pl.when(pl.all() != "").then(pl.all()))


def no_table(file: FileStamp, head: Head) -> DataError:
    """What is said of a file whose first line is one cell: a vendor's message instead of a table."""
    return DataError(
        f"{file.name}: no table: the first line is {shown(head.first_line.strip()[:80])!r}, a message rather than a "
        "header; fetch it again."
    )
