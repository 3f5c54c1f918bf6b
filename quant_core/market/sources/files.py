"""Prices from files: a CSV or Parquet file or a folder of them, with corporate actions and symbol changes beside.

A folder may mix bases: unadjusted files are the primary ones, split-adjusted ones give what lies before a ticker's
first unadjusted row. Nothing is repaired; duplicates and impossible bars are the cleaning stage's to judge.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.market.actions import LOOKBACK_DAYS, listed_events
from quant_core.market.lists import KnownList
from quant_core.market.problems import Problem
from quant_core.market.reading.identity import bare_name
from quant_core.market.reading.opening import FileStamp
from quant_core.market.sources._file_settings import FileSettings
from quant_core.market.sources._folder import NONE, Folder, SideFiles, list_files, sort_files
from quant_core.market.sources._lists import (
    actions_lists,
    in_folder_names,
    list_problems,
    names_list,
    own_membership,
    own_sectors,
    own_universe,
    sectors_list,
)
from quant_core.market.sources._span import ended, files_of_span, filled, index_rows, needs_actions, stock_rows
from quant_core.market.sources._whole import folder_actions, names_of
from quant_core.market.sources.source import SOURCES, Fetch, check_span, missing_tickers, raw_rows
from quant_core.market.universe import EVERY_TICKER, Universe, membership, universe
from quant_core.schema import SPLIT_ADJUSTED


@SOURCES.register("files")
@dataclass(frozen=True)
class FilesSource(FileSettings):
    """CSV or Parquet files on disk (NSE bhavcopy, Kaggle, yfinance or plain), with corporate actions beside them.

    index_membership.csv and sectors.csv beside the prices or one folder above win over the shipped lists; see `_lists`.
    """

    def fetch(self, tickers: Sequence[str] | None, start: date, end: date, now: datetime) -> Fetch:
        """Rows of the span, from the files as they are now."""
        check_span("files", start, end)
        folder = self._folder()
        tickers = None if tickers is None else sorted({bare_name(name) for name in tickers})
        begin = max(start, date.min + timedelta(days=LOOKBACK_DAYS)) - timedelta(days=LOOKBACK_DAYS)
        stocks, problems = stock_rows(self, folder, tickers, begin, end)
        indices, more = index_rows(self, folder, tickers, begin, end)
        rows = pl.concat([stocks, indices], how="diagonal_relaxed")
        rows = rows.filter(pl.col("date").is_between(start, end))
        renamed = [rename.problem for rename in names_of(self, folder).seen if start <= rename.first_new <= end]
        problems = [*folder.problems, *problems, *more, *renamed, *filled(rows, folder), *ended(folder, rows)]
        problems += list_problems(folder.side)
        problems += missing_tickers(tickers, rows, f"files {Path(self.path).name}")
        rows = raw_rows(rows, f"files {self.path}", "fix the file or set columns, format or basis of the source.")
        return Fetch(rows, tuple(problems))

    def version(self, start: date, end: date, now: datetime) -> str:
        """Digest of the files that the span is read from: names, sizes and times of prices, contents of side files.

        A rename that only the rows show counts from its first day on; with split-adjusted files, which may hold the
        later name's history, always.
        """
        folder = self._folder()
        chosen = [file.stamp for file in files_of_span((*folder.stocks, *folder.indices), start, end)]
        text = "|".join(f"{file.name}:{file.size}:{file.mtime_ns}" for file in chosen)
        lists = [file for file in (folder.side.actions, folder.side.changes) if file is not None]
        text += "|".join(f"{file.name}:{file.digest}" for file in lists)
        whole = any(file.layout.basis == SPLIT_ADJUSTED for file in folder.stocks)
        text += repr([(r.old, r.new) for r in names_of(self, folder).seen if whole or r.first_new <= end])
        return f"{len(chosen) + len(lists)} files {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    # ---- the folder's own lists, and the shipped ones under the folder's names ---------------------------------------

    def membership(self, universe: str | Sequence[str]) -> pl.DataFrame:
        """Dated members of a universe under the names of the rows; the folder's own list where it has one."""
        chosen = universe if isinstance(universe, str) else tuple(universe)
        return _members(self, self._folder(), chosen, _own_content(chosen))

    def universe(self, name: str | Sequence[str]) -> Universe:
        """What a report must say of the universe: of the folder's own list where it has one."""
        file = self._folder().side.membership
        own = own_membership(file, name)
        return universe(name) if own is None or file is None else own_universe(own, file, str(name))

    def sectors(self) -> pl.DataFrame:
        """Columns ticker, sector."""
        return _sectors(self, self._folder())

    def lists(self) -> tuple[KnownList, ...]:
        """Until when the lists are known that the rows and sectors depend on."""
        folder = self._folder()
        names = [] if self.symbol_changes == NONE else [names_list(folder.side.changes)]
        actions = actions_lists(folder.side.actions) if needs_actions(folder) else []
        return (*names, *actions, sectors_list(folder.side.sectors))

    def listed_events(self) -> pl.DataFrame:
        """Listed actions that no row of a fetch carries: see `actions.listed_events`."""
        return listed_events(folder_actions(self, self._folder()))

    def _folder(self) -> Folder:
        path = Path(self.path).expanduser()
        files, skipped = list_files(path, self.pattern)
        return _folder(self, files, self.side_files(), skipped)


@lru_cache(maxsize=16)
def _folder(
    config: FileSettings, files: tuple[FileStamp, ...], side: SideFiles, skipped: tuple[Problem, ...]
) -> Folder:
    renamed = dict(config.columns or ())
    return sort_files(files, side, config.format, renamed, config.basis, config.ticker_pattern, skipped)


@lru_cache(maxsize=16)
def _members(config: FileSettings, folder: Folder, universe: str | tuple[str, ...], content: str) -> pl.DataFrame:
    """A plan asks for each partition; `content` makes an edited file of the universe another one."""
    own = own_membership(folder.side.membership, universe)
    intervals = membership(universe) if own is None else own
    if EVERY_TICKER in intervals["ticker"]:
        return intervals
    return in_folder_names(intervals, names_of(config, folder), f"members of {universe} in {config.path}")


def _own_content(universe: str | tuple[str, ...]) -> str:
    """Digest of the file that a universe names; "" where it names none, or one that cannot be read."""
    path = Path(universe).expanduser() if isinstance(universe, str) and universe.lower().endswith(".csv") else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""


@lru_cache(maxsize=16)
def _sectors(config: FileSettings, folder: Folder) -> pl.DataFrame:
    return own_sectors(folder.side.sectors, names_of(config, folder))
