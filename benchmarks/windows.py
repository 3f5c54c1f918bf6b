"""Training windows by contiguous gather against a Dataset and DataLoader, and the training loop against one by hand.

    python benchmarks/windows.py --names 200 --sessions 2000 --inputs 40 --length 63

All contenders shuffle the same rows of one tensor in memory and give float32 windows (batch, length, inputs) with their
targets; what they gave is compared before the clock starts. Two peers, in a DataLoader without workers: the Dataset
that one meets most makes a tensor of a numpy slice a call, the leanest slices a tensor (with two workers, too: they pay
for processes and copies as well). `gather` allocates every batch anew, as the DataLoader does; `gather, memory kept`
writes into the memory of one batch. `copy` is the limit: as many bytes, copied in their order.

The loop is timed on a network so small that little else is left: `train` (draws, schedule, clipping, checks for bad
numbers, means of the losses, a copy of the weights an epoch) against the few lines that one writes by hand, and against
those with clipping and a look at the loss. The last weights are compared.

Ratios are of wall and of CPU time, workers included; on a machine with other work the latter says more.
"""

import argparse
import math
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from quant_core.nn.optimisers import make_optimiser, rate_share, set_rate
from quant_core.nn.training import TrainingSettings, draw_rows, train
from quant_core.nn.windows import Windows

T = TypeVar("T")
REPEATS = 3
EPOCHS, LOOP_ROWS, LOOP_BATCH = 5, 40_000, 512


class Slices(Dataset[tuple[Tensor, Tensor]]):
    """The leanest Dataset: a slice of a tensor and its target a call."""

    def __init__(self, values: Tensor, target: Tensor, name: Tensor, day: Tensor, length: int) -> None:
        self.values, self.target, self.length = values, target, length
        self.name, self.day = name.tolist(), day.tolist()

    def __len__(self) -> int:
        return len(self.name)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        end = self.day[row] + 1
        return self.values[self.name[row], end - self.length : end], self.target[row]


class Made(Slices):
    """The usual Dataset: a tensor made of a numpy slice a call."""

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        end = self.day[row] + 1
        piece = self.values.numpy()[self.name[row], end - self.length : end]
        return torch.tensor(piece, dtype=torch.float32), self.target[row]


def clocks() -> np.ndarray:
    """Seconds of wall and of CPU, workers that have ended included."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([time.perf_counter(), sum(each.ru_utime + each.ru_stime for each in used)])


def fastest(contender: Callable[[], T], n_rows: int) -> tuple[np.ndarray, T]:
    """Rows a second of wall and of CPU, each the best of several runs, and what the last run gave."""
    contender()
    rates = []
    for _ in range(REPEATS):
        started = clocks()
        given = contender()
        rates.append(n_rows / (clocks() - started))
    return np.max(rates, axis=0), given


def show(found: Mapping[str, np.ndarray], peer: str, unit: str) -> None:
    print(f"{unit + ' a second of':28s} {'wall':>12s} {'':8s} {'CPU':>12s}")
    for label, rates in found.items():
        wall, cpu = rates / found[peer]
        print(f"{label:28s} {rates[0]:12,.0f} {wall:7.2f}x {rates[1]:12,.0f} {cpu:7.2f}x")


def totals(batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Sums over all windows and over all targets."""
    sums = [(float(x.sum(dtype=torch.float64)), float(y.sum(dtype=torch.float64))) for x, y in batches]
    return sum(x for x, _ in sums), sum(y for _, y in sums)


