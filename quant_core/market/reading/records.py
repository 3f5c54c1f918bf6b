"""Where each record of a text begins, on which line, and how many cells it has, without a Python step per line.

Quotes are counted: a delimiter or a line end behind an odd number of them is part of a cell. Texts whose quotes do not
stand at the edges of cells are rewritten by Python's csv reader first.
"""

import csv
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant_core.errors import DataError

_CHUNK = 1 << 26
_NEWLINE, _QUOTE = 10, 34


@dataclass(frozen=True)
class Records:
    """The records of a text, in order.

    text: what the offsets are of. starts, ends: offsets, the line end excluded. lines: numbers of lines, from 1.
    n_cells: delimiters outside quotes, and one.
    """

    text: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    lines: NDArray[np.int64]
    n_cells: NDArray[np.int64]
    has_quotes: bool

    def text_of(self, record: int) -> str:
        """One record as it stands in the file."""
        return self.text[self.starts[record] : self.ends[record]].decode(errors="replace")

    def content(self, some: NDArray[np.int64], comment: bytes) -> NDArray[np.int64]:
        """Those of the records that are neither blank nor comments."""
        letters = np.frombuffer(self.text, dtype=np.uint8)
        some = some[self.ends[some] > self.starts[some]]
        some = some[letters[self.starts[some]] != comment[0]]
        single = some[self.n_cells[some] == 1]
        blank = [n for n in single if not self.text[self.starts[n] : self.ends[n]].strip()]
        return some[~np.isin(some, blank)] if blank else some

    def joined(self, some: NDArray[np.int64]) -> bytes:
        """The text of some records, ascending, one after another."""
        if len(some) and some[-1] - some[0] + 1 == len(some):
            return self.text[self.starts[some[0]] : self.ends[some[-1]] + 1]
        return b"\n".join(self.text[self.starts[n] : self.ends[n]] for n in some) + b"\n"


def records(text: bytes, delimiter: str, where: str) -> Records:
    """The records of UTF-8 text with `\\n` at the end of a line.

    Raises:
        DataError: quotes that nothing closes, or a cell too long to be one.
    """
    if b'"' in text and not _quotes_at_edges(text, delimiter):
        text, lines = _rewritten(text, delimiter, where)
        found = _scanned(text, delimiter)
        return Records(text, found.starts, found.ends, lines, found.n_cells, found.has_quotes)
    return _scanned(text, delimiter)


def _scanned(text: bytes, delimiter: str) -> Records:
    letters = np.frombuffer(text, dtype=np.uint8)
    ends, cells, inner, n_delimiters, n_quotes = [], [], [], 0, 0
    for begin in range(0, len(letters), _CHUNK):
        part = letters[begin : begin + _CHUNK]
        quotes = np.flatnonzero(part == _QUOTE)
        newlines, inside = _outside(np.flatnonzero(part == _NEWLINE), quotes, n_quotes)
        delimiters, _ = _outside(np.flatnonzero(part == ord(delimiter)), quotes, n_quotes)
        ends.append(newlines + begin)
        inner.append(inside + begin)
        cells.append(np.searchsorted(delimiters, newlines) + n_delimiters)
        n_delimiters, n_quotes = n_delimiters + len(delimiters), n_quotes + len(quotes)
    all_ends, before = np.concatenate([*ends, [0]])[:-1], np.concatenate([*cells, [0]])[:-1]
    if not text.endswith(b"\n") or not len(all_ends) or all_ends[-1] != len(text) - 1:
        all_ends, before = np.append(all_ends, len(text)), np.append(before, n_delimiters)
    starts = np.append(0, all_ends[:-1] + 1)
    lines = np.arange(len(starts)) + 1 + np.searchsorted(np.concatenate([*inner, [0]])[:-1], starts)
    n_cells = np.diff(before, prepend=0) + 1
    whole = [values.astype(np.int64) for values in (starts, all_ends, lines, n_cells)]
    return Records(text, whole[0], whole[1], whole[2], whole[3], n_quotes > 0)


def _outside(
    places: NDArray[np.int64], quotes: NDArray[np.int64], n_before: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places outside quotes, and those inside."""
    if not len(quotes) and n_before % 2 == 0:
        return places, places[:0]
    inside = (np.searchsorted(quotes, places) + n_before) % 2 == 1
    return places[~inside], places[inside]


def _quotes_at_edges(text: bytes, delimiter: str) -> bool:
    """Whether every opening quote begins a cell and every closing one ends it; a doubled one does both."""
    letters = np.frombuffer(text, dtype=np.uint8)
    quotes = np.flatnonzero(letters == _QUOTE)
    if len(quotes) % 2:
        return False
    opening, closing = quotes[0::2], quotes[1::2]
    edges = np.array([ord(delimiter), _NEWLINE, _QUOTE], dtype=np.uint8)
    before = letters[opening[opening > 0] - 1]
    after = letters[closing[closing < len(letters) - 1] + 1]
    return bool(np.isin(before, edges).all() and np.isin(after, edges).all())


def _rewritten(text: bytes, delimiter: str, where: str) -> tuple[bytes, NDArray[np.int64]]:
    """The text with quotes at the edges of cells, and the line that each record begins on."""
    reader = csv.reader(
        io.StringIO(text.decode(), newline=""), delimiter=delimiter, skipinitialspace=True, strict=False
    )
    out, lines, line = io.StringIO(), [], 1
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    try:
        for cells in reader:
            writer.writerow(cells) if cells else out.write("\n")
            lines.append(line)
            line = reader.line_num + 1
    except csv.Error as failure:
        raise DataError(f"{where} line {line}: {failure}; a quote is not closed; fix or remove it.") from failure
    return out.getvalue().encode(), np.array(lines, dtype=np.int64)
