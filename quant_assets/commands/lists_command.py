"""`quant lists`: the lists of facts that a profile leans on, what each covers, to which day, and how to replace it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from quant_assets.commands.terminal import plain
from quant_assets.lab import Lab
from quant_assets.partitions import IST
from quant_core.market.lists import (
    ACTIONS,
    CALENDAR,
    CHARGES,
    DIVIDENDS,
    MEMBERSHIP,
    NAMES,
    RATES,
    SECTORS,
    KnownList,
    known_to,
)

#: What each list says.
COVERS = {
    MEMBERSHIP: "which stocks are members of the index on which day",
    NAMES: "old and new symbols of renamed companies, with the day",
    ACTIONS: "splits, bonus issues, rights, demergers, mergers, suspensions, with the ex-date",
    DIVIDENDS: "dividends in rupees a share, with the ex-date",
    SECTORS: "the sector of each stock",
    CALENDAR: "NSE's holidays and special sessions",
    CHARGES: "taxes, stamp duty and fees of delivery trades, by day",
    RATES: "what cash earns: RBI's policy repo rate, by day",
}


#: The file beside the prices that wins over a shipped list, and its columns; docs/market-data.md has the details.
FILES = {
    MEMBERSHIP: "index_membership.csv (ticker, from_date, to_date, index, known_until)",
    NAMES: "symbol_changes.csv (old_symbol, new_symbol, first_new, known_until)",
    ACTIONS: "corporate_actions.csv (ticker, ex_date, kind, value, into, known_until)",
    DIVIDENDS: "corporate_actions.csv, in lines of the kind dividend",
    SECTORS: "sectors.csv (ticker, sector, known_until)",
}


def lists_told(lab: Lab) -> Iterator[str]:
    """A paragraph a list, for the console: what it covers, to which day, what lacks after it, how to replace it."""
    today = datetime.now(UTC).astimezone(ZoneInfo(IST)).date()
    ends = dict(lab.lists_known(today).select("list", "is_beyond").iter_rows())
    for one in sorted(lab.lists(), key=lambda one: one.name):
        colour = "[yellow]{}[/yellow]" if ends[one.name] else "{}"
        yield f"[bold]{one.name}[/bold]: {COVERS[one.name]}"
        known = colour.format(plain(known_to(one.known_until)))
        yield f"  {known}, from {plain(one.origin)}; after that, {plain(one.beyond)}"
        yield f"  {plain(_way(one))}"


def _way(one: KnownList) -> str:
    own = f"to replace it: {FILES[one.name]} beside the prices of --source files; " if one.name in FILES else ""
    return f"{own}to extend it: {one.remedy}"
