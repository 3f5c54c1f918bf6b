"""What lies in a folder of price files: which are prices, which are side files, which are neither and why."""

import fnmatch
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from quant_core.errors import DataError
from quant_core.market.sources._formats import Layout
from quant_core.market.sources._reading import (
    PARQUET_SUFFIXES,
    TEXT_SUFFIXES,
    FileStamp,
    layout_of,
    stamp,
    ticker_of_name,
)
from quant_core.market.sources.source import Problem

ACTIONS_NAME, CHANGES_NAME = "corporate_actions.csv", "symbol_changes.csv"
MEMBERSHIP_NAME, SECTORS_NAME = "index_membership.csv", "sectors.csv"
AUTO, NONE = "auto", "none"
#: Year first, or day first as in NSE's own sec_bhavdata_full_23032020; no day of this century reads as both.
_DAYS_IN_NAME = (
    (re.compile(r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)(?!\d)"), "%Y-%m-%d"),
    (re.compile(r"(?<!\d)(\d\d)-?(\d\d)-?(\d{4})(?!\d)"), "%d-%m-%Y"),
)


@dataclass(frozen=True)
class PriceFile:
    """A file with prices.

    ticker: from the file name where no column says it, else "". day: of a one-day file, else None.
    """

    stamp: FileStamp
    layout: Layout
    ticker: str = ""
    day: date | None = None


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


def list_files(path: Path, pattern: str) -> tuple[FileStamp, ...]:
    """The file itself, or the matching files of the folder, by name.

    Raises:
        DataError: no such path, or no file matches.
    """
    if not path.exists():
        raise DataError(f"files: path {path} does not exist; set the source's path to a file or a folder.")
    if path.is_file():
        return (stamp(path),)
    with os.scandir(path) as entries:
        found = {entry.name: entry for entry in entries if not entry.name.startswith(".") and entry.is_file()}
    names = sorted(found)
    fits = re.compile(fnmatch.translate(pattern)).match
    stats = ((found[name].path, found[name].stat()) for name in names if fits(name))
    chosen = tuple(FileStamp(where, status.st_size, status.st_mtime_ns) for where, status in stats)
    if not chosen:
        raise DataError(
            f"files: no file in {path} matches {pattern!r} ({len(names)} files there); fix path or pattern."
        )
    return chosen


def side_file(path: Path, name: str, setting: str, *, look_up: bool) -> SideFile | None:
    """A side file beside the prices (with `look_up` also one folder above), the one that the setting names, or None."""
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
    return next((_as_it_reads(place / name) for place in places if (place / name).is_file()), None)


def _as_it_reads(path: Path) -> SideFile:
    return SideFile(str(path), hashlib.sha256(path.read_bytes()).hexdigest()[:16])


def sort_files(
    files: tuple[FileStamp, ...],
    side: SideFiles,
    wanted_format: str,
    renamed: Mapping[str, str],
    basis: str,
    ticker_pattern: str,
) -> Folder:
    """Which file is what; a single file that is no price table is an error, one among many a Problem.

    Raises:
        DataError: no file has prices.
    """
    stocks: list[PriceFile] = []
    indices: list[PriceFile] = []
    problems: list[Problem] = []
    beside = side.names
    for file in files:
        if len(files) > 1 and file.name in beside:
            continue
        try:
            found = _price_file(file, wanted_format, renamed, basis, ticker_pattern)
        except DataError as reason:
            if len(files) == 1:
                raise
            problems.append(Problem("", "ignored_file", str(reason)))
            continue
        is_index = found.layout.column("index") is not None and not found.ticker
        (indices if is_index else stocks).append(found)
    if not stocks and not indices:
        reasons = "; ".join(problem.detail for problem in problems[:3])
        raise DataError(f"files: none of {len(files)} files has prices; first reasons: {reasons}")
    return Folder(tuple(stocks), tuple(indices), side, tuple(problems))


def _price_file(
    file: FileStamp, wanted_format: str, renamed: Mapping[str, str], basis: str, ticker_pattern: str
) -> PriceFile:
    if not file.name.lower().endswith((*TEXT_SUFFIXES, *PARQUET_SUFFIXES)):
        raise DataError(f"{file.name}: no price file; wanted one of {', '.join((*TEXT_SUFFIXES, *PARQUET_SUFFIXES))}.")
    layout = layout_of(file, wanted_format, renamed, basis)
    if layout.format == "nse_bhavcopy":
        return PriceFile(file, layout, day=_day_in(file.name))
    if any(layout.column(name) for name in ("ticker", "symbol", "index")):
        return PriceFile(file, layout)
    return PriceFile(file, layout, ticker=ticker_of_name(file.name, ticker_pattern))


def _day_in(name: str) -> date | None:
    for pattern, form in _DAYS_IN_NAME:
        found = pattern.search(name)
        if found is None:
            continue
        try:
            return datetime.strptime("-".join(found.groups()), form).date()
        except ValueError:
            continue  # eight digits in the other order
    return None
