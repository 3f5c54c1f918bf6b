"""Prices from files: a CSV or Parquet file or a folder of them, with corporate actions and symbol changes beside.

A folder may mix bases: unadjusted files are the primary ones, split-adjusted ones give what lies before a ticker's
first unadjusted row. Nothing is repaired; duplicates and impossible bars are the cleaning stage's to judge.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.action_list import usable_actions
from quant_core.market.actions import (
    LOOKBACK_DAYS,
    apply_actions,
    listed_events,
    no_actions,
    with_known_actions,
)
from quant_core.market.listings import since_listing
from quant_core.market.lists import NEVER, KnownList, known_to
from quant_core.market.problems import Problem
from quant_core.market.reading.identity import BSE, bare_name
from quant_core.market.reading.numbers import COMMA, POINT
from quant_core.market.reading.opening import FileStamp
from quant_core.market.reading.values import Grammar
from quant_core.market.sources._folder import (
    ACTIONS_NAME,
    AUTO,
    CHANGES_NAME,
    MEMBERSHIP_NAME,
    NONE,
    SECTORS_NAME,
    Folder,
    PriceFile,
    SideFiles,
    list_files,
    side_file,
    sort_files,
)
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
from quant_core.market.sources._names import AS_THEY_ARE, NAMED, OF_THE_DAY, Names, find_names
from quant_core.market.sources._rows import (
    ONLY_FOR_CHOOSING,
    ROWS,
    Choice,
    chained,
    collected,
    conflicts,
    have_doubles,
    lost_numbers,
    many_a_day,
    named_rows,
    one_exchange,
    one_file,
    one_series,
    other_series,
    rows_of,
)
from quant_core.market.sources.source import SOURCES, Fetch, check_span, early_rows, missing_tickers, raw_rows
from quant_core.market.symbols import final_names, shipped_names, usable_changes
from quant_core.market.universe import EVERY_TICKER, Universe, membership, universe
from quant_core.schema import INDEX, SPLIT_ADJUSTED, UNADJUSTED

SHOWN_TICKERS = 60


@SOURCES.register("files")
@dataclass(frozen=True)
class FilesSource:
    """CSV or Parquet files on disk (NSE bhavcopy, Kaggle, yfinance or plain), with corporate actions beside them.

    Args:
        path: a file, or a folder (its subfolders are not read).
        format: a name of `reading.columns.FORMATS`, or "auto" to go by the header.
        pattern: which files of the folder, e.g. "*.csv".
        columns: lab column -> column of the file, where the header has other names, e.g. {"close": "Last Traded"}.
        series: series that are kept where a file has them, the first winning where a name has two on a day: the
            ordinary one and those a name is moved to (NSE's BE and BZ, BSE's T: delivery only, no netting within the
            day; BSE's E). Bonds, funds and the market of small companies stay out.
        basis: "unadjusted" or "split_adjusted"; "auto" goes by the header.
        ticker_pattern: regular expression with the group `ticker`, for files named after their ticker.
        date_format: strptime format where dates are ambiguous; by default another date of the column tells whether
            03/04/2001 is 3 April, and without one it is not read.
        decimal: "point" or "comma" where numbers are ambiguous; "auto" goes by what the file shows.
        actions: corporate actions file; "auto" is corporate_actions.csv beside the prices, "none" ignores it.
        symbol_changes: "auto" is symbol_changes.csv beside the prices or one folder above, else the shipped list; with
            "none" every name stays as it is in the files.

    index_membership.csv and sectors.csv beside the prices or one folder above win over the shipped lists; see `_lists`.
    """

    path: str
    format: str = AUTO
    pattern: str = "*"
    columns: Mapping[str, str] | tuple[tuple[str, str], ...] | None = None
    series: tuple[str, ...] = ("EQ", "BE", "BZ", "T", "E")
    basis: str = AUTO
    ticker_pattern: str = r"^(?P<ticker>.+?)(\.NS|\.BO)?$"
    date_format: str | None = None
    decimal: str = AUTO
    actions: str = AUTO
    symbol_changes: str = AUTO

    def __post_init__(self) -> None:
        if self.basis not in (AUTO, UNADJUSTED, SPLIT_ADJUSTED):
            raise DataError(f"files: basis {self.basis!r} is none of {AUTO}, {UNADJUSTED}, {SPLIT_ADJUSTED}.")
        if self.decimal not in (AUTO, POINT, COMMA):
            raise DataError(f"files: decimal {self.decimal!r} is none of {AUTO}, {POINT}, {COMMA}.")
        _check_date_format(self.date_format)
        object.__setattr__(self, "series", tuple(self.series))
        object.__setattr__(self, "columns", tuple(dict(self.columns or ()).items()))  # hashable, for the caches
        try:
            named = re.compile(self.ticker_pattern).groupindex
        except re.error as failure:
            raise DataError(
                f"files: ticker_pattern {self.ticker_pattern!r} is no regular expression ({failure})."
            ) from None
        if "ticker" not in named:
            raise DataError(f"files: ticker_pattern {self.ticker_pattern!r} has no group (?P<ticker>...); give it one.")

    def fetch(self, tickers: Sequence[str] | None, start: date, end: date, now: datetime) -> Fetch:
        """Rows of the span, from the files as they are now."""
        check_span("files", start, end)
        folder = self._folder()
        tickers = None if tickers is None else sorted({bare_name(name) for name in tickers})
        begin = max(start, date.min + timedelta(days=LOOKBACK_DAYS)) - timedelta(days=LOOKBACK_DAYS)
        stocks, problems = _stock_rows(self, folder, tickers, begin, end)
        indices, more = _index_rows(self, folder, tickers, begin, end)
        rows = pl.concat([stocks, indices], how="diagonal_relaxed")
        rows = rows.filter(pl.col("date").is_between(start, end))
        renamed = [rename.problem for rename in _names(self, folder).seen if start <= rename.first_new <= end]
        problems = [*folder.problems, *problems, *more, *renamed, *_filled(rows, folder), *_ended(folder, rows)]
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
        chosen = [file.stamp for file in _of_span((*folder.stocks, *folder.indices), start, end)]
        text = "|".join(f"{file.name}:{file.size}:{file.mtime_ns}" for file in chosen)
        lists = [file for file in (folder.side.actions, folder.side.changes) if file is not None]
        text += "|".join(f"{file.name}:{file.digest}" for file in lists)
        whole = any(file.layout.basis == SPLIT_ADJUSTED for file in folder.stocks)
        text += repr([(r.old, r.new) for r in _names(self, folder).seen if whole or r.first_new <= end])
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
        actions = actions_lists(folder.side.actions) if _needs_actions(folder) else []
        return (*names, *actions, sectors_list(folder.side.sectors))

    def listed_events(self) -> pl.DataFrame:
        """Listed actions that no row of a fetch carries: see `actions.listed_events`."""
        return listed_events(_actions(self, self._folder()))

    @property
    def grammar(self) -> Grammar:
        """How dates and numbers are read."""
        return Grammar(self.date_format, self.decimal)

    def _folder(self) -> Folder:
        path = Path(self.path).expanduser()
        files, skipped = list_files(path, self.pattern)
        return _folder(self, files, self.side_files(), skipped)

    def side_files(self) -> SideFiles:
        """The lists beside the prices, as they read now."""
        path = Path(self.path).expanduser()
        return SideFiles(
            side_file(path, ACTIONS_NAME, self.actions, look_up=False),
            side_file(path, CHANGES_NAME, self.symbol_changes, look_up=True),
            side_file(path, MEMBERSHIP_NAME, AUTO, look_up=True),
            side_file(path, SECTORS_NAME, AUTO, look_up=True),
        )


def _check_date_format(form: str | None) -> None:
    """Raise a DataError for a format with a sign that strptime has not, or without any."""
    try:
        datetime.strptime("", form or "%d")
    except (ValueError, re.error) as failure:
        if "does not match" not in str(failure):
            raise DataError(
                f"files: date_format {form!r}: {failure}; write it as strptime does, e.g. %d/%m/%Y."
            ) from None
    if form is not None and "%" not in form:
        raise DataError(f"files: date_format {form!r} has no sign of strptime; write it as in %d/%m/%Y.")


@lru_cache(maxsize=16)
def _folder(config: FilesSource, files: tuple[FileStamp, ...], side: SideFiles, skipped: tuple[Problem, ...]) -> Folder:
    renamed = dict(config.columns or ())
    return sort_files(files, side, config.format, renamed, config.basis, config.ticker_pattern, skipped)


@lru_cache(maxsize=16)
def _actions(config: FilesSource, folder: Folder) -> pl.DataFrame:
    """The folder's actions, completed by the shipped ones, under the names of its rows."""
    if folder.side.actions is None:
        return no_actions()
    table = with_known_actions(usable_actions(Path(folder.side.actions.path))[0])
    ways = [chained(file) for file in folder.stocks if chained(file) not in (AS_THEY_ARE, OF_THE_DAY)]
    way = pl.lit(ways[0] if ways else OF_THE_DAY)
    names = _names(config, folder)
    own = {
        column: names.of(table.select(date="ex_date", name=column).with_columns(chained=way))
        for column in ("ticker", "into")
        if column in table.columns
    }
    return table.with_columns(**own).sort("ticker", "ex_date", maintain_order=True)


def _names(config: FilesSource, folder: Folder) -> Names:
    """The names of the whole folder, whatever the span."""
    return _whole(config, folder).names


@dataclass(frozen=True)
class _Whole:
    """names: of the folder. aside: tickers of which BSE's rows give way to NSE's. mixed: files that have several closes
    a day. has_doubles: a name has a day twice in some file.
    """

    names: Names
    aside: frozenset[str]
    mixed: tuple[PriceFile, ...]
    has_doubles: bool


@lru_cache(maxsize=16)
def _whole(config: FilesSource, folder: Folder) -> _Whole:
    """What only all rows of a folder tell.

    Raises:
        DataError: there are stock files, and not one row could be read.
    """
    own = folder.side.changes
    finals = shipped_names() if own is None else final_names(usable_changes(Path(own.path))[0])
    if config.symbol_changes == NONE:
        finals = finals.clear()
    columns = [*NAMED, "exchange", "basis", "close_inr", "prev_close_inr", "volume_shares", "_file"]
    choice = Choice(date.min, date.max, config.series)
    scans = [rows_of(file, n, choice, config.grammar) for n, file in enumerate(folder.stocks)]
    parts, damaged = collected(folder.stocks, [frame.select(columns) for frame, _ in scans])
    rows, nameless = named_rows(pl.concat([ROWS.select(columns), *parts]))
    has_doubles = have_doubles(rows)
    mixed = _mixed_places(folder, [frame for frame, _ in scans]) if has_doubles else []
    rows = rows.filter(~pl.col("_file").is_in(mixed)) if mixed else rows
    mixed_files = tuple(folder.stocks[place] for place in mixed)
    if folder.stocks and not rows.height and not folder.indices:
        said = [*(problem for _, found in scans for problem in found), *damaged, *_mixed(mixed_files), *nameless]
        said += other_series(folder.stocks, config.series, config.grammar)
        reasons = "; ".join(one.detail.removesuffix(".") for one in said[:3])
        raise DataError(f"files: no row could be read in {config.path}: {reasons or 'no row there'}.")
    names = find_names(rows, finals, has_own_list=own is not None, see_more=config.symbol_changes != NONE)
    return _Whole(names, _on_both(rows, names), mixed_files, has_doubles)


def _mixed_places(folder: Folder, frames: Sequence[pl.LazyFrame]) -> list[int]:
    """Which of the stock files have several closes a day; read again with the series, which few folders need."""
    columns = ["_file", "name", "series", "exchange", "date", "close_inr"]
    return many_a_day(
        pl.concat([ROWS.select(columns), *collected(folder.stocks, [f.select(columns) for f in frames])[0]])
    )


def _mixed(files: Sequence[PriceFile]) -> list[Problem]:
    """What is said of files with several closes a day."""
    found = []
    for file in files:
        what = (
            f"most days have several closes for {file.ticker or 'a name'}: intraday bars, or several stocks that no "
            "column tells apart; it is left out"
        )
        remedy = "keep one row a day, or name the column of the ticker in the setting columns"
        found.append(Problem("", "many_a_day", f"{file.stamp.name}: {what}; {remedy}", remedy=remedy))
    return found


def _on_both(rows: pl.DataFrame, names: Names) -> frozenset[str]:
    """Tickers with rows of BSE and of another exchange, or of none that is stated."""
    is_bse = (rows["exchange"] == BSE).fill_null(False)
    if not is_bse.any():
        return frozenset()
    tickers = names.of(rows)
    return frozenset(tickers.filter(is_bse)) & frozenset(tickers.filter(~is_bse))


@lru_cache(maxsize=16)
def _members(config: FilesSource, folder: Folder, universe: str | tuple[str, ...], content: str) -> pl.DataFrame:
    """A plan asks for each partition; `content` makes an edited file of the universe another one."""
    own = own_membership(folder.side.membership, universe)
    intervals = membership(universe) if own is None else own
    if EVERY_TICKER in intervals["ticker"]:
        return intervals
    return in_folder_names(intervals, _names(config, folder), f"members of {universe} in {config.path}")


def _own_content(universe: str | tuple[str, ...]) -> str:
    """Digest of the file that a universe names; "" where it names none, or one that cannot be read."""
    path = Path(universe).expanduser() if isinstance(universe, str) and universe.lower().endswith(".csv") else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""


@lru_cache(maxsize=16)
def _sectors(config: FilesSource, folder: Folder) -> pl.DataFrame:
    return own_sectors(folder.side.sectors, _names(config, folder))


def _of_span(files: Sequence[PriceFile], start: date, end: date) -> list[PriceFile]:
    return [file for file in files if file.day is None or start <= file.day <= end]


def _stock_rows(
    config: FilesSource, folder: Folder, tickers: Sequence[str] | None, start: date, end: date
) -> tuple[pl.DataFrame, list[Problem]]:
    """Rows of the stock files with factors and dividends, the look-back included."""
    problems: list[Problem] = []
    parts = []
    groups = {basis: [f for f in folder.stocks if f.layout.basis == basis] for basis in (UNADJUSTED, SPLIT_ADJUSTED)}
    for basis, files in groups.items():
        if not files:
            continue
        part, found = _read(config, folder, files, tickers, start, end)
        problems += found
        if basis == SPLIT_ADJUSTED and groups[UNADJUSTED]:
            first = _first_days(config, folder, tuple(groups[UNADJUSTED]))
            part = part.join(first, on="ticker", how="left", maintain_order="left")
            part = part.filter((pl.col("date") < pl.col("first_day")).fill_null(True)).drop("first_day")
        if basis == SPLIT_ADJUSTED:
            part, early = since_listing(part)
            problems += [early_rows(name, count) for name, count in early.items()]
        parts.append(part)
    if not parts:
        return pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String}), problems
    rows = pl.concat(parts, how="diagonal_relaxed")
    if folder.side.actions is None and config.actions != NONE and _lacks_actions(folder.stocks):
        detail = f"prices are unadjusted and no {ACTIONS_NAME} lies beside them: splits show as jumps"
        problems.append(Problem("", "no_actions", detail))
    rows = rows.rename({"dividend_inr": "_own_dividend", "price_factor": "_own_factor"})
    rows = apply_actions(rows, _actions(config, folder))
    own = pl.col("_has_actions")
    rows = rows.with_columns(
        dividend_inr=pl.when(own).then(pl.col("_own_dividend").fill_null(0.0)).otherwise(pl.col("dividend_inr")),
        price_factor=pl.when(own).then(pl.col("_own_factor").fill_null(1.0)).otherwise(pl.col("price_factor")),
    )
    return rows, problems


