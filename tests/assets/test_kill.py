"""SIGKILL at any moment: what was whole stays whole, nothing is half written, the next run finishes the work."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lab_process import QUANT, kill_group, lab_environment, poll, run_quant, started
from small_lab import COMMAND, STAGES, SmallLab

pytestmark = pytest.mark.slow

#: Files whose first appearance lies inside work that is easily cut in two: the run storage and MLflow's database.
DATABASES = ("home/history/runs.db", "data/mlflow/mlflow.db")
STAGE_WITHIN_S = 180
RANDOM_KILLS, SEED = 4, 20260731


def killed_when(moment: Callable[[], bool], lab: SmallLab) -> bool:
    """Start the command and SIGKILL its whole group at `moment`; whether it was still at work."""
    with started([*QUANT, *COMMAND], lab.environment, lab.folder / "run.log") as process:
        poll("the moment to kill", lambda: moment() or process.poll() is not None, STAGE_WITHIN_S, every_s=0.001)
        alive = process.poll() is None
        kill_group(process)
    return alive


def assert_whole(lab: SmallLab, before: dict[str, str], reference: dict[str, str]) -> dict[str, str]:
    """Nothing of `before` is lost, and whatever stands under a final name is what an undisturbed run makes."""
    now = lab.hashes()
    assert before.items() <= now.items()
    assert now.items() <= reference.items()
    return now


def finish(lab: SmallLab) -> None:
    done = run_quant(COMMAND, lab.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def stage_folder(lab: SmallLab, stage: str) -> Path:
    return lab.data / "demo" / stage


def test_a_run_killed_in_every_stage_loses_nothing_and_ends_as_an_undisturbed_one(
    small_lab: SmallLab, tmp_path: Path
) -> None:
    lab, reference = SmallLab(tmp_path, lab_environment(tmp_path)), small_lab.hashes()
    assert {name.split("/")[0] for name in reference} == set(STAGES)
    standing: dict[str, str] = {}
    for stage in STAGES:
        # The folder appears with the stage's first temporary file: the kill lands among its writes.
        assert killed_when(stage_folder(lab, stage).exists, lab), f"{stage}: the run was over before it could be killed"
        standing = assert_whole(lab, standing, reference)
        missing = {name for name in reference if name.startswith(f"{stage}/")} - set(standing)
        assert missing, f"{stage}: it was already complete when the kill came"
    finish(lab)
    assert lab.hashes() == reference


@pytest.mark.parametrize("database", DATABASES)
def test_a_kill_while_a_database_is_made_does_not_stop_the_next_run(
    small_lab: SmallLab, tmp_path: Path, database: str
) -> None:
    lab, reference = SmallLab(tmp_path, lab_environment(tmp_path)), small_lab.hashes()
    assert killed_when((tmp_path / database).exists, lab)
    assert_whole(lab, {}, reference)
    finish(lab)
    assert lab.hashes() == reference


def test_kills_at_random_moments_leave_only_whole_partitions(small_lab: SmallLab, tmp_path: Path) -> None:
    lab, reference = SmallLab(tmp_path, lab_environment(tmp_path)), small_lab.hashes()
    moments = random.Random(SEED)
    standing: dict[str, str] = {}
    for _ in range(RANDOM_KILLS):
        first_write, delay = len(standing), moments.uniform(0.0, 1.5)
        seen: list[float] = []

        def moment(first_write: int = first_write, delay: float = delay, seen: list[float] = seen) -> bool:
            """`delay` after the run has added something to the store."""
            if not seen and sum(1 for _ in lab.data.glob("demo/*/[0-9]*.*")) > first_write:
                seen.append(time.monotonic())
            return bool(seen) and time.monotonic() - seen[0] > delay

        killed_when(moment, lab)
        standing = assert_whole(lab, standing, reference)
    finish(lab)
    assert lab.hashes() == reference
