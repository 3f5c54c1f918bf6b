"""What a run costs beside its work: the runs of `quant run` beside `dagster.materialize`, on one store, in turns.

    python benchmarks/orchestration.py [--repeats 12]

A small demo market in a temporary folder; then single partitions of two fold assets are made again and again, each way
in turn. The work is the time that Dagster measures inside the steps; everything else is orchestration. CPU time counts
the processes that a run starts. The planning of what is stale is timed on the finished store.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg

from quant_assets.commands.runner import Runner, Step
from quant_assets.instance.event_files import event_files
from quant_assets.instance.home import own_instance, prepare_home, quiet
from quant_assets.lab import Lab
from quant_assets.profile import load_profile

ENTRIES = {"start": "2018-01", "first_fold": "2020", "train_years": "2", "end": "2020-02"}
SETTINGS = {"raw_ohlcv": {"start": "2018-01-01", "n_tickers": 8}}
FOLD = "2020"
ASSETS = ("training_window", "forecaster_ridge")


@dataclass(frozen=True)
class Cost:
    """Seconds of one run: wall and CPU time, and the wall time inside its steps."""

    wall: float
    cpu: float
    work: float


class WorkSeconds(logging.Handler):
    """Adds up what Dagster measures inside the steps of a run."""

    total = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        event = (getattr(record, "dagster_meta", None) or {}).get("dagster_event")
        if event is not None and event.is_step_success:
            WorkSeconds.total += event.step_success_data.duration_ms / 1000


@dg.logger(config_schema={"log_level": dg.Field(str, is_required=False)})
def work_seconds(context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("work", logging.DEBUG)
    logger.addHandler(WorkSeconds())
    return logger


def cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def cost(run: Callable[[], object]) -> Cost:
    WorkSeconds.total = 0.0
    wall, cpu = time.perf_counter(), cpu_seconds()
    run()
    return Cost(time.perf_counter() - wall, cpu_seconds() - cpu, WorkSeconds.total)


def make_runner(instance: dg.DagsterInstance) -> Runner:
    from quant_assets.assembly import build_definitions

    profile = load_profile("demo", ENTRIES)
    runner = Runner(Lab(profile), build_definitions(profile), instance, SETTINGS, "CRITICAL")
    for asset in runner.stages():  # both ways count their steps
        runner.jobs[asset] = runner._job(asset).with_logger_defs({"console": work_seconds})
    return runner


def by_dagster(runner: Runner, asset: str, instance: dg.DagsterInstance) -> None:
    """One run as `dagster.materialize` makes it: a job resolved anew, on an instance as Dagster opens it."""
    definitions = runner.definitions
    dg.Definitions(
        assets=definitions.assets, asset_checks=definitions.asset_checks, resources=definitions.resources,
        jobs=[dg.define_asset_job("job", dg.AssetSelection.assets(runner.lab.key(asset)))],
        loggers={"console": work_seconds},
    ).resolve_job_def("job").execute_in_process(
        partition_key=FOLD, instance=instance, run_config={"loggers": {"console": {}}}
    )  # fmt: skip


def by_command(runner: Runner, asset: str) -> Cost:
    """One run as a command makes it after its first, which is not counted."""
    with event_files(runner.instance) as open_run:
        runner, step = replace(runner, open_run=open_run), Step(asset, (FOLD,))
        runner.execute(step)
        return cost(lambda: runner.execute(step))


def compare(runner: Runner, asset: str, plain: dg.DagsterInstance, repeats: int) -> None:
    by_dagster(runner, asset, plain)  # MLflow is imported by the first run that needs it
    pairs = [(cost(lambda: by_dagster(runner, asset, plain)), by_command(runner, asset)) for _ in range(repeats)]
    for name, found in zip(("dagster.materialize", "quant run"), zip(*pairs, strict=True), strict=True):
        wall, cpu, work = (1000 * statistics.median(getattr(one, f) for one in found) for f in ("wall", "cpu", "work"))
        print(f"{asset:<18} {name:<20} {wall:7.0f} ms wall, {cpu:6.0f} ms CPU, {work:6.0f} ms in its steps")


def plan_ms(runner: Runner) -> float:
    """Finding that nothing is to be done."""
    started = time.perf_counter()
    for asset, partitions in runner.wanted(*runner.month_range(None, None), until=[]).items():
        assert not runner.stale(asset, partitions), asset
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=12)
    repeats = parser.parse_args().repeats
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ |= {"QUANT_DATA": f"{folder}/data", "DAGSTER_HOME": str(home)}
        prepare_home(home)
        print(f"load average {os.getloadavg()[0]:.1f}")
        with own_instance(home) as instance, dg.DagsterInstance.get() as plain:
            runner = make_runner(instance)
            for asset, partitions in runner.wanted("2018-01", "2020-02", until=[]).items():
                for step in runner.steps(asset, partitions):
                    runner.execute(step)
            for asset in ASSETS:
                compare(runner, asset, plain, repeats)
            print(f"plan of {len(runner.stages())} assets, 26 months: {min(plan_ms(runner) for _ in range(5)):.0f} ms")
        print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
