"""What a machine does to a run: a full or read-only disk, a clock that jumps, no tracking server, two runs at once.

Whatever happens, what stands under a final name is whole and what an undisturbed run makes, the command says in a line
what to mend, and the same command afterwards ends as if nothing had been.
"""

import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from lab_process import CLOSED_PORT, QUANT, ROOT, lab_environment, poll, quant_here, run_quant, started
from preloaded import make_clock, make_disk, shift_to
from small_lab import COMMAND, STAGES, SmallLab

pytestmark = pytest.mark.slow

SEED = 20260731
#: What a run of the small lab writes: the databases and the tables.
WRITTEN_BYTES = 25_000_000
DAY_S = 86_400.0
WITHIN_S = 240
#: A run as far as the model.
FIT = [*COMMAND, "--stages", "forecaster_ridge"]
#: What is made again where two runs meet over a whole lab: with a slot in a pool and without, months and folds.
REMADE = ("clean_prices/2018-01", "forecaster_ridge/2020", "forecasts_ridge/2020-02", "signals/2020-02")


def assert_whole(lab: SmallLab, reference: dict[str, str]) -> None:
    """Whatever stands under a final name is what an undisturbed run makes."""
    assert lab.hashes().items() <= reference.items()


def assert_fitted(lab: SmallLab, reference: dict[str, str]) -> None:
    """A run as far as the model made it, and all of it is what an undisturbed one makes."""
    assert_whole(lab, reference)
    assert {name for name in reference if name.startswith("forecaster_ridge/")} <= set(lab.hashes())


