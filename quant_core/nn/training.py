"""The one training loop, for the encoder and every forecaster. It knows rows by number, losses and a judge; no data.

    for every epoch: draw rows, step by step down the gradient, judge, keep a checkpoint, tell the log

A training is a function of its arguments: an epoch draws its rows, and all that is random within it, from
(seed, epoch), so a training that was killed and goes on from its checkpoint ends as if nothing had happened. The global
random state is left as it was found.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from quant_core.errors import DataError
from quant_core.fitted import Log, curve_table, plain_settings
from quant_core.nn.checkpoints import (
    Checkpoint,
    checkpoint_path,
    fresh,
    moments_of,
    read_checkpoint,
    restore,
    state_of,
    write_checkpoint,
)
from quant_core.nn.optimisers import make_optimiser, rate_share
from quant_core.nn.processes import Place, join, told_by_first
from quant_core.nn.settings import TrainingSettings
from quant_core.nn.steps import Losses, Stepper
from quant_core.runtime import get_dtype, torch_threads

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training ends with.

    Args:
        state: of the network after its best epoch, on the CPU.
        last: of the network after its last epoch, on the CPU.
        curve: a row an epoch: epoch (1, 2 ...), train_* means over the rows drawn, validation_* of the judge,
            learning_rate of its last step.
        best_epoch: the one with the highest validation_score.
    """

    state: dict[str, Tensor]
    last: dict[str, Tensor]
    curve: pl.DataFrame
    best_epoch: int


def train(
    network: nn.Module,
    n_rows: int,
    losses: Losses,
    judge: Callable[[], Mapping[str, float]],
    settings: TrainingSettings,
    seed: int,
    log: Log,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    slow: Sequence[str] = (),
) -> Trained:
    """Train `network` in place; it is left on the device, in eval mode, with the weights of its best epoch.

    Args:
        n_rows: how many windows there are to draw from.
        losses: int64 rows (B,), on the device -> scalars by name; "loss" is minimised, a mean over the rows.
        judge: "score" (higher is better) and whatever else is told of the network, after every epoch, in eval mode and
            without gradients; float32.
        log: told every epoch; on a resumed training the epochs behind it first, so that a log is always whole.
        checkpoint: folder for the checkpoint, from which the same training goes on where there is one; the file stays.
        fingerprint: of data and network: whatever changes the result and is not in `settings` or `seed`.
        slow: beginnings of names of parameters that learn at `pretrained_rate_share` of the rate.
    Raises:
        DataError: no rows, a loss or score that is no number, a checkpoint that cannot be read or written.
    """
    if n_rows < 1:
        raise DataError(
            "training: no window to train on; widen the fit window, or shorten the windows or their stride."
        )
    place = join(settings.device)
    network.to(place.device)
    mark = _mark(network, n_rows, settings, seed, fingerprint, slow)
    file = None if checkpoint is None else checkpoint_path(checkpoint, mark)
    with torch_threads(settings.threads), _own_randomness(place.device), _compiled(network, settings.compile):
        stepper = _stepper(network, losses, settings, place, slow)
        now = _start(network, stepper, file, mark)
        tell = _teller(log, place)
        for row in now.curve:
            tell(row)
        while now.epoch < settings.epochs and not _is_patient_no_more(now, settings):
            started = time.perf_counter()
            row, drawn = _train_epoch(stepper, network, n_rows, settings, seed, now.epoch + 1)
            speed = {"samples_per_s": drawn / (time.perf_counter() - started)}
            row |= _judged(network, judge, place, now.epoch + 1)
            now = _after(now, row, network, stepper, settings.min_delta)
            if file is not None and place.speaks:
                write_checkpoint(file, now, mark)
            tell(row | speed)
    network.load_state_dict(now.best)
    network.eval().zero_grad(set_to_none=True)
    best, last = ({name: state[name] for name in network.state_dict()} for state in (now.best, now.model))
    return Trained(best, last, curve_table(now.curve), now.best_epoch)


def draw_rows(n_rows: int, wanted: int | None, seed: int, epoch: int) -> Tensor:
    """The rows of an epoch, in order: `wanted` of them (or all), none twice, by (seed, epoch) alone."""
    random = np.random.default_rng((seed, epoch))
    return torch.from_numpy(random.permutation(n_rows)[:wanted])


def _stepper(
    network: nn.Module, losses: Losses, settings: TrainingSettings, place: Place, slow: Sequence[str]
) -> Stepper:
    optimiser = make_optimiser(
        network, settings.learning_rate, settings.weight_decay, slow, settings.pretrained_rate_share
    )
    dtype = get_dtype(place.device) if settings.precision == "auto" else DTYPES[settings.precision]
    clip_norm = math.inf if settings.clip_norm is None else settings.clip_norm
    return Stepper(network, losses, optimiser, place, dtype, clip_norm, settings.accumulation)


