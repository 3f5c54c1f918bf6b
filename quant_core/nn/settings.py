"""How a network is trained, as settings. torch is not imported here: settings are known before anything is computed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from quant_core.errors import DataError
from quant_core.runtime import DEVICES

Schedule = Literal["cosine", "linear", "constant"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
#: Settings that count something: 1 or more, or None where that means no limit.
COUNTS = ("epochs", "windows_per_epoch", "stride", "batch_size", "patience", "accumulation", "threads", "processes")


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Args:
        windows_per_epoch: rows drawn for an epoch, without replacement; None takes all of them.
        stride: of a name's sessions every n-th one may end a training window; for who lists the rows.
        batch_size: rows of a step, over all processes; an epoch's steps are of equal size, this at most.
        weight_decay: of matrices only.
        schedule: of the learning rate after its linear rise over `warmup_share` of all steps, down to
            `final_rate_share` of it.
        clip_norm: largest norm of all gradients together; None clips nothing.
        patience: epochs without a score better by more than `min_delta` after which training ends; None never.
        accumulation: pieces in which a step's rows are computed, to save memory; the result is the same up to rounding.
        precision: of matrix products; "auto" is bfloat16 or float16 on CUDA, float32 elsewhere.
        compile: by torch.compile; takes a minute, pays on a GPU.
        device: "auto", "cuda", "mps" or "cpu".
        threads: of the CPU; None leaves torch's number. Sums are cut by thread: another number, other last bits.
        pretrained_rate_share: share of the learning rate for parameters that were trained before.
        processes: of this machine that train one network together, each on its own card, or on `threads` of the CPU;
            the result is that of another number up to rounding. 1 starts none.
    """

    epochs: int = 20
    windows_per_epoch: int | None = 20_000
    stride: int = 1
    batch_size: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    schedule: Schedule = "cosine"
    warmup_share: float = 0.1
    final_rate_share: float = 0.05
    clip_norm: float | None = 1.0
    patience: int | None = 5
    min_delta: float = 0.0
    accumulation: int = 1
    precision: Precision = "auto"
    compile: bool = False
    device: str = "auto"
    threads: int | None = None
    pretrained_rate_share: float = 0.1
    processes: int = 1

    def __post_init__(self) -> None:
        for name in COUNTS:
            self._check(name, lambda value: value is None or value >= 1, "at least 1")
        for name in ("warmup_share", "final_rate_share", "pretrained_rate_share"):
            self._check(name, lambda value: 0.0 <= value <= 1.0, "a share from 0 to 1")
        for name in ("learning_rate", "clip_norm"):
            self._check(name, lambda value: value is None or 0.0 < value < math.inf, "a positive number")
        for name in ("weight_decay", "min_delta"):
            self._check(name, lambda value: 0.0 <= value < math.inf, "0 or more")
        for name, choices in (
            ("schedule", get_args(Schedule)),
            ("precision", get_args(Precision)),
            ("device", DEVICES),
        ):
            self._check(name, choices.__contains__, f"one of {', '.join(choices)}")

    def _check(self, name: str, holds: Callable[..., bool], wanted: str) -> None:
        value = getattr(self, name)
        if not holds(value):
            raise DataError(f"training: {name} is {value!r}, wanted {wanted}; correct the setting.")
