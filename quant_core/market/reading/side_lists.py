"""Lists beside the prices (actions, renames, members, sectors), through the same layout and grammars as prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import Problem, shown
from quant_core.market.reading.columns import plain
from quant_core.market.reading.dates import read_dates
from quant_core.market.reading.layout import head_of, read_cells
from quant_core.market.reading.numbers import NO_VALUE, POINT
from quant_core.market.reading.opening import MAX_HEADER_BYTES, MAX_LIST_BYTES, beginning, content, stamp
from quant_core.market.reading.values import Grammar, problem_of, read_number_columns

#: In these lists a number that nothing decides has a decimal point, as docs/market-data.md writes them.
_GRAMMAR = Grammar(fallback=POINT)


@dataclass(frozen=True)
class SideList:
    """A list as text under plain column names, with the line of each row, and what is said of lines that fit no row."""

    where: str
    table: pl.DataFrame
    lines: pl.Series
    problems: tuple[Problem, ...] = ()

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

    def numbers(self, column: str, *, strict: bool = True) -> pl.Series:
        """The column as numbers, empty cells null.

        Raises:
            DataError: a cell that is no number or could be two; with `strict` off it is null.
        """
        values, bad, _, _ = read_number_columns(self.table, [column], self.lines, self.file, _GRAMMAR, {})
        if strict and bad[column].any():
            self._refuse(
                bad[column], self.table[column], f"{column} is no number that has one meaning,", "write 1234.56"
            )
        return values[column]

    def unread(self, column: str, values: pl.Series) -> pl.Series:
        """Cells in which something stands of which nothing was read."""
        said = ~self.table[column].str.to_lowercase().is_in(NO_VALUE)
        return values.is_null() & said.fill_null(False)

    def without(self, rows: pl.DataFrame, broken: Mapping[str, pl.Series]) -> tuple[pl.DataFrame, tuple[Problem, ...]]:
        """Those of the list's rows that break no rule, and what is said of the others and of lines that fit no row.

        Args:
            rows: one a line of the list. broken: rule -> which rows break it.
        Raises:
            DataError: none of several lines is left: the list as a whole is misunderstood.
        """
        problems, kept = list(self.problems), pl.repeat(True, rows.height, eager=True)
        for rule, which in broken.items():
            for place in (which & kept).arg_true():
                problems.append(self._broken(rule, place))
            kept &= ~which
        if rows.height + len(self.problems) > 1 and problems and not kept.any():
            raise DataError(f"{problems[0].detail}. No other line could be read either.")
        return rows.filter(kept), tuple(problems)

    def _broken(self, rule: str, place: int) -> Problem:
        line, row = int(self.lines[place]), self.table.row(place)
        remedy = "fix or remove the row"
        said = f"{self.where} line {line}: {rule}: {shown(str(row))}; {remedy}"
        return Problem("", "broken_line", said, self.file, line, shown(str(row)), remedy)

    def _refuse(self, which: pl.Series, cells: pl.Series, what: str, remedy: str) -> None:
        found = problem_of("unparsable", self.where, which, cells, self.lines, what, remedy)
        raise DataError(f"{found.detail}.")


def read_list(path: Path, where: str, wanted: str, needed: Sequence[Sequence[str]], *, strict: bool = True) -> SideList:
    """A CSV file with a header that has, of every group of names in `needed`, at least one.

    Args:
        where: what the list is called in messages, the file's name last.
        wanted: the columns, for messages.
    Raises:
        DataError: unreadable, a column missing, a line that does not fit the header (a problem with `strict` off).
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
    problems = tuple(replace(one, detail=f"{where}: {one.detail}") for one in cells.problems)
    if strict and problems:
        raise DataError(f"{problems[0].detail}.")
    first: Mapping[str, int] = {name: names.index(name) for name in names}  # of twins
    table = cells.table.select(pl.col(str(place)).alias(name) for name, place in first.items())
    return SideList(where, table, cells.lines, problems)


def _is_header(cells: Sequence[str], needed: Sequence[Sequence[str]]) -> bool:
    names = {plain(cell) for cell in cells}
    return bool(needed) and all(names & set(group) for group in needed)