def _lacks_actions(files: Sequence[PriceFile]) -> bool:
    return any(file.layout.basis == UNADJUSTED and not file.layout.has_actions for file in files)


def _index_rows(
    config: FilesSource, folder: Folder, tickers: Sequence[str] | None, start: date, end: date
) -> tuple[pl.DataFrame, list[Problem]]:
    """Rows of the index files. Volume and turnover are dropped: their units differ between indices."""
    choice = Choice(start, end, config.series, None if tickers is None else tuple(tickers))
    scans = [rows_of(file, number, choice, config.grammar) for number, file in enumerate(folder.indices)]
    parts, problems = collected(folder.indices, [frame for frame, _ in scans])
    problems += [problem for _, found in scans for problem in found]
    rows, nameless = named_rows(pl.concat([ROWS, *parts]))
    problems += nameless
    if not rows.height:
        return pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String}), problems
    rows, more = one_file(rows.with_columns(ticker=pl.col("name")))
    named = rows.with_columns(
        volume_shares=pl.lit(None, pl.Int64),
        turnover_inr=pl.lit(None, pl.Float64),
        dividend_inr=pl.lit(0.0),
        price_factor=pl.lit(1.0),
        instrument=pl.lit(INDEX),
    )
    return named, problems + more


def _read(
    config: FilesSource,
    folder: Folder,
    files: Sequence[PriceFile],
    tickers: Sequence[str] | None,
    start: date,
    end: date,
) -> tuple[pl.DataFrame, list[Problem]]:
    """Rows of files of one basis, chained to tickers, one file a day and ticker."""
    whole = _whole(config, folder)
    names, mixed = whole.names, whole.mixed
    raw_names = None if tickers is None else tuple(names.raw_names(tickers))
    choice = Choice(start, end, config.series, raw_names)
    own = _of_span(files, start, end)
    wanted = [file for file in own if file not in mixed]
    scans = [rows_of(file, number, choice, config.grammar) for number, file in enumerate(wanted)]
    problems = [problem for _, found in scans for problem in found]
    parts, damaged = collected(wanted, [frame for frame, _ in scans])
    rows, found = named_rows(pl.concat([ROWS, *parts]), of_shares=True)
    found += [*_mixed([file for file in own if file in mixed]), *other_series(wanted, config.series, config.grammar)]
    rows = rows.with_columns(ticker=names.of(rows))
    if tickers is not None:
        rows = rows.filter(pl.col("ticker").is_in(list(tickers)))
    rows, by_exchange = one_exchange(rows, whole.aside)
    rows, by_series = one_series(rows, config.series)
    rows, by_file = one_file(rows)
    said = [*problems, *damaged, *found, *lost_numbers(rows), *by_exchange, *by_series, *by_file]
    said += conflicts(rows) if whole.has_doubles else []
    return rows.drop(ONLY_FOR_CHOOSING), said