def _train_epoch(
    stepper: Stepper, network: nn.Module, n_rows: int, settings: TrainingSettings, seed: int, epoch: int
) -> tuple[dict[str, float], int]:
    """Means of the losses over the rows drawn, with the last learning rate; how many rows were drawn."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch, 1 + stepper.place.rank)).generate_state(1)[0]))
    network.train()
    rows = draw_rows(n_rows, settings.windows_per_epoch, seed, epoch).to(stepper.place.device)
    batches = rows.tensor_split(math.ceil(len(rows) / settings.batch_size))
    n_steps, sums, rate = len(batches) * settings.epochs, np.zeros(1), 0.0
    for n, batch in enumerate(batches):
        step = (epoch - 1) * len(batches) + n
        share = rate_share(step, n_steps, settings.schedule, settings.warmup_share, settings.final_rate_share)
        rate = settings.learning_rate * share
        values = stepper.step(batch, rate, f"epoch {epoch}, step {n + 1} of {len(batches)}")
        sums = sums + len(batch) * np.array(values)
    means = {f"train_{name}": float(value) for name, value in zip(stepper.names, sums / len(rows), strict=True)}
    return {"epoch": epoch, **means, "learning_rate": rate}, len(rows)


def _judged(network: nn.Module, judge: Callable[[], Mapping[str, float]], place: Place, epoch: int) -> dict[str, float]:
    network.eval()
    with torch.no_grad():
        said = told_by_first(judge() if place.speaks else {}, place)
    if not math.isfinite(said["score"]):
        raise DataError(
            f"training: epoch {epoch}: the judge's score is {said['score']}, wanted a number; the validation slice has "
            "too few rows, or the network says the same of all of them: widen the slice or lower learning_rate."
        )
    return {f"validation_{name}": float(value) for name, value in said.items()}


def _after(
    now: Checkpoint, row: dict[str, float], network: nn.Module, stepper: Stepper, min_delta: float
) -> Checkpoint:
    """Where a training stands after an epoch that gave `row`."""
    model, epoch, score = state_of(network), now.epoch + 1, row["validation_score"]
    new = replace(
        now, model=model, moments=moments_of(stepper.optimiser), scaler=stepper.scaler.state_dict(), epoch=epoch,
        curve=[*now.curve, row], waited=now.waited + 1,
    )  # fmt: skip
    is_better = score > now.best_score + min_delta
    return replace(new, best=model, best_epoch=epoch, best_score=score, waited=0) if is_better else new


def _is_patient_no_more(now: Checkpoint, settings: TrainingSettings) -> bool:
    return settings.patience is not None and now.waited >= settings.patience


def _start(network: nn.Module, stepper: Stepper, file: Path | None, mark: str) -> Checkpoint:
    """Where the training goes on from: its checkpoint, or the beginning."""
    now = (None if file is None else read_checkpoint(file, mark)) or fresh(network)
    first = told_by_first({"epoch": now.epoch}, stepper.place)["epoch"]
    if now.epoch != first:
        raise DataError(
            f"training: process {stepper.place.rank} finds a checkpoint of epoch {now.epoch} at {file}, the first "
            f"process one of epoch {first}; give all of them the same folder."
        )
    restore(now, network, stepper.optimiser, stepper.scaler)
    return now


def _teller(log: Log, place: Place) -> Callable[[Mapping[str, float]], None]:
    """Tells the log a row of the curve, if this process speaks for all."""

    def tell(row: Mapping[str, float]) -> None:
        if place.speaks:
            log(int(row["epoch"]), {name: value for name, value in row.items() if name != "epoch"})

    return tell


def _mark(
    network: nn.Module, n_rows: int, settings: TrainingSettings, seed: int, fingerprint: str, slow: Sequence[str]
) -> str:
    """SHA-256 of what a training depends on, as far as the loop sees it, and of what its caller says of the rest."""
    shapes = {name: (str(value.dtype), tuple(value.shape)) for name, value in network.state_dict().items()}
    plain = [fingerprint, n_rows, plain_settings(settings), seed, list(slow), shapes]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


@contextmanager
def _compiled(network: nn.Module, is_wanted: bool) -> Iterator[None]:
    """Compile the network in place, which leaves the names of its state alone, and take it back afterwards."""
    if not is_wanted:
        yield
        return
    network.compile()
    try:
        yield
    finally:
        network._compiled_call_impl = None


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Seeds of torch that are set within leave no trace outside (on MPS they do: torch cannot fork its state)."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        yield
