"""Where runs are tracked: one small interface, MLflow behind it always and W&B beside it where QUANT_TRACKERS asks.

What belongs here: what an asset may tell a tracker, the W&B side of it, and telling several at once. MLflow's side is
dagster-mlflow's resource as it stands (`resources`), which has these methods already; the registry of models is
MLflow's alone (`model_registry`).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from quant_core.errors import DataError

TRACKERS_VARIABLE, PROJECT_VARIABLE = "QUANT_TRACKERS", "WANDB_PROJECT"
MLFLOW, WANDB = "mlflow", "wandb"
PROJECT = "quant-lab"


class Tracker(Protocol):
    """What is told of a run."""

    def start_run(self, run_name: str, nested: bool = True) -> AbstractContextManager[Any]:
        """A run of that name inside the one that is open; it ends failed where an error leaves it."""

    def log_params(self, params: Mapping[str, Any]) -> Any:
        """Settings, once a run."""

    def set_tags(self, tags: Mapping[str, Any]) -> Any:
        """Words to find the run by."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> Any:
        """Figures, of an epoch where `step` is given."""

    def log_text(self, text: str, artifact_file: str) -> Any:
        """A text as a file of the run."""

    def log_artifacts(self, local_dir: str) -> Any:
        """Every file of a folder."""


@dataclass
class WandbTracker:
    """Weights & Biases, offline unless WANDB_MODE says otherwise: files in a folder that `wandb sync` sends.

    Args:
        folder: where its files go.
        wandb: the module.
    """

    folder: Path
    wandb: Any
    runs: list[Any] = field(default_factory=list)

    @contextmanager
    def start_run(self, run_name: str, nested: bool = True) -> Iterator[Any]:
        """W&B knows no run inside another; each is one of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        run = self.wandb.init(
            project=os.environ.get(PROJECT_VARIABLE) or PROJECT, name=run_name, dir=str(self.folder),
            mode=os.environ.get("WANDB_MODE") or "offline", reinit="create_new",
            settings=self.wandb.Settings(silent=True, disable_git=True, console="off"),
        )  # fmt: skip
        self.runs.append(run)
        try:
            yield run
        except BaseException:
            run.finish(exit_code=1)
            raise
        else:
            run.finish()
        finally:
            self.runs.pop()

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Settings, as W&B's config."""
        self.runs[-1].config.update(dict(params))

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """W&B's own tags have no values: these go to the config too."""
        self.runs[-1].config.update({name: str(value) for name, value in tags.items()})

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Figures; the epoch is one of them, as W&B's own step never goes back."""
        self.runs[-1].log(dict(metrics) if step is None else {**metrics, "epoch": step})

    def log_text(self, text: str, artifact_file: str) -> None:
        """A file in the run's folder."""
        (Path(self.runs[-1].dir) / Path(artifact_file).name).write_text(text)

    def log_artifacts(self, local_dir: str) -> None:
        """Every file, as one artifact of the run."""
        run = self.runs[-1]
        artifact = self.wandb.Artifact(f"files-{run.id}", type="files")
        artifact.add_dir(local_dir)
        run.log_artifact(artifact)


@dataclass(frozen=True)
class Told:
    """Several trackers as one; MLflow is the first, and its run is the one that pages link to."""

    trackers: Sequence[Any]

    @contextmanager
    def start_run(self, run_name: str, nested: bool = True) -> Iterator[Any]:
        """A run of each; gives MLflow's."""
        with ExitStack() as stack:
            first, *_ = [stack.enter_context(one.start_run(run_name=run_name, nested=nested)) for one in self.trackers]
            yield first

    def active_run(self) -> Any:
        """MLflow's run."""
        return self.trackers[0].active_run()

    def log_params(self, params: Mapping[str, Any]) -> None:
        """To each."""
        for one in self.trackers:
            one.log_params(dict(params))

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """To each."""
        for one in self.trackers:
            one.set_tags(dict(tags))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """To each."""
        for one in self.trackers:
            one.log_metrics(dict(metrics), step=step)

    def log_text(self, text: str, artifact_file: str) -> None:
        """To each."""
        for one in self.trackers:
            one.log_text(text, artifact_file)

    def log_artifacts(self, local_dir: str) -> None:
        """To each."""
        for one in self.trackers:
            one.log_artifacts(local_dir)


def chosen_trackers(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Names in QUANT_TRACKERS, divided by commas; MLflow alone by default, and always the first.

    Raises:
        DataError: one that there is not.
    """
    named = [name.strip() for name in environment.get(TRACKERS_VARIABLE, "").split(",") if name.strip()]
    for name in named:
        if name not in (MLFLOW, WANDB):
            raise DataError(f"{TRACKERS_VARIABLE}: {name!r} is no tracker; wanted {MLFLOW}, or {MLFLOW},{WANDB}.")
    return (MLFLOW, *(name for name in dict.fromkeys(named) if name != MLFLOW))


def wandb_tracker(folder: Path) -> WandbTracker:
    """W&B with its files under `folder`.

    Raises:
        DataError: it is not installed.
    """
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise DataError(
            f"{TRACKERS_VARIABLE}: wandb is not installed; add it with `pip install 'quant-lab[wandb]'`, or leave it "
            "out of the variable."
        ) from error
    return WandbTracker(folder, wandb)


def told_to(mlflow: Any, folder: Path, environment: Mapping[str, str]) -> Told:
    """The trackers that the environment chooses, MLflow's resource first."""
    more = [wandb_tracker(folder) for name in chosen_trackers(environment) if name == WANDB]
    return Told([mlflow, *more])
