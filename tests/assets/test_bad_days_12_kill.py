"""A killed run is recognised, buried and in nobody's way; a wait says for whom, and costs nothing."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.storage.tags import GRPC_INFO_TAG
from lab_process import QUANT, ROOT, kill_group, lab_environment, poll, quant_here, started
from small_lab import COMMAND, SmallLab

from quant_assets.assembly import build_definitions
from quant_assets.instance.live_runs import (
    HOST_TAG,
    PID_TAG,
    STARTED_TAG,
    bury_dead_runs,
    held_slots,
    is_alive,
    own_tags,
    process_started,
    unjudged_runs,
)
from quant_assets.instance.waiting import slot_waits_said
from quant_assets.profile import load_profile

POOL = "training"
#: Of a run that a code server of this machine started, and of one that a server elsewhere did.
OF_A_FILE = {GRPC_INFO_TAG: '{"host": "localhost", "socket": "/tmp/tmp1234"}'}
OF_A_PORT = {GRPC_INFO_TAG: '{"host": "code", "port": 4266}'}
SETTINGS = "concurrency:\n  pools:\n    granularity: op\n    default_limit: 1\ntelemetry:\n  enabled: false\n"


def a_dead_pid() -> int:
    """The number of a process that has ended and was reaped."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def tags_of(pid: int, started_at: str | None = None, host: str = "") -> dict[str, str]:
    return own_tags("demo/table", "2020-01") | {
        HOST_TAG: host or socket.gethostname(),
        PID_TAG: str(pid),
        STARTED_TAG: started_at or str(process_started(os.getpid())),
    }


# ---- does it live? ---------------------------------------------------------------------------------------------------


def test_a_process_lives_while_its_number_and_its_start_agree() -> None:
    mine = own_tags("demo/table", "2020-01")
    assert is_alive(mine) is True
    assert is_alive(mine | {PID_TAG: str(a_dead_pid())}) is False
    boot, namespace, ticks = mine[STARTED_TAG].split("/")
    assert is_alive(mine | {STARTED_TAG: f"{boot}/{namespace}/{int(ticks) - 1}"}) is False  # the number is used again
    assert is_alive(mine | {STARTED_TAG: f"an earlier boot/{namespace}/{ticks}"}) is False
    assert is_alive(mine | {STARTED_TAG: f"{boot}/another container/{ticks}"}) is None
    assert is_alive(mine | {HOST_TAG: "elsewhere"}) is None
    assert is_alive({}) is None


def test_a_process_that_waits_to_be_reaped_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    poll("the process to end", lambda: process_started(process.pid) is None, 30, every_s=0.01)
    assert Path(f"/proc/{process.pid}").exists()  # nobody has waited for it
    process.wait()


# ---- burying ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text(SETTINGS)
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


@dg.op(pool=POOL)
def train() -> None: ...


@dg.job
def training() -> None:
    train()


def begun(instance: dg.DagsterInstance, tags: dict[str, str], step: str = "train") -> dg.DagsterRun:
    """A run that has started and asked for a slot in the pool."""
    run = instance.create_run_for_job(training, tags=tags)
    instance.report_dagster_event(
        dg.DagsterEvent("PIPELINE_START", job_name=run.job_name, message="begun"), run_id=run.run_id
    )
    instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)
    instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, step)
    return run


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status.value


@pytest.mark.slow
def test_a_dead_run_is_marked_failed_and_its_slot_goes_to_the_next(instance: dg.DagsterInstance) -> None:
    pid = a_dead_pid()
    dead = begun(instance, tags_of(pid))
    next_one = begun(instance, own_tags("demo/table", "2020-01"))
    (line,) = bury_dead_runs(instance)
    assert dead.run_id[:8] in line
    assert str(pid) in line
    assert POOL in line
    assert "demo/table" in line
    assert status(instance, dead) == "FAILURE"
    assert status(instance, next_one) == "STARTED"
    assert instance.event_log_storage.check_concurrency_claim(POOL, next_one.run_id, "train").is_assigned
    assert {run_id for _, run_id in held_slots(instance)} == {next_one.run_id}
    reasons = [entry.message for entry in instance.all_logs(dead.run_id) if "ended without a word" in entry.message]
    assert reasons, "the run's page does not say why it failed"
    assert bury_dead_runs(instance) == []


