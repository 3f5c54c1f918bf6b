"""What the seeds of a fold have in common: its rows, split by date and purged, their sequences and targets."""

import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from quant_core.dense import Floats, Integers
from quant_core.errors import DataError
from quant_core.forecasting.model import TrainingData
from quant_core.forecasting.net.settings import NetConfig
from quant_core.forecasting.sequences import (
    Scaling,
    Sequences,
    fit_scaling,
    input_columns,
    read_rows,
    sectors_in,
    sequences,
)
from quant_core.forecasting.validation import validation_slice
from quant_core.schema import QUANTILE_LEVELS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from quant_core.nn.heads import Said
    from quant_core.nn.losses import Targets

#: A rank label has variance 1/12; the score is learned in units of its standard deviation.
LABEL_SCALE = {"rank": math.sqrt(12.0), "zscore": 1.0}
#: Standardized returns and variance ratios are cut here.
MOST_RETURN, MOST_VARIANCE = 8.0, 25.0


@dataclass(frozen=True, eq=False)
class Task:
    """What the seeds of a fold have in common.

    Args:
        rows: labels of the model's own horizon with the inputs; what the manifest says of the fit.
        data: their sequences, in the order of `rows`.
        targets: (R, H) each.
        older, newer: row numbers that train, and that stop.
    """

    kind: str
    rows: pl.DataFrame
    columns: tuple[str, ...]
    data: Sequences
    targets: "Targets"
    scaling: Scaling
    n_sectors: int
    older: "Tensor"
    newer: "Tensor"
    first_validation: date

    def losses(self, network: "nn.Module", config: NetConfig, rows: "Tensor") -> dict[str, "Tensor"]:
        """Losses of the rows of those numbers."""
        return self.losses_of(network(*self.data.batch(rows)), config, rows)

    def losses_of(self, said: "Said", config: NetConfig, rows: "Tensor") -> dict[str, "Tensor"]:
        """Losses of what a network said of the rows of those numbers."""
        from quant_core.nn.losses import LossWeights, Targets, multi_task_loss

        weights = LossWeights(
            config.score_weight, config.distribution_weight, config.direction_weight, config.volatility_weight,
            config.quantile_weight,
        )  # fmt: skip
        target = Targets(*(values[rows] for values in self.targets))
        return multi_task_loss(said, target, weights, QUANTILE_LEVELS)


def task_of(kind: str, data: TrainingData, config: NetConfig) -> Task:
    """Rows, sequences and targets of a fold, split by date and purged, on the device that trains."""
    import torch

    from quant_core.nn.processes import join

    columns = input_columns(data.features.select(data.columns).collect_schema(), config.inputs, kind)
    read = read_rows(data.features, columns, config.inputs)
    labels = data.at(config.horizon_sessions)
    rows = labels.join(read.drop("is_eligible"), on=["date", "ticker"], how="inner").sort("date", "ticker")
    first, older, newer = split(rows, config.validation_share, kind)
    seen = read.filter(pl.col("date").is_between(rows["date"].min(), rows["date"][int(older[-1])]))
    scaling, n_sectors = fit_scaling(seen, columns), sectors_in(seen)
    found = sequences(read, rows, columns, scaling, config.sequence_sessions, config.ahead_sessions, n_sectors)
    kept = rows.select("date", "ticker", "label_end_date", config.label_column, *columns)
    device = join(config.device).device
    targets = _targets(data, rows, found, config)
    training, judging = (torch.from_numpy(part.copy()).to(device) for part in (older[:: config.stride], newer))
    return Task(
        kind, kept, columns, found.to(device), type(targets)(*(values.to(device) for values in targets)), scaling,
        n_sectors, training, judging, first,
    )  # fmt: skip


def split(rows: pl.DataFrame, validation_share: float, kind: str) -> tuple[date, Integers, Integers]:
    """First date of the newest part of the window, the numbers of the rows that may train for it, and of its own.

    Raises:
        DataError: a part is empty.
    """
    if rows.height:
        part = validation_slice(rows, validation_share)
        older, newer = np.flatnonzero(part.older), np.flatnonzero(part.newest)
        if len(older) and len(newer):
            return part.first, older, newer
    raise DataError(
        f"{kind}: of {rows.height} labelled rows with features none is left to train on, or none to stop on; widen the "
        "training window or change validation_share."
    )


def _targets(data: TrainingData, rows: pl.DataFrame, found: Sequences, config: NetConfig) -> "Targets":
    """(R, H) targets, NaN where unknown: another horizon is learned where it has ended by the own one's end."""
    import torch

    from quant_core.nn.losses import Targets

    limit = rows["label_end_date"].max()
    parts: list[list[Floats]] = []
    for horizon in config.horizons:
        own = data.at(horizon).filter(pl.col("label_end_date") <= limit)
        of = rows.select("date", "ticker").join(own, on=["date", "ticker"], how="left", maintain_order="left")
        names = (config.label_column, "forward_return", "direction", "realized_variance")
        label, earned, way, variance = (of[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in names)
        sigma = found.volatility_1d * math.sqrt(horizon)
        returns = np.clip(earned / sigma, -MOST_RETURN, MOST_RETURN)
        ratio = np.clip(variance / sigma**2, None, MOST_VARIANCE)
        parts.append([label * LABEL_SCALE[config.label], returns, way, ratio])
    stacked = (np.stack(column, axis=1).astype(np.float32) for column in zip(*parts, strict=True))
    return Targets(*(torch.from_numpy(values) for values in stacked))
