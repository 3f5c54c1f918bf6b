"""Runs that live in the process of a command: whose they are, whether they still live, and what the dead ones hold.

Dagster watches runs that its daemon launched. A run in the process of `quant run` that is killed would stay STARTED and
keep its slot in a pool for ever; its tags say in which process it lived, so that the next command can bury it.
"""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunRecord
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    MAX_RETRIES_TAG,
    PARTITION_NAME_TAG,
)

ASSET_TAG, PARTITIONS_TAG, COMMAND_TAG = "quant/asset", "quant/partitions", "quant/command"
#: For the lab, not for people: the UI shows tags with this prefix on request only.
HOST_TAG, PID_TAG, STARTED_TAG = "dagster/quant_host", "dagster/quant_pid", "dagster/quant_started"
PROC = Path("/proc")
#: A run that ended has given its slots back by itself before this; what it still holds then is left over.
LEFT_OVER_SECONDS = 60.0


def own_tags(asset: str, partitions: str) -> dict[str, str]:
    """Tags of a run of an asset in this process. The daemon does not start it again: the next command does."""
    pid = os.getpid()
    return {
        ASSET_TAG: asset, PARTITIONS_TAG: partitions, COMMAND_TAG: shlex.join(["quant", *sys.argv[1:]]),
        HOST_TAG: socket.gethostname(), PID_TAG: str(pid), STARTED_TAG: str(process_started(pid)),
        MAX_RETRIES_TAG: "0",
    }  # fmt: skip


def process_started(pid: int) -> str | None:
    """Boot, process namespace and start of a process; None where there is no such process, or only its remains.

    Two processes of one number never agree, on one machine, across its reboots or in two containers of it.
    """
    if not (PROC / "self" / "stat").exists():
        return _started_by_ps(pid)
    try:
        # pid (name) state ppid ...: the name may hold anything, the 22nd field is the start in ticks since boot.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ("Z", "X") else f"{_boot()}/{_namespace()}/{fields[19]}"


def _started_by_ps(pid: int) -> str | None:
    """Where there is no /proc (macOS)."""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    started = "-".join(found.stdout.split())
    return f"-/-/{started}" if started else None


@cache
def _boot() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


@cache
def _namespace() -> str:
    return os.readlink(PROC / "self/ns/pid")


def is_alive(tags: Mapping[str, str]) -> bool | None:
    """Whether the process of a run lives; None where this one cannot know (another host or container, no such tags)."""
    if tags.get(HOST_TAG) != socket.gethostname() or not tags.get(PID_TAG, "").isdecimal():
        return None
    boot, namespace, _ = f"{tags.get(STARTED_TAG)}//".split("/")[:3]
    own_boot, own_namespace, _ = str(process_started(os.getpid())).split("/")
    if boot == own_boot and namespace != own_namespace:
        return None
    return process_started(int(tags[PID_TAG])) == tags.get(STARTED_TAG)


def bury_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs failed whose process is gone, and free the slots that they and ended runs hold; a line for each."""
    lines = []
    for record in unfinished_runs(instance):
        if is_alive(record.dagster_run.tags) is False:
            reason = f"its process {record.dagster_run.tags[PID_TAG]} ended without a word (killed, or out of memory)"
            freed = _free_slots(instance, record.dagster_run.run_id)
            instance.report_run_failed(record.dagster_run, f"Marked as failed by the lab: {reason}.")
            lines.append(f"{describe(record)} is dead: {reason}; marked failed{freed}.")
    for run_id in sorted(_left_over(instance)):
        lines.append(f"run {run_id[:8]} has ended or was deleted{_free_slots(instance, run_id)}.")
    return lines


def unfinished_runs(instance: dg.DagsterInstance) -> list[RunRecord]:
    """Runs that began in the process of a command and have not ended, oldest first."""
    records = instance.get_run_records(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES), ascending=True)
    return [record for record in records if HOST_TAG in record.dagster_run.tags]


def unjudged_runs(instance: dg.DagsterInstance) -> list[str]:
    """One line for each run of another host or container that has not ended: only that one can say whether it lives."""
    return [
        f"{describe(record)} belongs to host {record.dagster_run.tags[HOST_TAG]}, process "
        f"{record.dagster_run.tags[PID_TAG]}; if that one is gone, terminate the run in the UI"
        for record in unfinished_runs(instance)
        if is_alive(record.dagster_run.tags) is None
    ]


def describe(record: RunRecord) -> str:
    """A run in a few words: number, asset, partitions, since when."""
    run = record.dagster_run
    first, last = (run.tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    partitions = f"{first}..{last}" if first else run.tags.get(PARTITION_NAME_TAG, "")
    what = f"{run.tags.get(ASSET_TAG, run.job_name)} {partitions}".strip()
    began = datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp())
    return f"run {run.run_id[:8]} ({what}, since {began:%Y-%m-%d %H:%M:%S})"


def held_slots(instance: dg.DagsterInstance) -> Iterator[tuple[str, str]]:
    """(pool, run id) of every slot that is claimed or waited for."""
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits:
        for pool, info in storage.get_concurrency_infos(sorted(storage.get_concurrency_keys())).items():
            yield from ((pool, slot.run_id) for slot in info.claimed_slots)
            yield from ((pool, step.run_id) for step in info.pending_steps)


def _free_slots(instance: dg.DagsterInstance, run_id: str) -> str:
    """Free what a run holds or waits for; says of which pools."""
    pools = sorted({pool for pool, holder in held_slots(instance) if holder == run_id})
    if pools:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return f", its slot in {', '.join(pools)} freed" if pools else ""


def _left_over(instance: dg.DagsterInstance) -> set[str]:
    """Runs that hold slots although they ended a while ago or were deleted."""
    found = set()
    for run_id in {run_id for _, run_id in held_slots(instance)}:
        record = instance.get_run_record_by_id(run_id)
        ended = None if record is None or record.end_time is None else time.time() - record.end_time
        if record is None or (record.dagster_run.is_finished and (ended or 0.0) > LEFT_OVER_SECONDS):
            found.add(run_id)
    return found
