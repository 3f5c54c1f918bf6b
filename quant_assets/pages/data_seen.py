"""What a person sees of data that was not read: a line a kind of problem, a count at the end, an error for nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.lab import Lab
from quant_assets.storage.partition_files import read_tables, stored_partitions, table_path
from quant_core.calendar import last_closed_session, sessions
from quant_core.errors import DataError
from quant_core.report.formats import plural
from quant_core.schema import EQUITY

#: Metadata of an asset that reads data: how many problems of each kind it met.
BY_KIND = "problems_by_kind"
#: Problems of a kind that are told one by one, and tickers that a line names.
TOLD, NAMED = 3, 8
#: Tables without which nothing follows, and what to do where one has no row of a stock.
MENDED_BY = {
    "raw_ohlcv": "see its problems above, or on its page in the UI; check path, names and dates of the prices, and "
    "that the universe's names are among them",
    "clean_prices": "its raw rows are all unusable or of no member; see the defects on its page in the UI",
    "features": "no clean price is left to compute them from; see clean_prices in the UI",
}


def told(problems: pl.DataFrame) -> list[str]:
    """Lines for a log: of each kind the first few problems, and how many more there are.

    Args:
        problems: columns ticker, kind, detail.
    """
    lines = []
    for (kind,), rows in problems.group_by("kind", maintain_order=True):
        tickers = rows["ticker"].to_list()
        if rows.height > TOLD and all(tickers):
            named = ", ".join(tickers[:NAMED]) + (", ..." if len(tickers) > NAMED else "")
            lines.append(f"{kind}: {rows.height} tickers ({named}); e.g. {rows['detail'][0]}")
            continue
        lines += [f"{kind}: {detail}" for detail in rows["detail"].head(TOLD)]
        if rows.height > TOLD:
            lines.append(f"{kind}: {rows.height - TOLD:,} more of this kind")
    return [" ".join(line.splitlines()) for line in lines]


def by_kind(problems: pl.DataFrame) -> dict[str, int]:
    """How many problems there are of each kind, the most frequent first."""
    return dict(Counter(problems["kind"].to_list()).most_common())


def noted(result: dg.ExecuteInProcessResult) -> Counter[str]:
    """The problems that a run's asset noted, by kind."""
    found: Counter[str] = Counter()
    for event in result.get_asset_materialization_events()[:1]:  # every partition of a range carries the same
        found.update(_noted_in(event.materialization))
    return found


def noted_before(lab: Lab, instance: dg.DagsterInstance, asset: str) -> Mapping[str, int]:
    """The problems that the newest run of an asset noted, by kind."""
    event = instance.get_latest_materialization_event(lab.key(asset))
    return _noted_in(event.asset_materialization) if event and event.asset_materialization else {}


def _noted_in(materialization: dg.AssetMaterialization) -> dict[str, int]:
    entry = materialization.metadata.get(BY_KIND)
    kinds: Any = entry.value if entry is not None else {}
    return {str(kind): int(number) for kind, number in dict(kinds).items()}


def summary(asset: str, found: Mapping[str, int]) -> str:
    """One line on all problems of a command; "" where there was none."""
    if not found:
        return ""
    total = sum(found.values())
    return f"{plural(total, 'problem')} in the data: {_kinds(found)}; the page of {asset} in the UI has them"


def _kinds(found: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in Counter(found).most_common())


def refuse_nothing(lab: Lab, asset: str, months: Sequence[str], found: Mapping[str, int]) -> None:
    """Nothing where a month of the table has a row of a stock, or no session of the months has closed yet.

    Args:
        asset: one of MENDED_BY; anything else passes.
        months: those that a command was asked for, stored by now.
        found: the problems of this command, by kind.
    Raises:
        DataError: every one of the months is empty; names them and the remedy.
    """
    if asset not in MENDED_BY or not months or not _sessions_closed(months):
        return
    there, _ = stored_partitions(lab.root, lab.key(asset), months)
    if any(_has_stock(table_path(lab.root, lab.key(asset), month)) for month in months if month in there):
        return
    why = f" ({_kinds(found)})" if found else ""
    raise DataError(
        f"{lab.profile.name}/{asset} {months[0]}..{months[-1]}: not one row of a stock{why}; {MENDED_BY[asset]}."
    )


def _has_stock(path: Any) -> bool:
    rows = read_tables([path])
    if "instrument" in rows.collect_schema().names():
        rows = rows.filter(pl.col("instrument") == EQUITY)
    return rows.head(1).collect().height > 0


def _sessions_closed(months: Sequence[str]) -> bool:
    first = date.fromisoformat(f"{months[0]}-01")
    closed = last_closed_session(datetime.now(UTC))
    return first <= closed and bool(sessions(first, closed))
