"""What a refresh of the newest months asks for: which months, after which close, and again where it failed.

A month is settled once it was read after its vendor's last corrections; until then every refresh reads it again, also
where the machine was off when it ended.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from quant_assets.lab import Lab
from quant_assets.partitions import month_before, months_before
from quant_core.calendar import final_at, next_session, sessions

#: In the first sessions of a month the previous one is read again: vendors restate its last days.
REREAD_SESSIONS = 3
#: How far back a refresh looks for a month that was settled; more was never fetched, and is for `quant run`.
LOOK_BACK_MONTHS = 12
#: A refresh that failed is tried again so much later, so many times: the vendor answers, the fold is fitted by then.
AGAIN_AFTER, MOST_TRIES = timedelta(minutes=30), 4
#: Which session's refresh a run is, and which try of it.
REFRESH_TAG, TRIES_TAG = "quant/refresh", "quant/tries"


def refresh_months(day: date) -> list[str]:
    """Months that the refresh of session `day` materializes: its own, and early in a month the one before it first."""
    first = day.replace(day=1)
    early = len(sessions(first, day)) <= REREAD_SESSIONS
    return [month_before(f"{day:%Y-%m}"), f"{day:%Y-%m}"] if early else [f"{day:%Y-%m}"]


def settled_at(month: str) -> datetime:
    """From when on a month that is read is not read again: the close of the last session that reads it once more."""
    day = months_before(month, -1) - timedelta(days=1)
    for _ in range(REREAD_SESSIONS):
        day = next_session(day)
    return final_at(day)


def unsettled_months(day: date, read_at: Callable[[str], datetime | None]) -> list[str]:
    """Months that the refresh of session `day` materializes, with those that nobody read when they were due.

    Args:
        read_at: month -> when its raw rows were last fetched, None for never.
    """
    open_months: list[str] = []
    month, oldest_known = f"{day:%Y-%m}", 0
    for _ in range(LOOK_BACK_MONTHS):
        month = month_before(month)
        read = read_at(month)
        if read is not None and read >= settled_at(month):
            oldest_known = len(open_months)
            break
        open_months.append(month)
        oldest_known = len(open_months) if read is not None else oldest_known  # months before the first one are no gap
    return sorted({*refresh_months(day), *open_months[:oldest_known]})


def last_read(lab: Lab, instance: dg.DagsterInstance) -> Callable[[str], datetime | None]:
    """When an instance saw a raw month materialized last."""

    def read_at(month: str) -> datetime | None:
        asked = dg.AssetRecordsFilter(asset_key=lab.key("raw_ohlcv"), asset_partitions=[month])
        found = instance.fetch_materializations(asked, limit=1).records
        return datetime.fromtimestamp(found[0].timestamp, UTC) if found else None

    return read_at


def refresh_request(run_key: str, months: Sequence[str]) -> dg.RunRequest:
    """One run over contiguous months: two at once would read each other's half-made work."""
    named = {REFRESH_TAG: run_key}
    if len(months) == 1:
        return dg.RunRequest(run_key=run_key, partition_key=months[0], tags=named)
    ends = {ASSET_PARTITION_RANGE_START_TAG: months[0], ASSET_PARTITION_RANGE_END_TAG: months[-1]}
    return dg.RunRequest(run_key=run_key, tags=named | ends)


def months_refreshed(tags: Mapping[str, str]) -> tuple[str, str]:
    """First and last month of a refresh, by its run's tags; "" where it has none."""
    one = tags.get(PARTITION_NAME_TAG, "")
    return tags.get(ASSET_PARTITION_RANGE_START_TAG, one), tags.get(ASSET_PARTITION_RANGE_END_TAG, one)


def ended_at(record: RunRecord) -> datetime:
    """When a run ended; when it was asked for, where it never began."""
    return datetime.fromtimestamp(record.end_time or record.create_timestamp.timestamp(), UTC)


def again(record: RunRecord, now: datetime) -> dg.RunRequest | str:
    """The next try of the newest refresh, or why there is none.

    Args:
        record: of its run.
    """
    run, tries = record.dagster_run, int(record.dagster_run.tags.get(TRIES_TAG, "1"))
    if run.status != dg.DagsterRunStatus.FAILURE:
        return f"The newest refresh is {run.status.value.lower()}."
    if tries >= MOST_TRIES:
        return f"The newest refresh failed {tries} times; the next session tries again."
    due = ended_at(record) + AGAIN_AFTER
    if now < due:
        return f"The newest refresh failed; it is tried again at {due:%H:%M} UTC."
    kept = {name: value for name, value in run.tags.items() if name in (
        PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)}  # fmt: skip
    key = run.tags.get(REFRESH_TAG, run.run_id)
    return dg.RunRequest(run_key=f"{key}-try-{tries + 1}", tags=kept | {TRIES_TAG: str(tries + 1), REFRESH_TAG: key})
