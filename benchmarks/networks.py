"""How fast our networks train beside torch's Transformer and pytorch-forecasting's TFT: same task, same run.

    QUANT_FORECASTING_PYTHON=PATH python benchmarks/networks.py [--steps 120]

`PATH` is the interpreter of an environment made from benchmarks/peers/requirements-forecasting.txt; without it the TFT
has no peer and the script says so. Every network takes the same batches in the same order, as often, at the same
learning rate; what each has learnt then is judged on the same unseen rows, for a faster network that learns less has
saved nothing. Samples a second are of the CPU time of the median training step in one thread, which other work on the
machine stretches least.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from quant_core.nn.encoder import Encoder
from quant_core.nn.positions import sinusoidal
from quant_core.nn.shapes import EncoderConfig, TFTConfig
from quant_core.nn.tft import TemporalFusion

SEED, BATCH, JUDGED, RATE = 7, 64, 1_024, 1e-3
LENGTH, AHEAD, INPUTS, KNOWN, LEVELS = 63, 5, 40, 4, (12, 5)
WIDTH, DROPOUT = 128, 0.1
#: Channels of a variable: ours by default, and pytorch-forecasting's default.
PEER_CHANNELS = 8
PEER = Path(__file__).parent / "peers" / "forecasting_peer.py"
VARIABLE = "QUANT_FORECASTING_PYTHON"
Inputs = tuple[Tensor, ...]


class Task(NamedTuple):
    """Rows to learn from, in the order of the steps, and rows to judge by: inputs, and a target (N,) of variance 1."""

    fit: tuple[Inputs, Tensor]
    judge: tuple[Inputs, Tensor]


class Result(NamedTuple):
    """Samples a second of CPU time, and the mean squared error of unseen rows after all steps."""

    rate: float
    loss: float


class Theirs(nn.Module):
    """torch's encoder with what ours has around it: projection, positions, and the newest token read."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.d_model
        layer = nn.TransformerEncoderLayer(
            width, config.heads, config.feed_forward, config.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.project, self.dropout = nn.Linear(INPUTS, width), nn.Dropout(config.dropout)
        self.register_buffer("places", sinusoidal(LENGTH, width))
        self.body = nn.TransformerEncoder(layer, config.layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.dropout(self.project(x) + self.places))[:, -1]


class Scored(nn.Module):
    """A network's state as one number."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.head = network, nn.Linear(WIDTH, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.head(self.network(*inputs)).squeeze(-1)


def transformer_task(steps: int) -> Task:
    """An input's newest value, the sign of another's newest times a third's, a mean over ten sessions."""

    def rows(n: int, generator: torch.Generator) -> tuple[Inputs, Tensor]:
        x = torch.randn(n, LENGTH, INPUTS, generator=generator)
        mean = x[:, -10:, 3].mean(dim=1) * 10**0.5
        return (x,), 0.7 * x[:, -1, 0] + 0.5 * x[:, -1, 1].sign() * x[:, -1, 2] + 0.5 * mean

    generator = torch.Generator().manual_seed(SEED)
    return Task(rows(steps * BATCH, generator), rows(JUDGED, generator))


def tft_task(steps: int) -> Task:
    """A past input of two sessions ago, one's mean over twenty, a known input of the last session ahead, a sector."""

    def rows(n: int, generator: torch.Generator) -> tuple[Inputs, Tensor]:
        past = torch.randn(n, LENGTH, INPUTS - KNOWN, generator=generator)
        known = torch.randn(n, LENGTH + AHEAD, KNOWN, generator=generator)
        category = torch.stack([torch.randint(levels, (n,), generator=generator) for levels in LEVELS], dim=1)
        mean = past[:, -20:, 3].mean(dim=1) * 20**0.5
        sector = (category[:, 0] % 2).float() * 2.0 - 1.0
        return (past, known, category), 0.6 * past[:, -2, 0] + 0.6 * mean + 0.4 * known[:, -1, 1] + 0.3 * sector

    generator = torch.Generator().manual_seed(SEED)
    return Task(rows(steps * BATCH, generator), rows(JUDGED, generator))


def one_hot(inputs: Inputs) -> Inputs:
    """Categories as the columns of ours."""
    past, known, category = inputs
    columns = [nn.functional.one_hot(category[:, k], levels).float() for k, levels in enumerate(LEVELS)]
    return past, known, torch.cat(columns, dim=1)


def train(makers: dict[str, Callable[[], nn.Module]], task: Task) -> dict[str, Result]:
    """Every network on every batch, in turns, so that the load of the machine is the same for all."""
    networks = {}
    for name, make in makers.items():
        torch.manual_seed(SEED)
        networks[name] = Scored(make())
    optimizers = {name: torch.optim.AdamW(each.parameters(), lr=RATE) for name, each in networks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    inputs, target = task.fit
    for rows in torch.arange(len(target)).split(BATCH):
        given = tuple(each[rows] for each in inputs)
        for name, network in networks.items():
            seconds[name].append(step(network, optimizers[name], given, target[rows]))
    return {
        name: Result(BATCH / statistics.median(seconds[name]), judged(network, task.judge))
        for name, network in networks.items()
    }


def step(network: nn.Module, optimizer: torch.optim.Optimizer, given: Inputs, target: Tensor) -> float:
    """CPU seconds of one."""
    started = time.process_time()
    (network(*given) - target).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.process_time() - started


@torch.no_grad()
def judged(network: nn.Module, rows: tuple[Inputs, Tensor]) -> float:
    network.eval()
    return (network(*rows[0]) - rows[1]).square().mean().item()


def peer(interpreter: str, task: Task) -> Result:
    """pytorch-forecasting's TFT on the same batches, in its own environment."""
    arrays = {
        f"{name}_{key}": value.numpy()
        for name, (inputs, target) in (("fit", task.fit), ("judge", task.judge))
        for key, value in zip(("past", "known", "category", "target"), (*inputs, target), strict=True)
    }
    settings = {
        "threads": 1, "seed": SEED, "batch": BATCH, "rate": RATE, "width": WIDTH, "channels": PEER_CHANNELS,
        "heads": TFTConfig().heads, "dropout": DROPOUT, "levels": LEVELS,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "task.npz"
        np.savez(stored, **arrays, **settings)
        command = [interpreter, str(PEER), "time", str(stored)]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return Result(BATCH / answer["seconds"], answer["loss"])


def transformers(steps: int) -> None:
    task = transformer_task(steps)
    for dropout in (DROPOUT, 0.0):
        config = EncoderConfig(d_model=WIDTH, dropout=dropout, pooling="last")
        makers = {"ours": lambda c=config: Encoder(INPUTS, c), "nn.TransformerEncoder": lambda c=config: Theirs(c)}
        show(f"transformer, dropout {dropout}", train(makers, task))


def fusions(steps: int) -> None:
    task = tft_task(steps)
    ours = Task(*((one_hot(inputs), target) for inputs, target in task))
    makers = {"ours": lambda: tft(TFTConfig().selection_width)}
    results = train(makers, ours)
    short = Task((tuple(each[: 8 * BATCH] for each in ours.fit[0]), ours.fit[1][: 8 * BATCH]), ours.judge)
    results["ours, published width"] = Result(train({"": lambda: tft(WIDTH)}, short)[""].rate, float("nan"))
    interpreter = os.environ.get(VARIABLE)
    if interpreter:
        results["pytorch-forecasting"] = peer(interpreter, task)
    else:
        print(f"{VARIABLE} names no interpreter: pytorch-forecasting is left out")
    show("TFT", results)


def tft(selection_width: int) -> nn.Module:
    config = TFTConfig(d_model=WIDTH, dropout=DROPOUT, selection_width=selection_width)
    return TemporalFusion(INPUTS - KNOWN, KNOWN, LEVELS, config)


def show(case: str, results: dict[str, Result]) -> None:
    ours = results["ours"].rate
    for name, (rate, loss) in results.items():
        print(f"{case:<26} {name:<24} {rate:>8.0f} {ours / rate:>8.2f} {loss:>10.4f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=120, help="training steps of each network")
    steps = parser.parse_args(arguments).steps
    torch.set_num_threads(1)
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"load average {load} on {os.cpu_count()} cores; torch {torch.__version__}; {steps} steps of {BATCH}")
    print(f"{'case':<26} {'network':<24} {'rows/s':>8} {'ours x':>8} {'valid MSE':>10}")
    transformers(steps)
    fusions(steps)
    print(f"load average at the end {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
