"""A folder's own lists beside its prices: index membership, sectors, and until when each of its lists is known.

They win over the shipped ones, which complete what they leave out: the sector of a name that they do not have.
"""

import re
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.action_list import usable_actions
from quant_core.market.lists import (
    ACTIONS,
    DIVIDENDS,
    NAMES,
    NEVER,
    KnownList,
    end_of,
    stated_end,
)
from quant_core.market.problems import Problem
from quant_core.market.reading.identity import bare, is_name
from quant_core.market.reading.side_lists import SideList, read_list
from quant_core.market.sources._folder import ACTIONS_NAME, SideFile, SideFiles
from quant_core.market.sources._names import Names
from quant_core.market.symbols import SHIPPED_UNTIL, usable_changes
from quant_core.market.universe import (
    LONG_AGO,
    SECTORS_KNOWN_UNTIL,
    SHIPPED_SECTORS,
    UNIVERSES,
    Universe,
    check_intervals,
    complete_from,
    read_intervals,
    sector_of,
)
from quant_core.schema import DIVIDEND_KINDS

Interval = tuple[date, date | None]
#: What a membership file without a column `index` is about.
USUAL_INDEX = "nifty50"
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")


# ---- membership ------------------------------------------------------------------------------------------------------


def own_membership(file: SideFile | None, universe: object) -> pl.DataFrame | None:
    """The file's intervals of an index (columns of `read_intervals`); None where it says nothing of this universe.

    A column `index` ("NIFTY 50", "NIFTY 500") names the index of each row; without one the file is the NIFTY 50's.

    Raises:
        DataError: a broken file.
    """
    known = UNIVERSES.get(universe) if isinstance(universe, str) else None
    if file is None or known is None or known.n_companies is None:
        return None
    table = _intervals(file)
    if "index" in table.columns:
        table = table.filter(pl.col("index").fill_null("").map_elements(_plain, pl.String) == known.name)
    elif known.name != USUAL_INDEX:
        return None
    return table if table.height else None


@lru_cache(maxsize=16)
def _intervals(file: SideFile) -> pl.DataFrame:
    where = f"membership file {file.name}"
    table = read_intervals(Path(file.path), where)
    if not table.height:
        raise DataError(f"{where}: no members; list at least one ticker, or remove the file.")
    return table


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def own_universe(table: pl.DataFrame, file: SideFile, name: str) -> Universe:
    """What a report says of a universe whose members are the file's."""
    shipped = UNIVERSES[name]
    complete = complete_from(table, shipped.n_companies or 1)
    if complete is not None and shipped.complete_from is not None:  # the right number before then proves nothing
        complete = max(complete, shipped.complete_from)
    return replace(
        shipped,
        description=f"{_title(name)}, dated membership of {file.name}",
        survivors_only=bool((table["from_date"] == LONG_AGO).all()),
        complete_from=complete,
        known_until=_end(table, ("from_date", "to_date"), f"membership file {file.name}"),
    )


def _title(name: str) -> str:
    return re.sub(r"(\D+)(\d+)", r"\1 \2", name).upper()


def _end(table: pl.DataFrame, dates: tuple[str, ...], where: str) -> date | None:
    text = table.with_columns(pl.col(dates).dt.to_string("%Y-%m-%d"))
    found = end_of(SideList(where, text, pl.int_range(2, table.height + 2, eager=True)), dates)
    return None if found == LONG_AGO else found


def in_folder_names(intervals: pl.DataFrame, names: Names, where: str) -> pl.DataFrame:
    """Intervals under the names that the folder's rows have: ticker, from_date, to_date, sorted.

    A company listed under two of its names is a member while either is.

    Raises:
        DataError: an empty interval, or two of one name that overlap.
    """
    intervals = check_intervals(intervals, where)
    later = "current_symbol" if "current_symbol" in intervals.columns else "ticker"
    found: dict[str, list[Interval]] = {}
    for name, last_name, start, end in intervals.select(
        "ticker", pl.col(later).alias("_last"), "from_date", "to_date"
    ).iter_rows():
        days = (date.max if end is None else end - timedelta(days=1), start)
        tickers = names.resolve(name, days)
        if last_name and last_name != name and not {*tickers} & names.tickers:
            tickers = names.resolve(last_name, days)
        for ticker in tickers:
            found.setdefault(ticker, []).append((start, end))
    rows = [(ticker, *interval) for ticker in sorted(found) for interval in _joined(found[ticker])]
    return pl.DataFrame(rows, schema={"ticker": pl.String, "from_date": pl.Date, "to_date": pl.Date}, orient="row")


def _joined(intervals: list[Interval]) -> list[Interval]:
    """The same days in ascending intervals that do not overlap; adjoining ones stay apart."""
    joined: list[Interval] = []
    for start, end in sorted(intervals, key=lambda one: one[0]):
        if joined and (before := joined[-1][1] or date.max) > start:
            end = None if None in (end, joined[-1][1]) else max(before, end or date.max)
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


# ---- sectors ---------------------------------------------------------------------------------------------------------


