"""`quant restated`: asks the source again for closed months and holds its answer against what is stored.

A vendor that serves one number today and another tomorrow tells nobody, and the currency of a closed month that came
over a network does not notice. Files are noticed by `quant run` itself; here too.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import polars as pl

from quant_assets.assets.market_data import fetch
from quant_assets.currency.list_use import last_day_of
from quant_assets.lab import Lab
from quant_assets.storage.io_manager import slices
from quant_assets.storage.partition_files import read_tables, table_path
from quant_assets.storage.vintages import Difference, merge
from quant_core.calendar import last_closed_session

RAW = "raw_ohlcv"
#: Kind of the problem of a ticker for which the vendor did not answer.
UNREACHABLE = "unreachable"
#: How many of the newest closed months are asked for again.
MONTHS_ASKED = 12


def closed_months(lab: Lab, newest: int, now: datetime) -> list[str]:
    """The `newest` stored months that ended before the last closed session's own."""
    month = f"{last_closed_session(now):%Y-%m}"
    names = lab.partitions.months.get_partition_keys()
    return [one for one in names if one < month and table_path(lab.root, lab.key(RAW), one).exists()][-newest:]


def restated(lab: Lab, months: Sequence[str]) -> Iterator[tuple[str, Difference]]:
    """Each of the months whose stored rows differ from what the source gives now.

    A span is asked for at once, since a source gives the same rows whatever else is asked for with them. A ticker that
    could not be asked for this time says nothing and is left out.

    Raises:
        SourceError: the vendor does not answer. DataError: it cannot.
    """
    if not months:
        return
    first, last = datetime.fromisoformat(f"{months[0]}-01").date(), last_day_of(RAW, months[-1])
    answer = fetch(lab.source, lab.wanted_tickers(), first, last)
    rows, by_month = answer.rows, dict(slices(answer.rows, "%Y-%m"))
    silent = pl.col("ticker").is_in([one.ticker for one in answer.problems if one.kind == UNREACHABLE])
    for month in months:
        stored = read_tables([table_path(lab.root, lab.key(RAW), month)]).filter(~silent).collect()
        found = merge(stored, by_month.get(month, rows.clear()))[1]
        if found != Difference():
            yield month, found


def told(lab: Lab, newest: int, now: datetime | None = None) -> tuple[list[str], list[str]]:
    """(lines for a person, months that differ)."""
    months = closed_months(lab, newest, now or datetime.now(UTC))
    if not months:
        return [f"{lab.profile.name}: no closed month is stored yet"], []
    lines, differ = [], []
    for month, found in restated(lab, months):
        differ.append(month)
        lines.append(f"{month}: {found}; e.g. {found.example}")
    span = f"{months[0]}..{months[-1]}"
    return lines or [f"{lab.profile.name}: {span} are what the source gives now"], differ
