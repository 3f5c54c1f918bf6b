"""Waiting for a turn, with a word about whose turn it is: a slot in a pool, or the command at work on a profile."""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import dagster as dg
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from sqlalchemy.exc import OperationalError

from quant_assets.instance.live_runs import HOST_TAG, PID_TAG, bury_dead_runs, describe, is_alive
from quant_assets.storage.paths import safe_name

Say = Callable[[str], None]
LOOK_EVERY_SECONDS = 1.0
SAY_AGAIN_SECONDS = 60.0


def _until_next_claim(context: InstanceConcurrencyContext) -> float:
    """Seconds until a blocked slot is asked for again.

    Dagster 1.13.27 takes the smaller of this and 0, so that a run in this process waits at 100 % of a core.
    """
    due = [at for step, at in context._pending_timeouts.items() if step in context._pending_claims]
    return max(0.0, min(due) - time.time()) if due else 0.0


InstanceConcurrencyContext.interval_to_next_pending_claim_check = _until_next_claim  # type: ignore


@contextmanager
def slot_waits_said(instance: dg.DagsterInstance, pools: Collection[str], say: Say) -> Iterator[None]:
    """While a run of this process works, say which run keeps it from a slot of these pools; bury it if it is dead."""
    if not pools or instance.is_ephemeral or not instance.event_log_storage.supports_global_concurrency_limits:
        yield
        return
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(instance, pools, say, over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(instance: dg.DagsterInstance, pools: Collection[str], say: Say, over: threading.Event) -> None:
    seen: dict[str, float] = {}
    said: dict[str, float] = {}
    while not over.wait(LOOK_EVERY_SECONDS):
        try:
            holders = [holder for pool in pools for holder in slot_holders(instance, pool)]
            lines = bury_dead_runs(instance) if holders else []
        except OperationalError:  # a busy database: look again in a second
            continue
        for line in lines:
            say(line)
        for holder in holders if not lines else []:
            now = time.monotonic()
            waited = now - seen.setdefault(holder, now)
            if now - said.get(holder, float("-inf")) >= SAY_AGAIN_SECONDS:
                say(f"waiting for {holder}; {waited:.0f} s so far.")
                said[holder] = now


def slot_holders(instance: dg.DagsterInstance, pool: str) -> list[str]:
    """What keeps a run of this process waiting for a slot of `pool`; nothing where none of them waits."""
    info = instance.event_log_storage.get_concurrency_info(pool)
    waiting = {step.run_id for step in info.pending_steps if step.assigned_timestamp is None}
    if not any(_is_own(instance, run_id) for run_id in waiting):
        return []
    return [_holder(instance, pool, slot.run_id, slot.step_key) for slot in info.claimed_slots]


def _is_own(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.tags.get(PID_TAG) == str(os.getpid()) and is_alive(run.tags) is True


def _holder(instance: dg.DagsterInstance, pool: str, run_id: str, step: str) -> str:
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return f"the slot in {pool} that deleted run {run_id[:8]} holds for {step}"
    tags = record.dagster_run.tags
    where = (
        f"process {tags[PID_TAG]} on {tags[HOST_TAG]}" if HOST_TAG in tags
        else "a process that Dagster started; if it is gone, terminate the run in the UI"
    )  # fmt: skip
    return f"the slot in {pool} that {describe(record)} holds for {step}, in {where}"


@contextmanager
def turn_of(profile: str, home: Path, say: Say) -> Iterator[None]:
    """One command at a time brings a profile of an instance up to date; a second one waits and says for which.

    The lock is the kernel's, so that it goes with the process that holds it, however that ends.
    """
    path = home / "locks" / f"{safe_name(profile, 'profile')}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        begun, said = time.monotonic(), float("-inf")
        while not _locked(file.fileno()):
            if time.monotonic() - said >= SAY_AGAIN_SECONDS:
                say(f"{profile}: waiting for {_owner(path)}; {time.monotonic() - begun:.0f} s so far.")
                said = time.monotonic()
            time.sleep(LOOK_EVERY_SECONDS)
        file.truncate(0)
        json.dump({"pid": os.getpid(), "since": datetime.now().isoformat(sep=" ", timespec="seconds")}, file)
        file.flush()
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f"the command of process {owner['pid']}, at work on it since {owner['since']}"
    except (ValueError, KeyError):  # it has just begun
        return "another command that is at work on it"
