"""Is what is stored as new as the market? A session that has closed a while ago must be in the tables of every day."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from upath import UPath

from quant_assets.checks.verdicts import WARN, Verdict
from quant_assets.lab import Lab
from quant_assets.storage.partition_files import read_tables, table_path
from quant_assets.storage.stored import Stored
from quant_core.calendar import last_closed_session
from quant_core.schema import EQUITY

#: Tables with rows of every session, in the order in which they are made.
DAILY = ("raw_ohlcv", "clean_prices", "features")
#: How long a refresh may take after the prices are final, with a vendor that is asked again, before it is late.
PATIENCE = timedelta(hours=3)
LATE = (
    "see whether daily_refresh is on and its last run went through; `quant refresh --profile {profile}` fetches now; a "
    "vendor that is late itself is asked again by the next refresh"
)


def due_session(now: datetime) -> date:
    """The session that every daily table must have at `now`, an aware datetime."""
    return last_closed_session(now - PATIENCE)


def freshness(lab: Lab, asset: str, month: str, now: datetime) -> Verdict:
    """Whether a month of a table has the session that is due; one in which none is due has nothing to be late with."""
    due = due_session(now)
    if f"{due:%Y-%m}" != month:
        return Verdict(True, {"due": str(due), "note": "no session of this month is due"}, WARN)
    newest = newest_session(table_path(lab.root, lab.key(asset), month))
    is_late = newest is None or newest < due
    told = {"due": str(due), "newest": str(newest or "none")}
    remedy = {"problem": LATE.format(profile=lab.profile.name)} if is_late else {}
    return Verdict(not is_late, told | remedy, WARN)


def newest_session(path: UPath) -> date | None:
    """Newest date with a row of a stock; None where there is none, or no file."""
    if not path.exists():
        return None
    rows = read_tables([path])
    if "instrument" in rows.collect_schema().names():
        rows = rows.filter(pl.col("instrument") == EQUITY)
    newest: Any = rows.select(pl.col("date").max()).collect().item()
    return newest


def fresh(stored: Stored) -> Verdict:
    """The check on a month that a run has just made."""
    return freshness(stored.of.lab, stored.of.asset, stored.name, datetime.now(UTC))


def late_tables(lab: Lab, now: datetime) -> dict[str, Verdict]:
    """The verdicts on the daily tables of the month that is due; none for a profile whose data end before it."""
    month = f"{due_session(now):%Y-%m}"
    if month not in lab.partitions.months.get_partition_keys():
        return {}
    return {asset: freshness(lab, asset, month, now) for asset in DAILY}