def own_sectors(file: SideFile | None, names: Names) -> pl.DataFrame:
    """Columns ticker, sector under the folder's names: the file's newest row of each company, else the shipped one."""
    listed = [*(sector_rows(file) if file is not None else []), *_shipped_sectors()]
    found: dict[str, str] = {}
    for name, sector, day in listed:
        for ticker in names.resolve(name, (day, LONG_AGO)):
            found.setdefault(ticker, sector)
    return pl.DataFrame(sorted(found.items()), schema={"ticker": pl.String, "sector": pl.String}, orient="row")


def sector_rows(file: SideFile) -> list[tuple[str, str, date]]:
    """(name, sector, day of its source), newest source first."""
    return _sectors_read(file)[0]


@lru_cache(maxsize=16)
def _sectors_read(file: SideFile) -> tuple[list[tuple[str, str, date]], tuple[Problem, ...]]:
    return read_sectors(Path(file.path))


def read_sectors(path: Path) -> tuple[list[tuple[str, str, date]], tuple[Problem, ...]]:
    """The lines of a file of sectors that can be read (see `sector_rows`), and a problem for each of the others."""
    where = f"sectors file {path.name}"
    names, labels = ("ticker", "symbol"), ("sector", "industry")
    wanted = "ticker (or symbol) and sector (or industry)"
    listed = read_list(path, where, wanted, [names, labels], strict=False)
    table = listed.table
    name, label = (next(one for one in group if one in table.columns) for group in (names, labels))
    source = pl.col("source") if "source" in table.columns else pl.lit(None, pl.String)
    rows = table.select(bare(pl.col(name)), pl.col(label), source.alias("source"))
    broken = {
        "no name for a ticker": rows.select(~is_name(pl.col(name))).to_series(), "no sector": rows[label].is_null(),
    }  # fmt: skip
    full, problems = listed.without(rows, broken)
    dated = [(ticker, sector, _day_of(text) or date.max) for ticker, sector, text in full.iter_rows()]
    return sorted(dated, key=lambda row: row[2], reverse=True), problems


@lru_cache(maxsize=16)
def list_problems(side: SideFiles) -> tuple[Problem, ...]:
    """What is said of lines in a folder's lists that could not be read; of members one such line is an error."""
    found: list[Problem] = []
    if side.actions is not None:
        found += usable_actions(Path(side.actions.path))[1]
    if side.changes is not None:
        found += usable_changes(Path(side.changes.path))[1]
    return (*found, *(_sectors_read(side.sectors)[1] if side.sectors is not None else ()))


@lru_cache(maxsize=1)
def _shipped_sectors() -> list[tuple[str, str, date]]:
    rows = sector_of().select("ticker", "sector", "source").iter_rows()
    return [(ticker, sector, _day_of(source) or SECTORS_KNOWN_UNTIL) for ticker, sector, source in rows]


def _day_of(source: str | None) -> date | None:
    """First day of the year that a source's name tells; "nifty500_2026" is 2026-01-01."""
    found = _YEAR.search((source or "").replace("_", " "))
    return date(int(found[1]), 1, 1) if found else None


# ---- until when ------------------------------------------------------------------------------------------------------


def sectors_list(file: SideFile | None) -> KnownList:
    """The list of sectors in use. A file without known_until is as old as the newest year that its sources name."""
    if file is None:
        return SHIPPED_SECTORS
    stated = stated_end(Path(file.path), (), f"sectors file {file.name}")
    days = [day for _, _, day in sector_rows(file) if day != date.max]
    return replace(SHIPPED_SECTORS, known_until=stated or max(days, default=None), origin=file.name)


def names_list(file: SideFile | None) -> KnownList:
    """The list of renames in use."""
    end = SHIPPED_UNTIL
    if file is not None:
        end = stated_end(Path(file.path), ("first_new",), f"symbol changes {file.name}") or NEVER
    return KnownList(
        NAMES,
        end,
        "shipped" if file is None else file.name,
        "a later rename is found only where the new name's first previous close tells it",
        "add the later renames to symbol_changes.csv, or state known_until in it",
    )


def actions_lists(file: SideFile | None) -> list[KnownList]:
    """Corporate actions and dividends of prices that do not bring their own."""
    if file is None:
        origin, ends = f"no {ACTIONS_NAME}", (NEVER, NEVER)
    else:
        origin, ends = file.name, _action_ends(file)
    remedy = f"add the later actions to {ACTIONS_NAME}, or state known_until in it"
    return [
        KnownList(ACTIONS, ends[0], origin, "later splits and bonuses are at best suspected", remedy),
        KnownList(DIVIDENDS, ends[1], origin, "stocks earn price returns", remedy),
    ]


@lru_cache(maxsize=16)
def _action_ends(file: SideFile) -> tuple[date, date]:
    """Last day known of any action, and of dividends."""
    where = f"actions file {file.name}"
    table = usable_actions(Path(file.path))[0]
    stated = stated_end(Path(file.path), (), where)
    newest = stated or table["ex_date"].max() or NEVER
    paid = table.filter(pl.col("kind").is_in(DIVIDEND_KINDS))["ex_date"].max()
    assert isinstance(newest, date)
    if paid is None:
        return newest, NEVER
    assert isinstance(paid, date)
    return newest, stated or paid
