"""A network of 250 weights with dropout, its losses and its judge: what the tests of the training loop train."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from quant_core.fitted import Log
from quant_core.nn.training import Trained, TrainingSettings, train

N_ROWS = 200


def quiet(epoch: int, values: Mapping[str, float]) -> None:
    """A log that keeps nothing."""


class Problem:
    """y = x0 x1 + x2; the first rows are trained on, all are judged."""

    def __init__(self, dropout: float = 0.2) -> None:
        drawn = torch.Generator().manual_seed(3)
        self.x = torch.randn(N_ROWS, 6, generator=drawn)
        self.y = self.x[:, 0] * self.x[:, 1] + self.x[:, 2]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.network = nn.Sequential(
                nn.Linear(6, 24), nn.LayerNorm(24), nn.GELU(), nn.Dropout(dropout), nn.Linear(24, 1)
            )

    def losses(self, rows: Tensor) -> dict[str, Tensor]:
        error = self.network(self.x[rows])[:, 0] - self.y[rows]
        return {"square": error.square().mean(), "loss": error.square().mean(), "absolute": error.abs().mean()}

    def judge(self) -> dict[str, float]:
        return {"score": -float((self.network(self.x)[:, 0] - self.y).square().mean())}

    def train(self, settings: TrainingSettings, log: Log = quiet, folder: Path | None = None, seed: int = 1) -> Trained:
        return train(self.network, N_ROWS, self.losses, self.judge, settings, seed, log, folder, "small")


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Equal names, order and bits."""
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)
