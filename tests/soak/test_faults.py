"""What a machine does to a run: a full or read-only disk, a clock that jumps, no tracking server.

Whatever happens, what stands under a final name is whole and what an undisturbed run makes, the command says in a line
what to mend, and the same command afterwards ends as if nothing had been.
"""

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from lab_process import CLOSED_PORT, QUANT, lab_environment, quant_here, run_quant, started
from preloaded import make_clock, make_disk, shift_to
from small_lab import COMMAND, SmallLab

pytestmark = pytest.mark.slow

SEED = 20260731
#: What a run of the small lab writes: the databases and the tables.
WRITTEN_BYTES = 25_000_000
DAY_S = 86_400.0


def assert_whole(lab: SmallLab, reference: dict[str, str]) -> None:
    """Whatever stands under a final name is what an undisturbed run makes."""
    assert lab.hashes().items() <= reference.items()


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
    with started([*QUANT, *COMMAND], lab.environment | clock.environment, folder / "run.log") as process:
        shift, n = 0.0, 0
        while process.poll() is None:
            time.sleep(jumps[n % len(jumps)][0])
            shift += jumps[n % len(jumps)][1]
            shift_to(clock.file, shift)
            n += 1
        assert process.returncode == 0, (folder / "run.log").read_text()
    print(f"clock jumps: {n}")
    assert lab.hashes() == small_lab.hashes()


def test_a_clock_that_jumps_to_and_fro_changes_nothing(small_lab: SmallLab, tmp_path: Path) -> None:
    jumping([(0.5, 2 * DAY_S), (0.5, -2 * DAY_S - 3600.0), (0.7, 3600.0)], small_lab, tmp_path)


def test_without_its_tracking_server_a_run_goes_on_and_says_where_it_is_tracked(
    small_lab: SmallLab, tmp_path: Path
) -> None:
    lab = SmallLab(tmp_path, lab_environment(tmp_path))
    done = run_quant([*COMMAND, "--stages", "forecaster_ridge"], lab.environment | {"MLFLOW_TRACKING_URI": CLOSED_PORT})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MLflow at 127.0.0.1 does not answer" in done.stdout + done.stderr
    assert (lab.data / "mlflow" / "mlflow.db").is_file()
    now, reference = lab.hashes(), small_lab.hashes()
    assert now.items() <= reference.items()
    assert any(name.startswith("forecaster_ridge/") for name in now)