@pytest.mark.slow
def test_what_a_dead_run_only_waited_for_is_freed_too(instance: dg.DagsterInstance) -> None:
    holder = begun(instance, own_tags("demo/table", "2020-01"))
    begun(instance, tags_of(a_dead_pid()))
    assert len(bury_dead_runs(instance)) == 1
    assert {run_id for _, run_id in held_slots(instance)} == {holder.run_id}


def test_a_run_of_another_host_is_left_and_named(instance: dg.DagsterInstance) -> None:
    other = begun(instance, tags_of(a_dead_pid(), host="elsewhere"))
    assert bury_dead_runs(instance) == []
    assert status(instance, other) == "STARTED"
    assert set(held_slots(instance)) == {(POOL, other.run_id)}
    (line,) = unjudged_runs(instance)
    assert "elsewhere" in line
    assert other.run_id[:8] in line


def launched(instance: dg.DagsterInstance, pid: int, tags: dict[str, str] = OF_A_FILE) -> dg.DagsterRun:
    """A run that a code server started in a process of its own."""
    run = begun(instance, tags)
    instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))
    return run


@pytest.mark.slow
def test_a_launched_run_whose_worker_is_gone_is_buried_where_the_daemon_is(instance: dg.DagsterInstance) -> None:
    dead, reused = launched(instance, pid := a_dead_pid()), launched(instance, os.getpid())
    assert bury_dead_runs(instance) == unjudged_runs(instance) == []
    lines = bury_dead_runs(instance, launched=True)
    assert [run.run_id[:8] in line for run, line in zip((dead, reused), lines, strict=True)] == [True, True]
    assert f"its process {pid} ended without a word" in lines[0]
    assert (status(instance, dead), status(instance, reused)) == ("FAILURE", "FAILURE")
    assert list(held_slots(instance)) == []


def test_a_launched_run_is_left_while_its_worker_lives_or_is_elsewhere_or_unknown(instance: dg.DagsterInstance) -> None:
    sleeping = [sys.executable, "-c", "import time; 'multiprocessing'; time.sleep(60)"]
    with subprocess.Popen(sleeping) as worker:
        runs = [
            launched(instance, worker.pid), launched(instance, a_dead_pid(), OF_A_PORT), begun(instance, OF_A_FILE),
            begun(instance, tags_of(a_dead_pid()) | OF_A_FILE),  # a command's run that a person tried again in the UI
        ]  # fmt: skip
        assert bury_dead_runs(instance, launched=True) == []
        worker.kill()
    assert {status(instance, run) for run in runs} == {"STARTED"}


def test_the_slot_of_a_deleted_run_is_freed(instance: dg.DagsterInstance) -> None:
    gone = begun(instance, {})
    instance.run_storage.delete_run(gone.run_id)
    assert len(bury_dead_runs(instance)) == 1
    assert list(held_slots(instance)) == []


