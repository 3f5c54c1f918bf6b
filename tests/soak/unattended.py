"""Sixty sessions of a lab that nobody attends, in one process: Dagster's daemons, turn by turn, on a clock that jumps.

Every daemon that `dagster-daemon run` would start goes through its own loop; only the waiting between two turns is left
out, and runs are executed where the daemons are instead of in processes of their own. Arguments: the folder of the lab,
the day of the first and of the last session. The last line of the output is a JSON object of counts.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.controller import create_daemons_from_instance
from dagster._daemon.daemon import SpanMarker
from preloaded import ShiftedClock
from unattended_lab import PROFILE, profile
from vendor import IST, Vendor

from quant_assets.assembly import build_definitions
from quant_assets.automation.refreshing import AGAIN_AFTER, REFRESH_TAG
from quant_assets.commands.runner import Runner
from quant_assets.instance.live_runs import COMMAND_TAG
from quant_assets.lab import Lab
from quant_core.calendar import is_evening, is_session, sessions

#: Between two turns of all daemons; above the interval of every sensor that the lab waits for.
STEP = timedelta(seconds=61)
LOCATION = InProcessCodeLocationOrigin(
    LoadableTargetOrigin(module_name="unattended_definitions", working_directory=os.getcwd()), location_name="quant_lab"
)
#: Of the close that a vendor has while an evening session is still held.
UNFINISHED = 0.9
FITTED = (
    "training_window", "regime_model", "regime_history", "forecaster_ridge", "regime_books", "book_settings",
    "rl_policy_ppo",
)  # fmt: skip
IN_PROCESS = """
run_launcher:
  module: dagster._core.launcher.sync_in_memory_run_launcher
  class: SyncInMemoryRunLauncher
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


class Awake:
    """What the daemons' loops ask whether to stop; it never lets them wait."""

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        return False


@dataclass
class Machine:
    """A machine that is switched on: the daemons of an instance over the lab's code location."""

    instance: dg.DagsterInstance
    clock: ShiftedClock
    turns: int = 0
    errors: list[str] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    _loops: list[Iterator[Any]] = field(default_factory=list)

    def __enter__(self) -> "Machine":
        target = InProcessWorkspaceLoadTarget([LOCATION])
        workspace = self._stack.enter_context(create_test_daemon_workspace_context(target, self.instance))
        for daemon in create_daemons_from_instance(self.instance):
            self._stack.enter_context(daemon)
            self._loops.append(daemon.core_loop(workspace, Awake()))
        self._switch_on(workspace)
        return self

    def __exit__(self, *_: object) -> None:
        for loop in self._loops:
            loop.close()  # type: ignore[attr-defined]
        self._stack.close()

    def _switch_on(self, workspace: Any) -> None:
        """Every schedule and sensor that is off."""
        (entry,) = workspace.create_request_context().get_code_location_entries().values()
        for repository in entry.code_location.get_repositories().values():
            for schedule in repository.get_schedules():
                if not schedule.get_current_instigator_state(self._state(schedule)).is_running:
                    self.instance.start_schedule(schedule)
            for sensor in repository.get_sensors():
                if not sensor.get_current_instigator_state(self._state(sensor)).is_running:
                    self.instance.start_sensor(sensor)

    def _state(self, instigator: Any) -> Any:
        return self.instance.get_instigator_state(instigator.get_remote_origin_id(), instigator.selector_id)

    def turn(self) -> None:
        """One iteration of every daemon."""
        self.turns += 1
        for loop in self._loops:
            for said in loop:
                if said is SpanMarker.END_SPAN:
                    break
                if said is not None and said is not SpanMarker.START_SPAN:
                    self.errors.append(f"{datetime.now(IST):%Y-%m-%d %H:%M} {said.message.splitlines()[0]}")
                    print(f"daemon: {said}", file=sys.stderr)

    def settle(self, moment: datetime) -> datetime:
        """Let the daemons work from `moment` on until nothing more follows; the time at which that is."""
        still, seen = 0, -1
        while still < 2:
            self.clock.set(moment)
            self.turn()
            runs = self.instance.get_runs_count()
            still = still + 1 if runs == seen else 0
            seen, moment = runs, max(moment + STEP, datetime.now(IST))  # a turn may have taken longer
        return moment


