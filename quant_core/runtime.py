"""Device, threads and numeric precision of a computation; torch is imported only by functions that need it."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant_core.errors import DataError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cuda", "mps", "cpu")
AMPERE_MAJOR = 8  # first CUDA compute capability with bfloat16 units


@dataclass(frozen=True)
class Resources:
    """What a fit needs of a machine.

    Args:
        gpu: it runs on one where there is one, and waits for it; it runs on a CPU elsewhere.
        gpu_required: it is not offered where there is none.
        cpu_cores, memory_gib: requested of a cluster.
    """

    gpu: bool = False
    gpu_required: bool = False
    cpu_cores: int = 1
    memory_gib: int = 2


def has_gpu() -> bool:
    """Whether an NVIDIA device is visible; asks the system, not torch, whose import takes seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    return not hidden and Path("/dev/nvidia0").exists()


def get_device(wanted: str = "auto") -> "torch.device":
    """The device to compute on: CUDA, else Apple's MPS, else the CPU.

    Raises:
        DataError: an unknown name, or one that this machine lacks (never a silent fall-back to something slower).
    """
    import torch

    if wanted not in DEVICES:
        raise DataError(f"device is {wanted!r}, wanted one of {', '.join(DEVICES)}; correct the setting.")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, found in present.items() if found))
    if not present[wanted]:
        raise DataError(f"device {wanted!r} is not present on this machine; use 'auto' or 'cpu'.")
    return torch.device(wanted)


def get_dtype(device: "torch.device") -> "torch.dtype":
    """Precision for mixed-precision kernels: bfloat16 on Ampere and later, float16 on older CUDA, else float32."""
    import torch

    if device.type != "cuda":
        return torch.float32
    major, _ = torch.cuda.get_device_capability(device)
    return torch.bfloat16 if major >= AMPERE_MAJOR else torch.float16


def worker_threads(most: int) -> int:
    """Threads for compiled code that lets go of the interpreter's lock: the cores this process may use, `most` at most.

    What such code computes must not depend on the number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(cores, most), 1)


@contextmanager
def torch_threads(wanted: int | None) -> Iterator[None]:
    """torch on that many threads of the CPU within, on as many as before afterwards; None changes nothing.

    Sums are cut by thread, so what must be the same to the last bit names a number.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_info(device: "torch.device") -> dict[str, Any]:
    """What a run should record about the hardware it ran on; memory in GiB."""
    import torch

    info: dict[str, Any] = {
        "device": device.type,
        "name": platform.processor() or platform.machine(),
        "dtype": str(get_dtype(device)).removeprefix("torch."),
        "torch": torch.__version__,
        "cpu_count": os.cpu_count(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        info |= {
            "name": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
        }
    return info
