"""Runs on this machine: in which process they live, whether it still does, and what the dead ones hold.

A run whose process is killed would stay STARTED and keep its slot in a pool for ever. Of one in the process of
`quant run` its tags say where it lived, so that the next command can bury it. One that Dagster launched is watched by
the code server that started its worker; where that died as well (no memory, no power), Dagster 1.13.27 never looks.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunRecord
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    GRPC_INFO_TAG,
    MAX_RETRIES_TAG,
    PARTITION_NAME_TAG,
)

ASSET_TAG, PARTITIONS_TAG, COMMAND_TAG = "quant/asset", "quant/partitions", "quant/command"
#: For the lab, not for people: the UI shows tags with this prefix on request only.
HOST_TAG, PID_TAG, STARTED_TAG = "dagster/quant_host", "dagster/quant_pid", "dagster/quant_started"
PROC = Path("/proc")
#: Runs that wait to be launched; one that was tried again in the UI has the tags of the first.
WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING)
#: In the command line of every worker: Dagster's code servers start them with multiprocessing.
WORKER_MARK = "multiprocessing"
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


def bury_dead_runs(instance: dg.DagsterInstance, launched: bool = False) -> list[str]:
    """Mark runs failed whose process is gone, and free the slots that they and ended runs hold; a line for each.

    Args:
        launched: also those that Dagster's daemon launched. Only the machine that has the daemon can tell.
    """
    lines = []
    for record, pid in _dead(instance, launched):
        run = instance.get_run_by_id(record.dagster_run.run_id)
        if run is None or run.is_finished:  # it said so before its process went
            continue
        reason = f"its process {pid} ended without a word (killed, or out of memory)"
        freed = _free_slots(instance, record.dagster_run.run_id)
        instance.report_run_failed(record.dagster_run, f"Marked as failed by the lab: {reason}.")
        lines.append(f"{describe(record)} is dead: {reason}; marked failed{freed}.")
    for run_id in sorted(_left_over(instance)):
        lines.append(f"run {run_id[:8]} has ended or was deleted{_free_slots(instance, run_id)}.")
    return lines


def _dead(instance: dg.DagsterInstance, launched: bool) -> Iterator[tuple[RunRecord, str]]:
    """Runs that have not ended although their process has, and its number."""
    for record in unfinished_runs(instance):
        if is_alive(record.dagster_run.tags) is False:
            yield record, record.dagster_run.tags[PID_TAG]
    for record in launched_runs(instance) if launched else ():
        pid = worker_of(instance, record.dagster_run)
        if pid is not None and not is_worker(pid):
            yield record, pid


def unfinished_runs(instance: dg.DagsterInstance) -> list[RunRecord]:
    """Runs that began in the process of a command and have not ended, oldest first."""
    return [
        record for record in _begun(instance) if {HOST_TAG, GRPC_INFO_TAG} & set(record.dagster_run.tags) == {HOST_TAG}
    ]


def launched_runs(instance: dg.DagsterInstance) -> list[RunRecord]:
    """Runs at work, oldest first, that a code server of this machine has started: it listens on a file."""
    found = [record for record in _begun(instance) if record.dagster_run.status is dg.DagsterRunStatus.STARTED]
    return [one for one in found if json.loads(one.dagster_run.tags.get(GRPC_INFO_TAG, "{}")).get("socket")]


def _begun(instance: dg.DagsterInstance) -> list[RunRecord]:
    statuses = [status for status in NOT_FINISHED_STATUSES if status not in WAITING]
    return list(instance.get_run_records(dg.RunsFilter(statuses=statuses), ascending=True))


def worker_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """The process in which a launched run lives, as its first event said; None where none did."""
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    told = (event.dagster_event.engine_event_data.metadata for event in events if event.dagster_event)
    return next((str(metadata["pid"].value) for metadata in told if "pid" in metadata), None)


def is_worker(pid: str) -> bool:
    """Whether a process of this number lives and may be a worker. When it began would say more, were it told."""
    return process_started(int(pid)) is not None and WORKER_MARK in _command_line(pid)


def _command_line(pid: str) -> str:
    if (PROC / "self").exists():
        with suppress(FileNotFoundError, ProcessLookupError):
            return (PROC / pid / "cmdline").read_text(errors="replace")
        return ""
    return subprocess.run(["ps", "-o", "command=", "-p", pid], capture_output=True, text=True, check=False).stdout


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