def compare_windows(asked: argparse.Namespace) -> None:
    """Windows a second of each contender, and how many times the lean DataLoader's."""
    random = torch.Generator().manual_seed(0)
    values = torch.randn(asked.names, asked.sessions, asked.inputs, generator=random)
    target = torch.randn(asked.rows, generator=random)
    name = torch.randint(0, asked.names, (asked.rows,), generator=random)
    day = torch.randint(asked.length - 1, asked.sessions, (asked.rows,), generator=random)
    memory = torch.empty(asked.batch, asked.length, asked.inputs)
    windows, known = Windows(values, asked.length), (values, target, name, day, asked.length)

    def gathered(memory: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in draw_rows(asked.rows, None, 0, 1).split(asked.batch):
            yield windows.at(name[rows], day[rows], None if memory is None else memory[: len(rows)]), target[rows]

    def copied(flat: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for piece in flat.split(asked.batch):
            yield memory[: len(piece)].copy_(piece), target

    lean, usual = Slices(*known), Made(*known)
    contenders: dict[str, Callable[[], Iterable[tuple[Tensor, Tensor]]]] = {
        "DataLoader, usual": lambda: DataLoader(usual, asked.batch, shuffle=True),
        "DataLoader, lean": lambda: DataLoader(lean, asked.batch, shuffle=True),
        "DataLoader, lean, 2 workers": lambda: DataLoader(lean, asked.batch, shuffle=True, num_workers=2),
        "gather": lambda: gathered(None),
        "gather, memory kept": lambda: gathered(memory),
    }
    sums = [totals(contender()) for contender in contenders.values()]
    np.testing.assert_allclose(sums, [sums[0]] * len(sums), rtol=1e-9)
    flat = torch.randn(asked.rows, asked.length, asked.inputs, generator=random)
    contenders["copy"] = lambda: copied(flat)
    found = {
        label: fastest(lambda c=contender: deque(c(), 0), asked.rows)[0] for label, contender in contenders.items()
    }
    show(found, "DataLoader, lean", "windows")


def make_problem() -> tuple[nn.Module, Callable[[Tensor], dict[str, Tensor]]]:
    """Sixteen inputs, one hidden layer of 32."""
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(LOOP_ROWS, 16, generator=random), torch.randn(LOOP_ROWS, generator=random)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 1))
    return network, lambda rows: {"loss": (network(x[rows])[:, 0] - y[rows]).square().mean()}


def bare(is_safe: bool) -> Tensor:
    """The loop by hand: the weights of the first layer after it."""
    network, losses = make_problem()
    optimiser = make_optimiser(network, 1e-3, 0.01)
    steps = math.ceil(LOOP_ROWS / LOOP_BATCH)
    for epoch in range(EPOCHS):
        for n, rows in enumerate(draw_rows(LOOP_ROWS, None, 0, epoch + 1).tensor_split(steps)):
            set_rate(optimiser, 1e-3 * rate_share(epoch * steps + n, steps * EPOCHS, "cosine", 0.1, 0.05))
            optimiser.zero_grad()
            loss = losses(rows)["loss"]
            loss.backward()
            if is_safe:
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                assert np.isfinite(loss.item())
            optimiser.step()
    return network.state_dict()["0.weight"]


def ours() -> Tensor:
    """The same by `train`."""
    network, losses = make_problem()
    settings = TrainingSettings(epochs=EPOCHS, windows_per_epoch=None, batch_size=LOOP_BATCH, device="cpu")
    return train(network, LOOP_ROWS, losses, lambda: {"score": 0.0}, settings, 0, lambda *_: None).last["0.weight"]


def compare_loops() -> None:
    """Samples a second of the loop and of two by hand."""
    loops: dict[str, Callable[[], Tensor]] = {
        "bare": lambda: bare(False),
        "bare, clips and looks": lambda: bare(True),
        "train": ours,
    }
    found, weights = {}, {}
    for label, loop in loops.items():
        found[label], weights[label] = fastest(loop, EPOCHS * LOOP_ROWS)
    torch.testing.assert_close(weights["train"], weights["bare, clips and looks"], atol=1e-5, rtol=1e-4)
    show(found, "bare", "samples")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("names", 200), ("sessions", 2000), ("inputs", 40), ("length", 63), ("batch", 512)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {asked.threads} thread(s)")
    compare_windows(asked)
    compare_loops()
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