def finish(lab: SmallLab, reference: dict[str, str]) -> None:
    done = quant_here(COMMAND, lab.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert lab.hashes() == reference


def stopped_by(lab: SmallLab, environment: dict[str, str]) -> str:
    """A run that ends with 1 and no traceback; what it said."""
    done = run_quant(COMMAND, environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done.stderr


def full_disks(times: int, small_lab: SmallLab, folder: Path) -> Counter[str]:
    """Fill the disk at drawn moments until so many runs were stopped; what stopped them."""
    reference, moments, said = small_lab.hashes(), random.Random(SEED), Counter[str]()
    while said.total() < times:
        place = folder / f"lab{said.total()}"
        place.mkdir(parents=True)
        lab = SmallLab(place, lab_environment(place))
        disk = make_disk(folder, place)
        disk.set(bytes_left=moments.randrange(100_000, WRITTEN_BYTES))
        words = stopped_by(lab, lab.environment | disk.environment)
        assert "No space left" in words or "full" in words, words
        said["database" if "database" in words else "file"] += 1
        assert_whole(lab, reference)
        finish(lab, reference)
    return said


def test_a_disk_that_fills_up_costs_nothing_but_the_run(small_lab: SmallLab, tmp_path: Path) -> None:
    print(f"full disks: {dict(full_disks(1, small_lab, tmp_path))}")


@pytest.mark.soak
def test_disks_that_fill_up_at_ten_moments(small_lab: SmallLab, tmp_path: Path) -> None:
    print(f"full disks: {dict(full_disks(10, small_lab, tmp_path))}")


def test_a_folder_that_became_read_only_is_named_and_keeps_what_it_has(small_lab: SmallLab, tmp_path: Path) -> None:
    lab, reference = SmallLab(tmp_path, lab_environment(tmp_path)), small_lab.hashes()
    part = quant_here([*COMMAND, "--stages", "clean_prices"], lab.environment)
    assert part.returncode == 0, part.stdout + part.stderr
    had = lab.hashes()
    disk = make_disk(tmp_path, lab.data)
    disk.set(read_only=True)
    words = stopped_by(lab, lab.environment | disk.environment)
    assert "Read-only file system" in words or "readonly" in words, words
    assert str(lab.data) in words
    assert lab.hashes() == had
    finish(lab, reference)


def jumping(jumps: list[tuple[float, float]], small_lab: SmallLab, folder: Path) -> None:
    """A run during which the clock jumps: (seconds after the one before, seconds by which it jumps)."""
    lab, clock = SmallLab(folder, lab_environment(folder)), make_clock(folder)
    with started([*QUANT, *FIT], lab.environment | clock.environment, folder / "run.log") as process:
        shift, n = 0.0, 0
        while process.poll() is None:
            time.sleep(jumps[n % len(jumps)][0])
            shift += jumps[n % len(jumps)][1]
            shift_to(clock.file, shift)
            n += 1
        assert process.returncode == 0, (folder / "run.log").read_text()
    print(f"clock jumps: {n}")
    assert_fitted(lab, small_lab.hashes())


def test_a_clock_that_jumps_to_and_fro_changes_nothing(small_lab: SmallLab, tmp_path: Path) -> None:
    jumping([(0.5, 2 * DAY_S), (0.5, -2 * DAY_S - 3600.0), (0.7, 3600.0)], small_lab, tmp_path)


def test_without_its_tracking_server_a_run_goes_on_and_says_where_it_is_tracked(
    small_lab: SmallLab, tmp_path: Path
) -> None:
    lab = SmallLab(tmp_path, lab_environment(tmp_path))
    done = run_quant(FIT, lab.environment | {"MLFLOW_TRACKING_URI": CLOSED_PORT})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MLflow at 127.0.0.1 does not answer" in done.stdout + done.stderr
    assert (lab.data / "mlflow" / "mlflow.db").is_file()
    assert_fitted(lab, small_lab.hashes())


def without_a_turn(lab: SmallLab, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a run that shares no lock with a command."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return [sys.executable, str(Path(__file__).with_name("without_a_turn.py")), *arguments], lab.environment | {
        "PYTHONPATH": paths
    }


def test_a_command_and_a_run_that_knows_nothing_of_it_bring_one_lab_up_to_date(
    small_lab: SmallLab, tmp_path: Path
) -> None:
    lab, reference, log = SmallLab(tmp_path, lab_environment(tmp_path)), small_lab.hashes(), tmp_path / "log"
    shutil.copytree(small_lab.data, lab.data, ignore=shutil.ignore_patterns("mlflow"))
    for name in REMADE:
        next((lab.data / "demo").glob(f"{name}.*")).unlink()
    signal = tmp_path / "now"
    with started(*without_a_turn(lab, str(signal)), log) as other:
        poll("the other run", lambda: other.poll() is not None or "ready" in log.read_text(), WITHIN_S, every_s=0.02)
        signal.touch()
        finish(lab, reference)
        assert other.wait(WITHIN_S) == 0, log.read_text()
    made = [line for line in log.read_text().splitlines() if line.partition(" ")[0] in STAGES]
    print(f"two runs at once: both ended with 0; the other one's part: {made}")
    assert lab.hashes() == reference


@pytest.mark.soak
def test_ten_times_two_runs_at_once_make_a_whole_lab(small_lab: SmallLab, tmp_path: Path) -> None:
    """One of them begins up to ten seconds after the other; neither waits for ever."""
    reference, moments = small_lab.hashes(), random.Random(SEED)
    for n in range(10):
        lab = SmallLab(tmp_path / f"lab{n}", lab_environment(tmp_path / f"lab{n}"))
        commands = [([*QUANT, *COMMAND], lab.environment), without_a_turn(lab)]
        moments.shuffle(commands)
        logs = lab.folder / "first", lab.folder / "second"
        with started(*commands[0], logs[0]) as first:
            time.sleep(moments.choice([0.0, moments.uniform(0.0, 10.0)]))
            with started(*commands[1], logs[1]) as second:
                codes = first.wait(900), second.wait(900)
        assert codes == (0, 0), logs[0].read_text() + logs[1].read_text()
        assert lab.hashes() == reference
        shutil.rmtree(lab.folder)
    print("two runs at once: 10 times, 20 ended with 0, every hash that of one run")
