"""Which process this is among those that train one network together, and how they speak: torchrun's environment, or a
process group that already stands. Alone, nothing here does anything.

    torchrun --standalone --nproc-per-node=2 script.py

Each process runs the whole script with equal data and seeds; `train` does the rest.
"""

import atexit
import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from quant_core.errors import DataError
from quant_core.runtime import get_device


@dataclass(frozen=True)
class Place:
    """A process and its device; `rank` 0 writes and speaks for all."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def speaks(self) -> bool:
        return self.rank == 0


def join(device: str = "auto") -> Place:
    """This process's place; a group is formed where torchrun started several processes and none stands yet.

    Returns:
        on CUDA the card is the one of LOCAL_RANK.
    Raises:
        DataError: `device` is not present.
    """
    found = get_device(device)
    if not _is_shared():
        return Place(found)
    if found.type == "cuda":
        found = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(found)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if found.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)  # a group cannot be formed twice, so it stays to the end
    return Place(found, distributed.get_rank(), distributed.get_world_size())


def shard(rows: Tensor, place: Place, parts: int) -> list[Tensor]:
    """This process's pieces of a step's rows, which are cut into `parts` for each process, sizes one apart at most.

    Raises:
        DataError: fewer rows than processes.
    """
    if len(rows) < place.world:
        raise DataError(
            f"training: a step has {len(rows)} rows for {place.world} processes; start fewer, or raise batch_size."
        )
    parts = min(parts, len(rows) // place.world)
    return list(rows.tensor_split(parts * place.world)[place.rank * parts : (place.rank + 1) * parts])


def add_up(values: Tensor, place: Place) -> Tensor:
    """Sum over the processes, in place."""
    if place.world > 1:
        distributed.all_reduce(values)
    return values


def told_by_first(values: Mapping[str, float], place: Place) -> Mapping[str, float]:
    """What the first process holds, so that all decide alike."""
    if place.world == 1:
        return values
    held = [dict(values)]
    distributed.broadcast_object_list(held, src=0, device=place.device if place.device.type == "cuda" else None)
    return held[0]


def _is_shared() -> bool:
    if not distributed.is_available():
        return False
    return distributed.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) > 1
