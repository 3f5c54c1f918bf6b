"""What the reader makes of a folder: what each file was taken for, what was understood in it, and what was not.

The first thing to run on data of one's own; nothing is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.action_list import usable_actions
from quant_core.market.problems import Problem, shown
from quant_core.market.reading.columns import CRORE, LAKH
from quant_core.market.reading.opening import PARQUET_SUFFIXES, TEXT_SUFFIXES, FileStamp
from quant_core.market.reading.prices import damaged, read_or_reason, scan
from quant_core.market.sources._chosen import named_rows
from quant_core.market.sources._folder import (
    ACTIONS_NAME,
    CHANGES_NAME,
    MEMBERSHIP_NAME,
    SECTORS_NAME,
    PriceFile,
    SideFile,
    SideFiles,
    list_files,
    price_file,
)
from quant_core.market.sources._lists import read_sectors
from quant_core.market.sources._rows import Choice, rows_of
from quant_core.market.sources.files import FilesSource
from quant_core.market.symbols import usable_changes
from quant_core.market.universe import read_intervals

_UNITS = {1.0: "rupees", LAKH: "lakh rupees", CRORE: "crore rupees", 1e-5: "1e-5 rupees"}
_SHOWN_NAMES = 8


@dataclass(frozen=True)
class ColumnRead:
    """A column of the file and what it was taken for, in which unit ("" for text and dates)."""

    taken_for: str
    column: str
    unit: str = ""


@dataclass(frozen=True)
class FileRead:
    """One file as it was understood.

    taken_for: "prices", the name of a list, or "nothing". unread: columns that nothing reads. tickers: how many; names:
    the first of them. series, exchanges: rows by what the file says, "" where it says nothing.
    """

    file: str
    taken_for: str
    format: str = ""
    basis: str = ""
    encoding: str = ""
    delimiter: str = ""
    header_line: int = 0
    decimal: str = ""
    date_order: str = ""
    rows: int = 0
    first: date | None = None
    last: date | None = None
    tickers: int = 0
    names: tuple[str, ...] = ()
    series: dict[str, int] = field(default_factory=dict)
    exchanges: dict[str, int] = field(default_factory=dict)
    columns: tuple[ColumnRead, ...] = ()
    unread: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """All files, and what only all of them together show. rows, tickers: that the lab would use."""

    path: str
    files: tuple[FileRead, ...]
    rows: int
    tickers: int
    first: date | None
    last: date | None
    problems: tuple[Problem, ...]


def inspect(source: FilesSource, now: datetime) -> Inspection:
    """Everything under the source's path, each file read as a whole.

    Raises:
        DataError: no such path, or no file there.
    """
    path = Path(source.path).expanduser()
    stamps, skipped = list_files(path, source.pattern)
    try:
        side = source.side_files()
    except DataError as reason:
        side, skipped = SideFiles(None, None, None, None), (*skipped, _failed(path.name, reason))
    files = [_file(source, file, side, len(stamps) == 1) for file in stamps]
    files += [FileRead(problem.file, "nothing", problems=(problem,)) for problem in skipped]
    rows, problems = _together(source, now)
    problems += _subfolders(path, source.pattern)
    tickers = rows["ticker"].n_unique() if rows.height else 0
    first, last = _ends(rows)
    return Inspection(str(path), tuple(files), rows.height, tickers, first, last, problems)


def _subfolders(path: Path, pattern: str) -> tuple[Problem, ...]:
    """What is said of folders in the folder that hold files of prices by their names: they are not read."""
    inner = sorted(one for one in path.iterdir() if one.is_dir()) if path.is_dir() else []
    held = [one.name for one in inner if not one.name.startswith(".") and _has_tables(one, pattern)]
    if not held:
        return ()
    named = ", ".join(shown(name) for name in held[:5]) + (", ..." if len(held) > 5 else "")
    return (Problem("", "subfolder", f"{len(held)} folders are not read ({named}); give the path of one of them"),)


def _has_tables(folder: Path, pattern: str) -> bool:
    suffixes = (*TEXT_SUFFIXES, *PARQUET_SUFFIXES)
    try:
        names = (one.name for one in islice(folder.iterdir(), 1000))
        return any(fnmatch(name, pattern) and name.lower().endswith(suffixes) for name in names)
    except OSError:
        return False


def _failed(file: str, reason: DataError) -> Problem:
    return Problem("", "unread", str(reason), file=shown(file))


def _together(source: FilesSource, now: datetime) -> tuple[pl.DataFrame, tuple[Problem, ...]]:
    """The rows that the lab would use, and problems that belong to no single file."""
    try:
        fetched = source.fetch(None, date(1900, 1, 1), date(2100, 12, 31), now)
    except DataError as reason:
        return pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String}), (_failed("", reason),)
    return fetched.rows, tuple(problem for problem in fetched.problems if not problem.file)


def _file(source: FilesSource, file: FileStamp, side: SideFiles, is_alone: bool) -> FileRead:
    try:
        if not is_alone and file.name in side.names:
            return _side_list(file, side)
        found = price_file(file, source.format, dict(source.columns or ()), source.basis, source.ticker_pattern)
        return _prices(source, found)
    except DataError as reason:
        return FileRead(file.name, "nothing", problems=(_failed(file.name, reason),))
    except (OSError, pl.exceptions.PolarsError) as failure:
        broken = DataError(f"{file.name}: {damaged(failure)}; fetch it again.")
        return FileRead(file.name, "nothing", problems=(_failed(file.name, broken),))


def _side_list(file: FileStamp, side: SideFiles) -> FileRead:
    """A list beside the prices, by its own rules."""
    path, where = Path(file.path), f"membership file {file.name}"
    if file.name == CHANGES_NAME or _is(file, side.changes):
        table, problems = usable_changes(path)
        return _list_read(file, "symbol changes", table, "new_symbol", ["first_new"], problems)
    if file.name == ACTIONS_NAME or _is(file, side.actions):
        table, problems = usable_actions(path)
        return _list_read(file, "corporate actions", table, "ticker", ["ex_date"], problems)
    if file.name == MEMBERSHIP_NAME or _is(file, side.membership):
        return _list_read(file, "index membership", read_intervals(path, where), "ticker", ["from_date", "to_date"])
    assert file.name == SECTORS_NAME or _is(file, side.sectors)
    listed, problems = read_sectors(Path(file.path))
    table = pl.DataFrame([row[:2] for row in listed], schema={"ticker": pl.String, "sector": pl.String}, orient="row")
    return _list_read(file, "sectors", table, "ticker", [], problems)


def _is(file: FileStamp, side: SideFile | None) -> bool:
    return side is not None and side.name == file.name


def _list_read(
    file: FileStamp, kind: str, table: pl.DataFrame, name: str, dates: Sequence[str], problems: tuple[Problem, ...] = ()
) -> FileRead:
    days = [day for column in dates for day in (table[column].min(), table[column].max()) if isinstance(day, date)]
    names = table[name].unique().sort()
    return FileRead(
        file.name, kind, rows=table.height, first=min(days, default=None), last=max(days, default=None),
        tickers=len(names), names=tuple(names.head(_SHOWN_NAMES)), problems=problems,
    )  # fmt: skip


def _prices(source: FilesSource, file: PriceFile) -> FileRead:
    """A price file, read as a whole."""
    layout, head = file.layout, file.opened.head
    frame, problems = rows_of(file, 0, Choice(date.min, date.max, source.series), source.grammar)
    rows, nameless = named_rows(frame.collect())
    said = scan(file.opened, source.grammar)[0]
    whole = read_or_reason(file.opened, source.grammar) if head is not None else ""
    read = None if isinstance(whole, str) else whole
    names = rows["name"].unique().sort()
    first, last = _ends(rows)
    is_index = layout.column("index") is not None and not file.ticker
    header = tuple(name for name, _ in file.opened.schema) if head is None else head.header
    used = {column for _, column, _ in layout.columns}
    return FileRead(
        file.stamp.name,
        "indices" if is_index else "prices",
        format=layout.format,
        basis=layout.basis,
        encoding=head.encoding if head else "parquet",
        delimiter=head.delimiter if head else "",
        header_line=head.n_skipped + 1 if head else 0,
        decimal=read.decimal if read else "",
        date_order=read.date_order if read else "",
        rows=rows.height,
        first=first,
        last=last,
        tickers=len(names),
        names=tuple(names.head(_SHOWN_NAMES)),
        series=_counts(said, "series") if layout.column("series") else {},
        exchanges=_counts(rows.lazy(), "exchange"),
        columns=tuple(
            ColumnRead(name, shown(column), _unit(name, read.turnover_scale if read else layout.turnover_scale))
            for name, column, _ in layout.columns
        ),
        unread=tuple(shown(name) for name in header if name and name not in used),
        problems=(*problems, *nameless, *_none_left(source, file, rows, said)),
    )


def _none_left(source: FilesSource, file: PriceFile, rows: pl.DataFrame, said: pl.LazyFrame) -> list[Problem]:
    """What is said of a file whose rows all have series that are not asked for."""
    n_read = said.select(pl.len()).collect().item()
    if rows.height or not n_read:
        return []
    detail = f"{file.stamp.name}: none of {n_read} rows has one of the series {', '.join(source.series)}; set series"
    return [Problem("", "series", detail, file=file.stamp.name)]


def _unit(name: str, turnover_scale: float) -> str:
    if name == "turnover_inr":
        return _UNITS.get(turnover_scale, f"{turnover_scale:g} rupees")
    return "rupees" if name.endswith("_inr") else "shares" if name == "volume_shares" else ""


def _counts(frame: pl.LazyFrame, column: str) -> dict[str, int]:
    found = frame.group_by(pl.col(column).fill_null("")).len().sort("len", column, descending=[True, False]).collect()
    return dict(found.iter_rows())


def _ends(rows: pl.DataFrame) -> tuple[date | None, date | None]:
    first, last = rows["date"].min(), rows["date"].max()
    return (first if isinstance(first, date) else None, last if isinstance(last, date) else None)