@lru_cache(maxsize=16)
def _first_days(config: FilesSource, folder: Folder, files: tuple[PriceFile, ...]) -> pl.DataFrame:
    """Columns ticker, first_day over all of the files, whatever the span."""
    names, choice = _names(config, folder), Choice(date.min, date.max, config.series)
    firsts = [pl.DataFrame(schema={"ticker": pl.String, "first_day": pl.Date})]
    scans = [rows_of(file, 0, choice, config.grammar)[0].select(NAMED) for file in files]
    for days in collected(files, scans)[0]:
        firsts.append(days.select("date", ticker=names.of(days)).group_by("ticker").agg(first_day=pl.col("date").min()))
    return pl.concat(firsts).group_by("ticker").agg(pl.col("first_day").min())


def _needs_actions(folder: Folder) -> bool:
    """Whether any of the prices get their dividends from the folder's actions file, or would if it had one."""
    listed = folder.side.actions is not None
    return any(
        not file.layout.has_actions
        and not file.layout.dividend_adjusted
        and (listed or file.layout.basis == UNADJUSTED)
        for file in folder.stocks
    )


def _ended(folder: Folder, rows: pl.DataFrame) -> list[Problem]:
    """A note where the prices go on after the last dividend that the folder's actions file knows."""
    if folder.side.actions is None or not rows.height or not _needs_actions(folder):
        return []
    end, last = actions_lists(folder.side.actions)[-1].known_until, rows["date"].max()
    if end is None or not isinstance(last, date) or end >= last:
        return []
    said = f"actions {known_to(end)}; stocks earn price returns after {end}" if end > NEVER else "no dividends"
    return [Problem("", "actions_end", f"{folder.side.actions.name}: {said} (prices to {last})")]


def _filled(rows: pl.DataFrame, folder: Folder) -> list[Problem]:
    """A note on which tickers have split-adjusted rows before their first unadjusted one."""
    if not any(file.layout.basis == UNADJUSTED for file in folder.stocks) or not rows.height:
        return []
    filled = rows.filter((pl.col("basis") == SPLIT_ADJUSTED) & ~pl.col("_has_actions").fill_null(False))
    names = ", ".join(file.stamp.name for file in folder.stocks if file.layout.basis == SPLIT_ADJUSTED)
    notes = []
    for (source,), part in filled.group_by("source", maintain_order=True):
        tickers = part["ticker"].unique().sort().to_list()
        listed = ", ".join(tickers[:SHOWN_TICKERS]) + (", ..." if len(tickers) > SHOWN_TICKERS else "")
        origin = names if source == names else f"{names} ({source})"
        detail = f"{origin} filled {part.height} split-adjusted rows before the first unadjusted row of {listed}"
        notes.append(Problem("", "filled", detail))
    return notes
