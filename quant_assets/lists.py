"""The lists of facts that a profile's run uses, until when each is known, and what a person must be told of it."""

import hashlib
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from quant_core import calendar
from quant_core.folds import fold
from quant_core.market.lists import (
    CALENDAR,
    CHARGES,
    MEMBERSHIP,
    NEVER,
    RATES,
    SECTORS,
    KnownList,
    known_to,
)
from quant_core.market.universe import SHIPPED_SECTORS
from quant_core.trading.nse_charges import CHARGES_KNOWN_UNTIL
from quant_core.trading.risk_free import RATES_KNOWN_UNTIL

if TYPE_CHECKING:
    from quant_assets.lab import Lab

#: Lists that an asset does not read; every other one bears on it. The report shows what all of them gave.
UNREAD = {
    "raw_ohlcv": {MEMBERSHIP, SECTORS, CHARGES, RATES},
    "clean_prices": {SECTORS, CHARGES, RATES},
    "features": {CHARGES, RATES},
    "backtest": {SECTORS},
}


def lists_of(lab: "Lab", asset: str = "") -> list[KnownList]:
    """The lists that the profile uses, or those of them that one asset reads."""
    unread = UNREAD.get(asset, set())
    return [one for one in _all_lists(lab) if one.name not in unread]


def _all_lists(lab: "Lab") -> list[KnownList]:
    source, found = lab.source, []
    if lab.membership() is not None:
        chosen = lab.universe()
        found.append(
            KnownList(
                MEMBERSHIP, chosen.known_until, chosen.description,
                "who joined the index later is no member, who left it still is",
                "add the later changes to index_membership.csv beside the prices, or state known_until in it",
            )
        )  # fmt: skip
    if hasattr(source, "lists"):
        found += source.lists()
    elif not hasattr(source, "sectors"):
        found.append(SHIPPED_SECTORS)
    found.append(
        KnownList(
            CALENDAR, calendar.LAST_PUBLISHED_DAY, "quant_core/calendar.py",
            "sessions are weekdays less fixed holidays", "add the holidays that NSE has published since",
        )
    )  # fmt: skip
    settings = lab.defaults("backtest")
    same = "the last rates are taken to hold on"
    if settings.cost_model == "nse_delivery":
        remedy = "add the later rates to quant_core/trading/nse_charges.py"
        found.append(KnownList(CHARGES, CHARGES_KNOWN_UNTIL, "docs/costs.md", same, remedy))
    if settings.risk_free_rate_ann is None:
        remedy = "add the later decisions to quant_core/trading/risk_free.py, or set backtest.risk_free_rate_ann"
        found.append(KnownList(RATES, RATES_KNOWN_UNTIL, "RBI policy repo rate", same, remedy))
    return found


#: Assets that read lists, by how they are partitioned.
BY_MONTH, BY_FOLD = ("raw_ohlcv", "clean_prices", "features"), ("backtest", "backtest_report")


def list_versions(lab: "Lab", asset: str, partition: str) -> str:
    """Digest of what an asset's partition reads from the lists, "" where it reads none.

    Members count as of the partition's last day, so a change of the index leaves what lies before it current.
    """
    if asset not in BY_MONTH + BY_FOLD:
        return ""
    end = last_day_of(asset, partition)
    parts = {
        "raw_ohlcv": lambda: [repr(lab.wanted_tickers())],
        "clean_prices": lambda: [_members(lab, end)],
        "features": lambda: [lab.sectors().write_csv()],
        "backtest": lambda: [_members(lab, end), str(price_returns_after(lab, end))],
        "backtest_report": lambda: [
            _members(lab, end), lab.sectors().write_csv(), lab.lists_known(end).write_csv(), repr(lab.universe()),
        ],
    }[asset]()  # fmt: skip
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _members(lab: "Lab", end: date) -> str:
    members = lab.membership()
    if members is None:
        return ""
    known = members.filter(pl.col("from_date") <= end)
    return known.with_columns(to_date=pl.when(pl.col("to_date") <= end).then("to_date")).write_csv()


def last_day_of(asset: str, partition: str) -> date:
    """Last day of an asset's fold or month."""
    if asset in BY_FOLD:
        return fold(partition).test_end
    year, month = int(partition[:4]), int(partition[5:])
    return date.fromordinal(date(year + month // 12, month % 12 + 1, 1).toordinal() - 1)


def price_returns_after(lab: "Lab", end: date) -> date | None:
    """Day after which stocks earn price returns, because no dividend is known; None where that is after `end`."""
    known = lab.dividends_known_until()
    return known if known is not None and known < end else None


def list_warnings(lab: "Lab", end: date) -> list[str]:
    """What stands at the head of a report to `end`: lists that end before it, and what their end does."""
    beyond = lab.lists_known(end).filter("is_beyond").rows(named=True)
    found = []
    if beyond:
        said = "; ".join(
            f"{row['list']} {known_to(row['known_until'])} ({row['origin']}): {row['beyond']}" for row in beyond
        )
        found.append(f"LISTS END BEFORE THE TEST, which goes to {end}: {said}.")
    known = price_returns_after(lab, end)
    if known is not None:
        when = "throughout" if known == NEVER else f"after {known}"
        actions = "No dividends are known" if known == NEVER else f"Actions {known_to(known)}"
        found.append(
            f"{actions}; stocks earn price returns {when}, and from then on the benchmark is the price index too."
        )
    return found


def sector_note(lab: "Lab") -> list[str]:
    """Of when the sectors are; today's are applied to the past."""
    return [
        f"Sectors are those of {one.known_until or 'an unstated day'} ({one.origin}), applied to every year."
        for one in lists_of(lab)
        if one.name == SECTORS
    ]
