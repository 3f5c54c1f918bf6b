"""Lists beside the prices (actions, renames, members, sectors), through the same layout and grammars as prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import shown
from quant_core.market.reading.columns import plain
from quant_core.market.reading.dates import read_dates
from quant_core.market.reading.layout import Cells, head_of, read_cells
from quant_core.market.reading.numbers import POINT
from quant_core.market.reading.opening import MAX_HEADER_BYTES, MAX_LIST_BYTES, beginning, content, stamp
from quant_core.market.reading.values import Grammar, problem_of, read_number_columns

#: In these lists a number that nothing decides has a decimal point, as docs/market-data.md writes them.
_GRAMMAR = Grammar(fallback=POINT)


@dataclass(frozen=True)
class SideList:
    """A list as text under plain column names, with the line of each row."""

    where: str
    table: pl.DataFrame
    lines: pl.Series

    @property
    def file(self) -> str:
        return self.where.rsplit(" ", 1)[-1]

    def dates(self, column: str, *, strict: bool = True) -> pl.Series:
        """The column as dates, empty cells null.

        Raises:
            DataError: a cell that is no date or could be two; with `strict` off it is null.
        """
        cells = self.table[column]
        found = read_dates(cells)
        if strict and found.is_bad.any():
            twofold = " and could be two days" if found.is_ambiguous else ""
            self._refuse(found.is_bad, cells, f"{column} is no YYYY-MM-DD{twofold},", "fix it")
        return found.values.alias(column)

    def numbers(self, column: str) -> pl.Series:
        """The column as numbers, empty cells null.

        Raises:
            DataError: a cell that is no number or could be two.
        """
        values, bad, _, _ = read_number_columns(self.table, [column], self.lines, self.file, _GRAMMAR, {})
        if bad[column].any():
            self._refuse(
                bad[column], self.table[column], f"{column} is no number that has one meaning,", "write 1234.56"
            )
        return values[column]

    def _refuse(self, which: pl.Series, cells: pl.Series, what: str, remedy: str) -> None:
        found = problem_of("unparsable", self.where, which, cells, self.lines, what, remedy)
        raise DataError(f"{found.detail}.")


def read_list(path: Path, where: str, wanted: str, needed: Sequence[Sequence[str]]) -> SideList:
    """A CSV file with a header that has, of every group of names in `needed`, at least one.

    Args:
        where: what the list is called in messages, the file's name last.
        wanted: the columns, for messages.
    Raises:
        DataError: unreadable, a column missing, a line that does not fit the header.
    """
    try:
        file = stamp(path)
        if file.size > MAX_LIST_BYTES:
            raise DataError(f"{file.size:,} bytes, at most {MAX_LIST_BYTES:,} are read")
        is_header = partial(_is_header, needed=needed)
        start = beginning(file, MAX_HEADER_BYTES)
        if not start.strip():
            raise DataError("the file is empty")
        head = head_of(start, is_header, file.name)
        names = [plain(name) or f"column_{n}" for n, name in enumerate(head.header)]
        missing = [group for group in needed if not set(group) & set(names)]
        if missing:
            said = " and ".join(" or ".join(group) for group in missing)
            raise DataError(f"no column {said} (found {shown(', '.join(head.header))})")
        cells = read_cells(content(file, MAX_LIST_BYTES), head, file, range(len(names)), is_header)
    except (OSError, DataError, pl.exceptions.PolarsError) as failure:
        raise DataError(f"{where}: cannot be read: {failure}; wanted columns {wanted}.") from failure
    return SideList(where, _named(cells, names, where), cells.lines)


def _named(cells: Cells, names: Sequence[str], where: str) -> pl.DataFrame:
    """The table under its names, the first of twins; lines that do not fit stop a list, which has no line to spare."""
    if cells.problems:
        raise DataError(f"{where}: {cells.problems[0].detail}.")
    first: Mapping[str, int] = {name: names.index(name) for name in names}
    return cells.table.select(pl.col(str(place)).alias(name) for name, place in first.items())


def _is_header(cells: Sequence[str], needed: Sequence[Sequence[str]]) -> bool:
    names = {plain(cell) for cell in cells}
    return bool(needed) and all(names & set(group) for group in needed)
