"""The trackers behind one interface: W&B told the same as MLflow, offline, and a clear word where it is not there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quant_assets.tracking.trackers import Told, Tracker, WandbTracker, chosen_trackers, told_to, wandb_tracker
from quant_core.errors import DataError


@dataclass
class Notebook:
    """A tracker that writes down what it is told."""

    told: list[tuple[Any, ...]] = field(default_factory=list)

    @contextmanager
    def start_run(self, run_name: str, nested: bool = True) -> Iterator[str]:
        self.told.append(("start", run_name, nested))
        try:
            yield "run of the notebook"
        except ValueError:
            self.told.append(("failed",))
            raise
        self.told.append(("end",))

    def active_run(self) -> str:
        return "run of the notebook"

    def log_params(self, params: Any) -> None:
        self.told.append(("params", params))

    def set_tags(self, tags: Any) -> None:
        self.told.append(("tags", tags))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.told.append(("metrics", metrics, step))

    def log_text(self, text: str, artifact_file: str) -> None:
        self.told.append(("text", text, artifact_file))

    def log_artifacts(self, local_dir: str) -> None:
        self.told.append(("files", sorted(path.name for path in Path(local_dir).iterdir())))


class FakeRun:
    """What wandb.init gives, as far as the lab uses it."""

    def __init__(self, **given: Any) -> None:
        self.given, self.id, self.dir = given, "r1", given["dir"]
        self.config: dict[str, Any] = {}
        self.logged: list[dict[str, Any]] = []
        self.artifacts: list[Any] = []
        self.exit_code: int | None = -1

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)

    def log_artifact(self, artifact: Any) -> None:
        self.artifacts.append(artifact)

    def finish(self, exit_code: int | None = None) -> None:
        self.exit_code = exit_code


def fake_wandb() -> tuple[Any, list[FakeRun]]:
    made: list[FakeRun] = []

    def init(**given: Any) -> FakeRun:
        made.append(FakeRun(**given))
        return made[-1]

    def artifact(name: str, type: str) -> Any:
        files: list[str] = []
        return SimpleNamespace(name=name, type=type, files=files, add_dir=lambda folder: files.extend(
            sorted(path.name for path in Path(folder).iterdir())
        ))  # fmt: skip

    return SimpleNamespace(init=init, Artifact=artifact, Settings=lambda **given: given), made


def work(tracker: Tracker, folder: Path) -> None:
    """What an asset tells of a run."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "arrays.safetensors").write_bytes(b"1")
    with tracker.start_run("trial[a=1]"):
        tracker.log_params({"alpha": 1.0})
        tracker.set_tags({"trial": "a=1"})
        tracker.log_metrics({"loss": 2.0}, step=3)
        tracker.log_metrics({"sharpe_ann": 0.5})
        tracker.log_text("{}", "settings.json")
        tracker.log_artifacts(str(folder / "in"))


def test_every_tracker_is_told_the_same_and_mlflows_run_is_the_one_that_is_linked(tmp_path: Path) -> None:
    one, two = Notebook(), Notebook()
    told = Told([one, two])
    work(told, tmp_path)
    assert one.told == two.told
    assert [entry[0] for entry in one.told] == [
        "start", "params", "tags", "metrics", "metrics", "text", "files", "end",
    ]  # fmt: skip
    assert told.active_run() == "run of the notebook"
    with pytest.raises(ValueError, match="no"), told.start_run("broken"):
        raise ValueError("no")
    assert one.told[-1] == two.told[-1] == ("failed",)


def test_wandb_is_told_all_that_mlflow_is_and_is_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    module, made = fake_wandb()
    tracker = WandbTracker(tmp_path / "wandb", module)
    work(tracker, tmp_path)
    (run,) = made
    assert (run.given["mode"], run.given["project"], run.given["name"]) == ("offline", "quant-lab", "trial[a=1]")
    assert run.config == {"alpha": 1.0, "trial": "a=1"}
    assert run.logged == [{"loss": 2.0, "epoch": 3}, {"sharpe_ann": 0.5}]
    assert (tmp_path / "wandb" / "settings.json").read_text() == "{}"
    assert run.artifacts[0].files == ["arrays.safetensors"]
    assert run.exit_code is None
    with pytest.raises(ValueError, match="no"), tracker.start_run("broken"):
        raise ValueError("no")
    assert made[-1].exit_code == 1
    assert tracker.runs == []


def test_trackers_are_chosen_by_name_and_mlflow_is_always_the_first() -> None:
    assert chosen_trackers({}) == ("mlflow",)
    assert chosen_trackers({"QUANT_TRACKERS": "wandb"}) == ("mlflow", "wandb")
    assert chosen_trackers({"QUANT_TRACKERS": " mlflow, wandb,wandb "}) == ("mlflow", "wandb")
    with pytest.raises(DataError, match="'neptune' is no tracker; wanted mlflow, or mlflow,wandb"):
        chosen_trackers({"QUANT_TRACKERS": "neptune"})


def test_wandb_that_is_not_installed_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(DataError, match=r"wandb is not installed; add it with `pip install 'quant-lab\[wandb\]'`"):
        told_to(Notebook(), tmp_path, {"QUANT_TRACKERS": "mlflow,wandb"})
    assert len(told_to(Notebook(), tmp_path, {}).trackers) == 1


@pytest.mark.slow
def test_the_real_package_keeps_a_run_in_files_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    work(wandb_tracker(tmp_path / "own"), tmp_path)
    kept = [path for path in tmp_path.rglob("run-*.wandb") if path.stat().st_size]
    assert kept, sorted(tmp_path.rglob("*"))