@dataclass(frozen=True)
class Script:
    """What the vendor and the machine do other than usual.

    Attributes:
        late: session -> when its files come, instead of its own evening.
        partial: session -> (stocks in its first file, when the whole one comes).
        wrong: session -> (factor on a close in its first file, when the right one comes).
        off: days on which the machine is off, first and last.
        attended: evenings on which a person runs `quant run`.
    """

    late: dict[date, date] = field(default_factory=dict)
    partial: dict[date, tuple[int, date]] = field(default_factory=dict)
    wrong: dict[date, tuple[float, date]] = field(default_factory=dict)
    off: Sequence[tuple[date, date]] = ()
    attended: Sequence[date] = ()

    def is_off(self, day: date) -> bool:
        return any(first <= day <= last for first, last in self.off)

    def first_files(self, vendor: Vendor, day: date) -> None:
        """What the vendor has on the session's own evening."""
        if day in self.partial:
            vendor.publish(day, tickers=self.partial[day][0])
        elif day in self.wrong or is_evening(day):
            vendor.publish(day, close_factor=self.wrong[day][0] if day in self.wrong else UNFINISHED)
        elif day not in self.late:
            vendor.publish(day)

    def final_files(self, vendor: Vendor, day: date) -> None:
        """What the vendor has after the close of an evening session."""
        vendor.publish(day)

    def mended(self, vendor: Vendor, today: date) -> None:
        """What comes today of earlier sessions."""
        due = {day: on for day, on in self.late.items()} | {
            day: on for planned in (self.partial, self.wrong) for day, (_, on) in planned.items()
        }
        for day, on in due.items():
            if on == today:
                vendor.publish(day, on=on)


SCRIPTS = {
    "usual": Script(),
    "year end": Script(
        late={date(2019, 12, 30): date(2019, 12, 31)}, partial={date(2020, 1, 2): (4, date(2020, 1, 3))}
    ),
    "autumn": Script(
        wrong={date(2019, 10, 16): (0.98, date(2019, 11, 15))},
        off=[(date(2019, 10, 30), date(2019, 11, 13))],
        attended=[date(2019, 11, 15)],
    ),
    "sixty": Script(
        late={date(2019, 11, 6): date(2019, 11, 7)},
        partial={date(2019, 11, 13): (4, date(2019, 11, 14)), date(2020, 1, 9): (4, date(2020, 1, 10))},
        wrong={date(2019, 10, 16): (0.98, date(2019, 12, 17))},
        # Over a week-end, and over a month's end and more days than Dagster's scheduler goes back.
        off=[(date(2019, 11, 18), date(2019, 11, 22)), (date(2019, 11, 28), date(2019, 12, 11))],
        attended=[date(2019, 12, 17)],
    ),
}  # fmt: skip


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(n) for n in range((last - first).days + 1)]


def at(day: date, hour: int, minute: int, second: int = 5) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=IST)


