"""A training that was killed and goes on ends as if nothing had happened; a file that cannot be trusted stops it."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_training import N_ROWS, Problem, quiet, same

from quant_core.errors import DataError
from quant_core.nn import checkpoints
from quant_core.nn.checkpoints import Checkpoint, checkpoint_path, read_checkpoint, write_checkpoint
from quant_core.nn.training import Trained, TrainingSettings, train

SETTINGS = TrainingSettings(epochs=5, batch_size=50, windows_per_epoch=120, device="cpu", threads=1)
HERE = Path(__file__).parent


class Killed(BaseException):
    """What no handler of errors catches."""


class Counted(Problem):
    """Knows how many epochs it was judged after."""

    judged = 0

    def judge(self) -> dict[str, float]:
        self.judged += 1
        return super().judge()


def uninterrupted(settings: TrainingSettings = SETTINGS) -> Trained:
    return Problem().train(settings)


def equal(a: Trained, b: Trained) -> bool:
    return same(a.state, b.state) and same(a.last, b.last) and a.curve.equals(b.curve) and a.best_epoch == b.best_epoch


def dies_in(what: str, epoch: int) -> Callable[[Problem, Path], None]:
    """A training that is killed by its log, its judge or in the middle of a step of `epoch`."""

    def run(problem: Problem, folder: Path) -> None:
        calls = {"judge": 0, "losses": 0}

        def die(where: str, count: int) -> None:
            if where == what and count == epoch:
                raise Killed

        def counted(where: str, function: Any, a_epoch: int) -> Any:
            def call(*inputs: Any) -> Any:
                calls[where] += 1
                die(where, calls[where] / a_epoch)
                return function(*inputs)

            return call

        with pytest.raises(Killed):
            train(
                problem.network, N_ROWS, counted("losses", problem.losses, 3), counted("judge", problem.judge, 1),
                SETTINGS, 1, lambda now, _: die("log", now), folder, "small",
            )  # fmt: skip

    return run


@pytest.mark.parametrize("epoch", [1, 2, 4])
@pytest.mark.parametrize("what", ["log", "judge", "losses"])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(what: str, epoch: int, tmp_path: Path) -> None:
    dies_in(what, epoch)(Problem(), tmp_path)
    told: list[tuple[int, Mapping[str, float]]] = []
    resumed = Problem().train(SETTINGS, lambda *said: told.append(said), tmp_path)
    assert equal(resumed, uninterrupted())
    assert [now for now, _ in told] == [1, 2, 3, 4, 5]  # what happened before the kill is told again
    for (_, values), row in zip(told, resumed.curve.iter_rows(named=True), strict=True):
        assert {name: values[name] for name in row if name != "epoch"} == {n: v for n, v in row.items() if n != "epoch"}
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


@pytest.mark.parametrize("more", [{"precision": "fp16"}, {"patience": 1, "min_delta": 0.5}, {"schedule": "linear"}])
def test_scaler_patience_and_schedule_go_on_too(more: dict[str, Any], tmp_path: Path) -> None:
    settings = replace(SETTINGS, **more)

    def die(epoch: int, _: Mapping[str, float]) -> None:
        if epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        Problem().train(settings, die, tmp_path)
    assert equal(Problem().train(settings, folder=tmp_path), uninterrupted(settings))


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    first, problem = Problem().train(SETTINGS, folder=tmp_path), Problem()
    never: Any = pytest.fail
    again = train(problem.network, N_ROWS, never, never, SETTINGS, 1, quiet, tmp_path, "small")
    assert equal(first, again)
    assert same(problem.network.state_dict(), first.state)


def test_keeping_checkpoints_changes_nothing(tmp_path: Path) -> None:
    assert equal(Problem().train(SETTINGS, folder=tmp_path / "a" / "b"), uninterrupted())


def test_what_a_killed_writer_left_behind_is_no_hindrance(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.with_name(f".{path.name}.tmp").write_bytes(b"half of a checkp")
    assert read_checkpoint(path, MARK) is not None
    write_checkpoint(path, example(4), MARK)
    assert list(tmp_path.iterdir()) == [path]


def test_other_settings_data_seeds_and_networks_never_meet_a_checkpoint(tmp_path: Path) -> None:
    Problem().train(SETTINGS, folder=tmp_path)
    wide = Problem()
    wide.network.append(torch.nn.Linear(1, 1))
    for problem, n_rows, settings, seed, fingerprint in (
        (Problem(), N_ROWS, replace(SETTINGS, learning_rate=0.1), 1, "small"),
        (Problem(), N_ROWS - 1, SETTINGS, 1, "small"),
        (Problem(), N_ROWS, SETTINGS, 2, "small"),
        (Problem(), N_ROWS, SETTINGS, 1, "other data"),
        (wide, N_ROWS, SETTINGS, 1, "small"),
    ):
        train(problem.network, n_rows, problem.losses, problem.judge, settings, seed, quiet, tmp_path, fingerprint)
    assert len(list(tmp_path.iterdir())) == 6


MARK = "0123456789abcdef" * 4


def example(epoch: int = 3) -> Checkpoint:
    values = {"w": torch.arange(6.0).view(2, 3), "steps": torch.tensor(7), "half": torch.ones(2, dtype=torch.bfloat16)}
    return Checkpoint(
        model=values, best={name: value + 1 for name, value in values.items()},
        moments={"0.step": torch.tensor(3.0), "0.exp_avg": torch.randn(2, 3)},
        curve=[{"epoch": n, "train_loss": 0.1 + n / 3} for n in range(1, epoch + 1)], epoch=epoch, best_epoch=1,
        best_score=-float("inf"), waited=2, scaler={"scale": 1024.0, "_growth_tracker": 4},
    )  # fmt: skip


def written(folder: Path) -> Path:
    path = checkpoint_path(folder, MARK)
    write_checkpoint(path, example(), MARK)
    return path


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path, known = written(tmp_path), example()
    assert path.name == "training-0123456789abcdef.safetensors"
    found = read_checkpoint(path, MARK)
    assert found is not None
    assert same(dict(found.model), dict(sorted(known.model.items())))
    assert same(dict(found.best), dict(sorted(known.best.items())))
    plain = {"curve", "epoch", "best_epoch", "best_score", "waited", "scaler"}
    assert {name: getattr(found, name) for name in plain} == {name: getattr(known, name) for name in plain}


def test_where_no_checkpoint_is_none_is_read(tmp_path: Path) -> None:
    assert read_checkpoint(checkpoint_path(tmp_path / "nowhere", MARK), MARK) is None


def test_the_best_state_is_written_once_where_it_is_the_newest(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, MARK)
    newest = replace(example(), best=example().model, best_epoch=3)
    write_checkpoint(path, newest, MARK)
    assert not [name for name in load_file(path) if name.startswith("best.")]
    found = read_checkpoint(path, MARK)
    assert found is not None
    assert same(found.best, found.model)


def shorter(content: bytes) -> bytes:
    return content[:-5]


def bent(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def empty(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [shorter, bent, empty])
def test_a_damaged_checkpoint_is_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"{path.name}: damaged .*; delete it"):
        read_checkpoint(path, MARK)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, MARK)
    save_file({"model.w": torch.ones(2)}, path)
    with pytest.raises(DataError, match="damaged"):
        read_checkpoint(path, MARK)


def test_a_checkpoint_of_another_version_or_training_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    other = MARK[:16] + "f" * 48
    with pytest.raises(DataError, match=rf"{path.name}: fingerprint is '{MARK}', wanted '{other}'; delete it"):
        read_checkpoint(path, other)
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    with pytest.raises(DataError, match=rf"{path.name}: format version is 1, wanted 2; delete it"):
        read_checkpoint(path, MARK)


def fills_up(after: int) -> Callable[[int], None]:
    """A flush that finds the disk full, from the one numbered `after` on."""
    flushed = 0

    def flush(_: int) -> None:
        nonlocal flushed
        flushed += 1
        if flushed >= after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return flush


def test_a_full_disk_leaves_the_former_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fills_up(3))
        with pytest.raises(DataError, match=r"epoch 3 .*cannot be written \(.*No space left.*\); free disk space"):
            Problem().train(SETTINGS, folder=tmp_path)
    (path,) = tmp_path.iterdir()  # and nothing temporary beside it
    with safe_open(path, "pt") as file:
        assert '"epoch": 2' in file.metadata()["facts"]
    assert equal(Problem().train(SETTINGS, folder=tmp_path), uninterrupted())


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="correct the folder"):
        Problem().train(SETTINGS, folder=tmp_path / "file")


SLOWLY = """
import sys, time
from pathlib import Path
from small_training import Problem
from test_checkpoints import SETTINGS
def log(epoch, values):
    print(epoch, flush=True)
    time.sleep(0.0 if epoch < 3 else 60.0)
Problem().train(SETTINGS, log, Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_training_killed_by_the_system_goes_on_after_its_last_epoch(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(HERE.parents[2]), str(HERE)])
    child = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, tmp_path], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert child.stdout is not None
    assert [int(child.stdout.readline()) for _ in range(3)] == [1, 2, 3]
    child.send_signal(signal.SIGKILL)
    assert child.wait(timeout=30) == -signal.SIGKILL
    counted = Counted()
    assert equal(counted.train(SETTINGS, folder=tmp_path), uninterrupted())
    assert counted.judged == 2