def test_a_slot_that_a_run_still_holds_a_minute_after_its_end_is_freed(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = begun(instance, {})
    instance.report_run_failed(ended)
    assert bury_dead_runs(instance) == []  # it may be about to free it
    monkeypatch.setattr("quant_assets.instance.live_runs.LEFT_OVER_SECONDS", -1.0)
    assert len(bury_dead_runs(instance)) == 1
    assert list(held_slots(instance)) == []


@pytest.mark.slow
def test_while_the_web_ui_runs_a_sensor_buries_the_dead(instance: dg.DagsterInstance) -> None:
    dead = begun(instance, tags_of(a_dead_pid()))
    sensor = build_definitions(load_profile("demo")).get_repository_def().get_sensor_def("bury_dead_runs")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    said = sensor.evaluate_tick(dg.build_sensor_context(instance=instance)).skip_message
    assert dead.run_id[:8] in str(said)
    assert status(instance, dead) == "FAILURE"


# ---- waiting ---------------------------------------------------------------------------------------------------------


def materialized_behind(instance: dg.DagsterInstance, holder: dg.DagsterRun, free_after_s: float) -> list[str]:
    """What is said while a run waits behind `holder`."""
    said: list[str] = []

    @dg.asset(pool=POOL)
    def table() -> None: ...

    def release() -> None:
        time.sleep(free_after_s)
        instance.event_log_storage.free_concurrency_slots_for_run(holder.run_id)

    if free_after_s:
        threading.Thread(target=release, daemon=True).start()
    with slot_waits_said(instance, [POOL], said.append):
        assert dg.materialize([table], instance=instance, tags=own_tags("demo/table", "2020-01")).success
    return said


@pytest.mark.slow
def test_a_wait_for_a_living_run_says_whose_and_does_not_spin(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[float] = []
    asked = ActiveExecution.get_next_step

    def counted(self: ActiveExecution) -> object:
        turns.append(time.monotonic())
        return asked(self)

    monkeypatch.setattr(ActiveExecution, "get_next_step", counted)
    holder = begun(instance, own_tags("demo/forecaster_ridge", "2020"))
    said = materialized_behind(instance, holder, free_after_s=4.0)
    assert turns[-1] - turns[0] > 3.0
    assert len(turns) < 50  # a loop that does not sleep turns tens of thousands of times
    assert len(said) == 1
    assert "demo/forecaster_ridge" in said[0]
    assert f"process {os.getpid()}" in said[0]
    assert "s so far" in said[0]
    assert status(instance, holder) == "STARTED"


@pytest.mark.slow
def test_a_holder_that_dies_meanwhile_is_buried_by_the_one_that_waits(instance: dg.DagsterInstance) -> None:
    holder = begun(instance, tags_of(a_dead_pid()))
    said = materialized_behind(instance, holder, free_after_s=0.0)
    assert any("is dead" in line and holder.run_id[:8] in line for line in said)
    assert status(instance, holder) == "FAILURE"


# ---- the real commands -----------------------------------------------------------------------------------------------

#: One op of every kind: of months and of folds, made by hand and by a factory, with a pool and without, tracked or not.
OPS = {
    "clean_prices": ("2020-02", "clean_prices"),
    "training_window": ("2020", "training_window"),
    "forecaster_ridge: train": ("2020", "ridge__train"),
    "forecaster_ridge: publish": ("2020", "ridge__publish"),
    "forecasts_ridge": ("2020-02", "forecasts_ridge"),
    "forecast_quality": ("2020", "forecast_quality"),
    "backtest_report": ("2020", "backtest_report"),
}
STRIKING = [sys.executable, str(ROOT / "tests" / "striking_lab.py")]
WITHIN_S = 180


@pytest.fixture
def lab(small_lab: SmallLab, tmp_path: Path) -> SmallLab:
    """A finished lab of its own."""
    shutil.copytree(small_lab.folder, tmp_path, dirs_exist_ok=True)
    python_path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return SmallLab(tmp_path, lab_environment(tmp_path) | {"PYTHONPATH": python_path})


def home_of(lab: SmallLab) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(lab.environment["DAGSTER_HOME"])


def log_of(lab: SmallLab, name: str) -> str:
    with suppress(FileNotFoundError):
        return (lab.folder / name).read_text()
    return ""


@pytest.mark.soak
def test_a_kill_inside_an_op_of_any_kind_leaves_a_run_that_the_next_command_buries(lab: SmallLab) -> None:
    before = lab.hashes()
    for name, (partition, op) in OPS.items():
        asset = name.partition(":")[0]
        with started([*STRIKING, asset, partition, "kill", op], lab.environment, lab.folder / f"{op}.log") as process:
            process.wait(WITHIN_S)
        assert "struck" in log_of(lab, f"{op}.log"), log_of(lab, f"{op}.log")
        with home_of(lab) as instance:
            holds = {pool for pool, _ in held_slots(instance)}
            assert holds == ({"cpu_training"} if op == "ridge__train" else set()), op
            (line,) = bury_dead_runs(instance)
            assert f"demo/{asset} {partition}" in line
            assert str(process.pid) in line
            assert list(held_slots(instance)) == []
    assert lab.hashes() == before


@pytest.mark.slow
def test_a_kill_inside_training_does_not_hang_the_next_command(lab: SmallLab) -> None:
    before = lab.hashes()
    (lab.data / "demo" / "forecaster_ridge" / "2020.json").unlink()
    with started([*STRIKING, "forecaster_ridge", "2020", "kill", "train"], lab.environment, lab.folder / "a") as killed:
        killed.wait(WITHIN_S)
    done = quant_here(COMMAND, lab.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"its process {killed.pid} ended without a word" in done.stdout
    assert "its slot in cpu_training freed" in done.stdout
    assert lab.hashes() == before
    healthy = quant_here(["doctor"], lab.environment)
    assert "none is left of a process that died" in healthy.stdout, healthy.stdout


@pytest.mark.soak
def test_a_run_killed_while_it_waits_for_a_slot_is_buried_with_the_one_that_held_it(lab: SmallLab) -> None:
    step = ["forecaster_ridge", "2020"]
    with started([*STRIKING, *step, "pause", "train"], lab.environment, lab.folder / "holder") as holder:
        poll("the slot to be held", lambda: "struck" in log_of(lab, "holder"), WITHIN_S)
        with started([*STRIKING, *step], lab.environment, lab.folder / "waiter") as waiter:
            poll("the wait to be said", lambda: "waiting for the slot" in log_of(lab, "waiter"), WITHIN_S)
            assert f"process {holder.pid}" in log_of(lab, "waiter")
            kill_group(waiter)
        examined = quant_here(["doctor"], lab.environment)  # the holder lives: only the waiter is buried
        assert f"its process {waiter.pid} ended" in examined.stdout, examined.stdout
        assert f"its process {holder.pid} ended" not in examined.stdout
        with started([*STRIKING, *step], lab.environment, lab.folder / "second") as second:
            poll("the wait to be said", lambda: "waiting for the slot" in log_of(lab, "second"), WITHIN_S)
            kill_group(holder)  # while the second waits
            assert second.wait(WITHIN_S) == 0
    assert f"its process {holder.pid} ended without a word" in log_of(lab, "second")
    assert "finished" in log_of(lab, "second")


@pytest.mark.slow
def test_two_commands_on_one_profile_take_turns_and_the_second_says_so(lab: SmallLab) -> None:
    holding = (
        "import sys, time\nfrom pathlib import Path\nfrom quant_assets.instance.waiting import turn_of\n"
        "with turn_of('demo', Path(sys.argv[1]), print):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    hold = [sys.executable, "-c", holding, lab.environment["DAGSTER_HOME"]]
    with started(hold, lab.environment, lab.folder / "holder") as holder:
        poll("the turn", lambda: "held" in log_of(lab, "holder"), WITHIN_S)
        with started([*QUANT, *COMMAND], lab.environment, lab.folder / "killed") as killed:
            poll("the wait to be said", lambda: f"process {holder.pid}" in log_of(lab, "killed"), WITHIN_S)
            kill_group(killed)
        with started([*QUANT, *COMMAND], lab.environment, lab.folder / "second") as second:
            poll("the wait to be said", lambda: f"process {holder.pid}" in log_of(lab, "second"), WITHIN_S)
            kill_group(holder)
            assert second.wait(WITHIN_S) == 0, log_of(lab, "second")


@pytest.mark.slow
def test_processes_that_make_a_fresh_instance_at_once_all_have_it(tmp_path: Path) -> None:
    environment = lab_environment(tmp_path)
    ours = (
        "import os, pathlib; from quant_assets.instance import home;"
        "home.own_instance(pathlib.Path(os.environ['DAGSTER_HOME']))"
    )
    dagsters = "import dagster; dagster.DagsterInstance.get()"
    together = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        for code in (ours, dagsters, dagsters)
    ]
    ended = [process.communicate(timeout=120)[1] for process in together]
    assert [process.returncode for process in together] == [0, 0, 0], ended
