"""SIGKILL at any moment: what was whole stays whole, nothing is half written, the next run finishes the work."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from lab_process import QUANT, kill_group, lab_environment, poll, quant_here, started
from small_lab import COMMAND, STAGES, SmallLab

pytestmark = pytest.mark.slow

STAGE_WITHIN_S = 180
SOAK_KILLS, SEED = 50, 20260731
#: Imports and definitions, before a command stores anything.
START_S = 5.0
#: MLflow's database is nearly a megabyte when it is whole; this size lies in the middle of its making.
HALF_A_DATABASE_BYTES = 300_000


def killed_when(moment: Callable[[], bool], lab: SmallLab) -> bool:
    """Start the command and SIGKILL its whole group at `moment`; whether it was still at work."""
    with started([*QUANT, *COMMAND], lab.environment, lab.folder / "run.log") as process:
        poll("the moment to kill", lambda: moment() or process.poll() is not None, STAGE_WITHIN_S, every_s=0.003)
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
    done = quant_here(COMMAND, lab.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_run_killed_in_one_stage_after_another_loses_nothing_and_ends_as_an_undisturbed_one(
    small_lab: SmallLab, tmp_path: Path
) -> None:
    lab, reference = SmallLab(tmp_path, lab_environment(tmp_path)), small_lab.hashes()
    assert {name.split("/")[0] for name in reference} == set(STAGES)
    assert killed_when((lab.folder / "home" / "history" / "runs.db").exists, lab)
    standing = killed_in("clean_prices", lab, {}, reference)
    assert killed_when(half_a_database_of(lab), lab)
    standing = assert_whole(lab, standing, reference)
    assert "training_window/2020" in standing
    assert "forecaster_ridge/2020" not in standing
    for stage in ("forecaster_ridge", "backtest"):
        standing = killed_in(stage, lab, standing, reference)
    finish(lab)
    assert lab.hashes() == reference


def killed_in(stage: str, lab: SmallLab, standing: dict[str, str], reference: dict[str, str]) -> dict[str, str]:
    """Kill a run among the writes of a stage; what stands then."""
    # The folder appears with the stage's first temporary file.
    folder = lab.data / "demo" / stage
    assert killed_when(folder.exists, lab), f"{stage}: the run was over before it could be killed"
    standing = assert_whole(lab, standing, reference)
    own = {name for name in reference if name.startswith(f"{stage}/")}
    # The one partition of a stage may be whole by the time that the kill comes.
    assert len(own) == 1 or own - set(standing), f"{stage}: it was already complete when the kill came"
    return standing


def half_a_database_of(lab: SmallLab) -> Callable[[], bool]:
    """True in the middle of the making of MLflow's database."""
    return lambda: any(size_bytes(path) > HALF_A_DATABASE_BYTES for path in lab.data.glob("mlflow/*db*"))


def size_bytes(path: Path) -> int:
    """Size of a file, 0 once it is gone: a journal lives for milliseconds."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.soak
def test_fifty_kills_at_random_moments_of_whole_runs(small_lab: SmallLab, tmp_path: Path) -> None:
    """A run goes on where a kill left it; a lab that is whole, or was killed five times, makes room for the next."""
    reference, moments, usual_s = small_lab.hashes(), random.Random(SEED), seconds_of(small_lab)
    kills, labs, killed_before = 0, 0, Counter[str]()
    while kills < SOAK_KILLS:
        lab, labs, standing = SmallLab(tmp_path / "lab", lab_environment(tmp_path / "lab")), labs + 1, {}
        for _ in range(min(5, SOAK_KILLS - kills)):
            due = time.monotonic() + moments.uniform(0.0, usual_s)
            if not killed_when(lambda due=due: time.monotonic() > due, lab):  # type: ignore[misc]
                break
            kills, standing = kills + 1, assert_whole(lab, standing, reference)
            missing = {name.partition("/")[0] for name in reference.keys() - standing.keys()}
            killed_before[next((stage for stage in STAGES if stage in missing), "the end")] += 1
        finish(lab)
        assert lab.hashes() == reference
        shutil.rmtree(lab.folder)
    print(f"kills: {kills} in {labs} labs; unfinished stage: {dict(killed_before)}")


def seconds_of(lab: SmallLab) -> float:
    """How long its undisturbed run took."""
    stored = [path.stat().st_mtime for path in (lab.data / "demo").rglob("*") if path.is_file()]
    return START_S + max(stored) - min(stored)
