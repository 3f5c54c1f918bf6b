"""What a killed training goes on from: one safetensors file, replaced after every epoch. Never pickle.

The file holds everything that the next epoch depends on, so a resumed training is the uninterrupted one. Random numbers
are not among it: an epoch draws them from (seed, epoch).
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from quant_core.errors import DataError
from quant_core.fitted import replace_file

FORMAT = 1
GROUPS = ("model", "best", "moments")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training after `epoch` epochs.

    Args:
        model, best: state of the network now, and after the best epoch, on the CPU.
        moments: of the optimiser, "{position of the parameter}.{name}".
        curve: a row an epoch.
        best_epoch: 0 before the first one.
        waited: epochs since the best one.
        scaler: state of the gradient scaler; empty where there is none.
    """

    model: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    curve: list[dict[str, float]]
    epoch: int
    best_epoch: int
    best_score: float
    waited: int
    scaler: Mapping[str, Any]


def fresh(network: nn.Module) -> Checkpoint:
    """Before the first epoch."""
    state = state_of(network)
    return Checkpoint(state, state, {}, [], epoch=0, best_epoch=0, best_score=-math.inf, waited=0, scaler={})


def restore(
    now: Checkpoint, network: nn.Module, optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> None:
    """Put network, optimiser and scaler where they were after the checkpoint's epoch."""
    network.load_state_dict(now.model)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in now.moments.items():
        position, _, name = key.partition(".")
        state.setdefault(int(position), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    if now.scaler:
        scaler.load_state_dict(dict(now.scaler))


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's state, on the CPU."""
    return {name: _copy(value) for name, value in network.state_dict().items()}


def moments_of(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """A copy of what the optimiser remembers, on the CPU, as `Checkpoint.moments` has it."""
    kept = optimiser.state_dict()["state"]
    return {f"{n}.{name}": _copy(value) for n, values in kept.items() for name, value in values.items()}


def checkpoint_path(folder: Path, fingerprint: str) -> Path:
    """The file of one training, by the first 16 hex digits of its fingerprint: others never meet it."""
    return folder / f"training-{fingerprint[:16]}.safetensors"


def write_checkpoint(path: Path, checkpoint: Checkpoint, fingerprint: str) -> None:
    """Replace the file whole or leave it as it is.

    Raises:
        DataError: the disk is full or the folder cannot be written; the former checkpoint is still there.
    """
    content = _to_bytes(checkpoint, fingerprint)
    try:
        replace_file(path, content)
    except OSError as error:
        raise DataError(
            f"{path}: the checkpoint of epoch {checkpoint.epoch} ({len(content)} bytes) cannot be written ({error}); "
            "free disk space or correct the folder, then start again: training goes on after the last epoch written."
        ) from error


def read_checkpoint(path: Path, fingerprint: str) -> Checkpoint | None:
    """What `write_checkpoint` left; None where there is no file.

    Raises:
        DataError: the file is damaged, of another format version, or of another training.
    """
    if not path.exists():
        return None
    try:
        facts, tensors = _read(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it, and training begins at the first epoch.") from error
    for what, found, wanted in (
        ("format version", facts.pop("format", None), FORMAT),
        ("fingerprint", facts.pop("fingerprint", None), fingerprint),
    ):
        if found != wanted:
            raise DataError(
                f"{path}: {what} is {found!r}, wanted {wanted!r}; delete it, and training begins at the first epoch."
            )
    return _from_parts(path, facts, tensors)


def _to_bytes(checkpoint: Checkpoint, fingerprint: str) -> bytes:
    groups = [group for group in GROUPS if group != "best" or checkpoint.best_epoch != checkpoint.epoch]
    tensors = {
        f"{group}.{name}": value.contiguous() for group in groups for name, value in getattr(checkpoint, group).items()
    }
    facts = {name: value for name, value in vars(checkpoint).items() if name not in GROUPS}
    facts |= {"format": FORMAT, "fingerprint": fingerprint, "digest": _digest(tensors)}
    return save(tensors, {"facts": json.dumps(facts)})


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        facts = json.loads((file.metadata() or {})["facts"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if facts.pop("digest") != _digest(tensors):
        raise ValueError("its content is not what was written")
    return facts, tensors


def _from_parts(path: Path, facts: dict[str, Any], tensors: Mapping[str, Tensor]) -> Checkpoint:
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    for key, value in tensors.items():
        group, _, name = key.partition(".")
        groups[group][name] = value
    if facts.get("best_epoch") == facts.get("epoch"):
        groups["best"] = groups["model"]  # written once
    try:
        return Checkpoint(**{**facts, **groups})
    except TypeError as error:
        raise DataError(f"{path}: damaged ({error}); delete it, and training begins at the first epoch.") from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)
