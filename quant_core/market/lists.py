"""Until when a list of facts is known: members, names, corporate actions, sectors, holidays, charges, rates.

Beyond that day the list is silent, which is not the same as "nothing happened". A list of a user's own states its end
in a column `known_until` (any row of it); without one it is known to the newest date in it, the last thing that it is
certain to have read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.reading.side_lists import SideList, read_list

KNOWN_UNTIL = "known_until"
MEMBERSHIP, NAMES, ACTIONS, DIVIDENDS, SECTORS = (
    "index membership", "symbol changes", "corporate actions", "dividends", "sectors",
)  # fmt: skip
CALENDAR, CHARGES, RATES = "trading calendar", "NSE charges", "risk-free rate"
#: Known to no day at all: there is no list.
NEVER = date.min
SCHEMA = {
    "list": pl.String,
    "known_until": pl.Date,
    "used_until": pl.Date,
    "is_beyond": pl.Boolean,
    "origin": pl.String,
    "beyond": pl.String,
}


@dataclass(frozen=True)
class KnownList:
    """One list that a run reads.

    Args:
        name: "index membership".
        known_until: last day that it covers; None where it states no date at all.
        origin: which file or source, for a reader who wants to look.
        beyond: what is missing after that day.
        remedy: what a person does about it.
    """

    name: str
    known_until: date | None
    origin: str
    beyond: str
    remedy: str


def lists_known(lists: Sequence[KnownList], used_until: date) -> pl.DataFrame:
    """Columns list, known_until, used_until, is_beyond, origin, beyond; those that end first come first.

    `is_beyond` is null for a list without any date.
    """
    rows = [
        (
            one.name,
            one.known_until,
            used_until,
            None if one.known_until is None else one.known_until < used_until,
            one.origin,
            one.beyond,
        )
        for one in lists
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("known_until", "list", nulls_last=True)


def known_to(day: date | None) -> str:
    """ "known to 2023-12-12", in words where there is no list or it states no day."""
    return {None: "undated", NEVER: "not known at all"}.get(day, f"known to {day}")


def refuse_beyond(lists: Sequence[KnownList], used_until: date, where: str) -> None:
    """Nothing where every list covers `used_until`.

    Raises:
        DataError: names every list that ends before, its last day, what is missing and the remedy.
    """
    short = [one for one in lists if one.known_until is not None and one.known_until < used_until]
    if short:
        said = "; ".join(
            f"{one.name}: {known_to(one.known_until)} ({one.origin}), the run goes to {used_until}: {one.beyond}; "
            f"{one.remedy}"
            for one in sorted(short, key=lambda one: (one.known_until or NEVER, one.name))
        )
        raise DataError(f"{where}: strict_lists: {said}. Or end the run there, or set strict_lists: false.")


def price_returns_after(dividends_known_until: date | None, end: date) -> date | None:
    """Day after which stocks earn price returns, because no dividend is known; None where that is after `end`.

    Args:
        dividends_known_until: None where no list limits them.
    """
    known = dividends_known_until
    return known if known is not None and known < end else None


def list_warnings(
    known: pl.DataFrame, dividends_known_until: date | None, end: date, *, has_benchmark: bool = True
) -> list[str]:
    """What stands at the head of a report to `end`: lists that end before it, and what their end does.

    Args:
        known: `lists_known` of the test's last day.
        has_benchmark: there is an index that the test is compared with.
    """
    beyond = known.filter("is_beyond").rows(named=True)
    found = []
    if beyond:
        said = "; ".join(
            f"{row['list']} {known_to(row['known_until'])} ({row['origin']}): {row['beyond']}" for row in beyond
        )
        found.append(f"LISTS END BEFORE THE TEST, which goes to {end}: {said}.")
    after = price_returns_after(dividends_known_until, end)
    if after is not None:
        when = "throughout" if after == NEVER else f"after {after}"
        actions = "No dividends are known" if after == NEVER else f"Actions {known_to(after)}"
        also = ", and from then on the benchmark is the price index too" if has_benchmark else ""
        found.append(f"{actions}; stocks earn price returns {when}{also}.")
    return found


def sector_note(lists: Sequence[KnownList]) -> list[str]:
    """Of when the sectors are; today's are applied to the past."""
    return [
        f"Sectors are those of {one.known_until or 'an unstated day'} ({one.origin}), applied to every year."
        for one in lists
        if one.name == SECTORS
    ]


def stated_end(path: Path, dates: Sequence[str], where: str) -> date | None:
    """Until when a CSV file says it is known: its column `known_until`, else the newest date of the columns `dates`.

    Raises:
        DataError: a `known_until` that is no date.
    """
    return end_of(read_list(path, where, "a header and rows", [], strict=False), dates)


def end_of(listed: SideList, dates: Sequence[str]) -> date | None:
    """`stated_end` of a list that was read."""
    if KNOWN_UNTIL in listed.table.columns:
        stated = listed.dates(KNOWN_UNTIL).max()
        if stated is not None:
            return _day(stated)
    newest = [listed.dates(name, strict=False).max() for name in dates if name in listed.table.columns]
    return max((_day(day) for day in newest if day is not None), default=None)


def _day(value: object) -> date:
    assert isinstance(value, date)
    return value
