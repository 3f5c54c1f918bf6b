"""What lies in a folder of price files: which are prices, which are side files, which are neither and why."""

import fnmatch
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from quant_core.errors import DataError
from quant_core.market.problems import Problem, shown
from quant_core.market.reading.columns import DAILY, Layout
from quant_core.market.reading.dates import day_in_name
from quant_core.market.reading.identity import exchange_of_name, ticker_in
from quant_core.market.reading.opened import Opened, open_file
from quant_core.market.reading.opening import (
    MAX_LIST_BYTES,
    FileStamp,
    stamp,
    stem_of,
)

ACTIONS_NAME, CHANGES_NAME = "corporate_actions.csv", "symbol_changes.csv"
MEMBERSHIP_NAME, SECTORS_NAME = "index_membership.csv", "sectors.csv"
AUTO, NONE = "auto", "none"
#: NSE's files of all indices on a day, ind_close_all_31072026.csv.
DAILY_INDICES = "ind_close_all_"


@dataclass(frozen=True)
class PriceFile:
    """A file with prices.

    ticker: from the file name where no column says it, else "". exchange: that the file name states. day: of a one-day
    file, else None.
    """

    opened: Opened
    ticker: str = ""
    exchange: str | None = None
    day: date | None = None

    @property
    def stamp(self) -> FileStamp:
        return self.opened.stamp

    @property
    def layout(self) -> Layout:
        return self.opened.layout


@dataclass(frozen=True)
class SideFile:
    """A list beside the prices, as it reads now: another content is another file, whatever its size and time say."""

    path: str
    digest: str

    @property
    def name(self) -> str:
        return Path(self.path).name


@dataclass(frozen=True)
class SideFiles:
    """The lists that lie beside the prices."""

    actions: SideFile | None
    changes: SideFile | None
    membership: SideFile | None
    sectors: SideFile | None

    @property
    def names(self) -> set[str]:
        """File names that are never prices."""
        own = (self.actions, self.changes, self.membership, self.sectors)
        found = {file.name for file in own if file is not None}
        return {ACTIONS_NAME, CHANGES_NAME, MEMBERSHIP_NAME, SECTORS_NAME, *found}


@dataclass(frozen=True, eq=False)  # compared by identity: the caches that it is a key of must not hash 4,000 files
class Folder:
    """The files of one source."""

    stocks: tuple[PriceFile, ...]
    indices: tuple[PriceFile, ...]
    side: SideFiles
    problems: tuple[Problem, ...]


def list_files(path: Path, pattern: str) -> tuple[tuple[FileStamp, ...], tuple[Problem, ...]]:
    """The file itself, or the matching files of the folder, by name; and what there is no file, with the reason.

    Raises:
        DataError: no such path, one that is neither file nor folder, or no file matches.
    """
    if not os.path.lexists(path):
        raise DataError(f"files: path {path} does not exist; set the source's path to a file or a folder.")
    if not path.is_dir():
        return (stamp(path),), ()
    fits = re.compile(fnmatch.translate(pattern)).match
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError as failure:
        raise DataError(f"files: {path} cannot be listed ({failure.strerror}); check its rights.") from failure
    chosen: list[FileStamp] = []
    problems: list[Problem] = []
    for name in names:
        where = path / name
        if not fits(name) or where.is_dir():
            continue
        try:
            chosen.append(stamp(where))
        except DataError as reason:
            problems.append(ignored(name, reason))
    if not chosen:
        said = f"; first reason: {problems[0].detail}" if problems else ""
        raise DataError(
            f"files: no file in {path} matches {pattern!r} ({len(names)} files there); fix path or pattern{said}."
        )
    return tuple(chosen), tuple(problems)


def ignored(name: str, reason: DataError) -> Problem:
    """A file that is left out, and why."""
    return Problem("", "ignored_file", str(reason), file=shown(name))


def side_file(path: Path, name: str, setting: str, *, look_up: bool) -> SideFile | None:
    """A side file beside the prices (with `look_up` also one folder above), the one that the setting names, or None.

    Raises:
        DataError: the one that the setting names is absent, or what has the name is no readable file.
    """
    if setting == NONE:
        return None
    folder = path if path.is_dir() else path.parent
    if setting != AUTO:
        chosen = Path(setting).expanduser()
        chosen = chosen if chosen.is_absolute() else folder / chosen
        if not chosen.is_file():
            raise DataError(
                f"files: {name} is set to {setting!r}, and {chosen} does not exist; fix it or set {AUTO!r}."
            )
        return _as_it_reads(chosen)
    places = (folder, folder.resolve().parent) if look_up else (folder,)
    return next((_as_it_reads(place / name) for place in places if os.path.lexists(place / name)), None)


def _as_it_reads(path: Path) -> SideFile:
    file = stamp(path)
    if file.size > MAX_LIST_BYTES:
        raise DataError(f"{file.name}: {file.size:,} bytes, at most {MAX_LIST_BYTES:,} of a list are read; shorten it.")
    try:
        return SideFile(str(path), hashlib.sha256(path.read_bytes()).hexdigest()[:16])
    except OSError as failure:
        raise DataError(f"{file.name}: cannot be read ({failure.strerror}); check its rights.") from failure


def sort_files(
    files: tuple[FileStamp, ...],
    side: SideFiles,
    wanted_format: str,
    renamed: Mapping[str, str],
    basis: str,
    ticker_pattern: str,
    skipped: tuple[Problem, ...] = (),
) -> Folder:
    """Which file is what; a single file that is no price table is an error, one among many a Problem.

    Raises:
        DataError: no file has prices.
    """
    stocks: list[PriceFile] = []
    indices: list[PriceFile] = []
    problems = list(skipped)
    beside = side.names
    for file in files:
        if len(files) > 1 and file.name in beside:
            continue
        try:
            found = price_file(file, wanted_format, renamed, basis, ticker_pattern)
        except DataError as reason:
            if len(files) == 1:
                raise
            problems.append(ignored(file.name, reason))
            continue
        is_index = found.layout.column("index") is not None and not found.ticker
        (indices if is_index else stocks).append(found)
    if not stocks and not indices:
        reasons = "; ".join(problem.detail for problem in problems[:3])
        raise DataError(f"files: none of {len(files)} files has prices; first reasons: {reasons}")
    return Folder(tuple(stocks), tuple(indices), side, tuple(problems))


def price_file(
    file: FileStamp, wanted_format: str, renamed: Mapping[str, str], basis: str, ticker_pattern: str
) -> PriceFile:
    """What a file of prices is, by its beginning and its name.

    Raises:
        DataError: no price table, or no column and no file name that gives a ticker.
    """
    opened = open_file(file, wanted_format, renamed, basis)
    stem = stem_of(file.name)
    exchange = exchange_of_name(stem)
    if opened.layout.format in DAILY:
        return PriceFile(opened, exchange=exchange, day=day_in_name(file.name))
    if any(opened.layout.column(name) for name in ("ticker", "symbol", "index")):
        is_daily = stem.lower().startswith(DAILY_INDICES)
        return PriceFile(opened, exchange=exchange, day=day_in_name(file.name) if is_daily else None)
    ticker = ticker_in(stem, ticker_pattern)
    if ticker is None:
        raise DataError(
            f"{file.name}: the file name gives no ticker by ticker_pattern {ticker_pattern!r}; change the pattern."
        )
    return PriceFile(opened, ticker, exchange)