def unattended(folder: Path, script: Script, first: date, last: date) -> dict[str, Any]:
    """Live through the days; what was run and said."""
    vendor, home = Vendor(folder / "prices"), Path(os.environ["DAGSTER_HOME"])
    clock = ShiftedClock(folder / "clock", folder / "shifted_clock.so")
    began = time.monotonic()
    with dg.DagsterInstance.from_config(str(home)) as instance, ExitStack() as power:
        machine, machines, offered = None, list[Machine](), set[str]()
        for day in days(first, last):
            script.mended(vendor, day)
            if script.is_off(day):
                power.pop_all().close()
                machine = None
                if is_session(day):
                    script.first_files(vendor, day)
                continue
            if machine is None:
                clock.set(at(day, 0, 0))
                machine = power.enter_context(Machine(instance, clock))
                machines.append(machine)
            if day.day == 1:
                machine.settle(at(day, 0, 1))
            if is_session(day):
                script.first_files(vendor, day)
            now = machine.settle(at(day, 18, 30))
            if is_evening(day):
                script.final_files(vendor, day)
                now = machine.settle(at(day, 21, 30))
            if failed_today(instance, now):
                now = machine.settle(now + AGAIN_AFTER)
            offered |= offers(instance)  # day by day: Dagster forgets its sensors' words after a week
            if day in script.attended:
                clock.set(at(day, 23, 0))
                by_hand(instance)
            if is_session(day):
                print(f"{day}: {instance.get_runs_count()} runs, {time.monotonic() - began:.0f} s", file=sys.stderr)
        return counted(instance) | {
            "offered": sorted(offered), "sessions": len(sessions(first, last)), "boots": len(machines),
            "stale": stale(instance),
            "turns": sum(one.turns for one in machines), "errors": [line for one in machines for line in one.errors],
            "seconds": round(time.monotonic() - began),
        }  # fmt: skip


def failed_today(instance: dg.DagsterInstance, now: datetime) -> bool:
    """Whether the day's last refresh failed."""
    newest = instance.get_run_records(dg.RunsFilter(job_name="refresh"), limit=1)
    return bool(newest) and newest[0].dagster_run.status == dg.DagsterRunStatus.FAILURE


def runner(instance: dg.DagsterInstance) -> Runner:
    return Runner(Lab(profile()), build_definitions(profile()), instance, {})


def by_hand(instance: dg.DagsterInstance) -> None:
    """What a person does who was offered a restated month: `quant run`."""
    own = runner(instance)
    for asset, partitions in own.wanted(*own.month_range(None, None), until=[]).items():
        for step in own.steps(asset, own.stale(asset, partitions)):
            own.execute(step)


def stale(instance: dg.DagsterInstance) -> list[str]:
    """What `quant run` would make now: every partition that is not fresh."""
    own = runner(instance)
    wanted = own.wanted(*own.month_range(None, None), until=[])
    return [f"{asset}/{name}" for asset, partitions in wanted.items() for name in own.stale(asset, partitions)]


def counted(instance: dg.DagsterInstance) -> dict[str, Any]:
    """Runs that the daemons launched, by job; those that failed; when folds began."""
    launched = [one for one in instance.get_run_records() if COMMAND_TAG not in one.dagster_run.tags]
    runs = [one.dagster_run for one in launched]
    return {
        "runs": dict(Counter("train" if run.job_name.startswith("__") else run.job_name for run in runs)),
        "refreshed": [run.tags.get(REFRESH_TAG, "") for run in reversed(runs) if run.job_name == "refresh"],
        "failed": [run.tags.get(REFRESH_TAG, run.job_name) for run in runs if run.status.value != "SUCCESS"],
        "fitted": {name: fitted_at(instance, name) for name in FITTED},
    }


def offers(instance: dg.DagsterInstance) -> set[str]:
    """What was told of restated months."""
    told = {tick.skip_reason or "" for tick in ticks_of(instance, "restated_months")}
    return {text for text in told if "no longer" in text}


def ticks_of(instance: dg.DagsterInstance, sensor: str) -> list[Any]:
    states = [one for one in instance.all_instigator_state() if one.instigator_name == sensor]
    return [tick for one in states for tick in instance.get_ticks(one.instigator_origin_id, one.selector_id)]


def fitted_at(instance: dg.DagsterInstance, asset: str) -> dict[str, str]:
    """Fold -> when it was fitted last."""
    key = dg.AssetKey([PROFILE, asset])
    found = instance.fetch_materializations(key, limit=100, ascending=True).records
    return {str(one.partition_key): datetime.fromtimestamp(one.timestamp, IST).isoformat() for one in found}


def main(folder: str, script: str, first: str, last: str) -> None:
    days_ = date.fromisoformat(first), date.fromisoformat(last)
    print(json.dumps(unattended(Path(folder), SCRIPTS[script], *days_)))


if __name__ == "__main__":
    main(*sys.argv[1:])
