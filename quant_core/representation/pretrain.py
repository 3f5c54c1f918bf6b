"""Pre-training of the masked encoder, once a fold: on rows before the fold less its embargo, without any label.

Windows that end on the newest dates are not trained on: training stops where the error of their hidden patches is
lowest. Between them and the windows that train lie so many sessions that no session is in both.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from quant_core.dense import Integers
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log, Manifest, code_version, frame_hash, journal_folder, plain_settings
from quant_core.folds import EMBARGO_SESSIONS, Fold, embargo_start
from quant_core.nn.tables import Panel, input_panel
from quant_core.representation.masked_encoder import MaskedEncoderConfig, input_columns, new_network
from quant_core.runtime import Resources

if TYPE_CHECKING:
    from torch import Tensor

    from quant_core.nn.masked import Masked, MaskedEncoder
    from quant_core.nn.windows import Windows

KIND = "masked_encoder"
RESOURCES = Resources(gpu=True, cpu_cores=2, memory_gib=6)
#: Windows that training is stopped on at most, drawn from the newest dates by the seed, and judged at a time.
MOST_JUDGED, JUDGED_AT_ONCE = 8_192, 2_048


def fit_encoder(
    features: pl.LazyFrame,
    fold: Fold,
    config: MaskedEncoderConfig,
    log: Log,
    embargo_sessions: int = EMBARGO_SESSIONS,
) -> Fitted:
    """Fit one fold's encoder.

    Args:
        features: Features of the fold's training years, and of `config.context_sessions` sessions before them; what is
            dated in the embargo or later is not read.
    Returns:
        arrays by parameter (`body.*`, `mask_token`, `reconstruct.*`); `fit_end` is the last date that was read; the
        curve has `validation_reconstruction` beside `validation_copied` (the patch before) and `validation_mean` (each
        channel's mean), mean squared errors of the same hidden values.
    Raises:
        DataError: no channel, no window to train on or to stop on, or training fails.
    """
    from quant_core.nn.training import train

    if config.processes > 1:
        from quant_core.nn.group import fit_in_group, is_member

        if not is_member():
            whole = partial(fit_encoder, features, fold, config, embargo_sessions=embargo_sessions)
            return fit_in_group(whole, config.processes, log)
    task = task_of(features, fold, config, embargo_sessions)
    network = new_network(config, len(task.columns))
    network.begin_at(task.mean)
    mark = hashlib.sha256(json.dumps([KIND, task.data_hash, plain_settings(config)]).encode()).hexdigest()
    trained = train(
        network, len(task.older), lambda rows: task.losses(network, rows), lambda: task.judged(network), config,
        config.seed, log, journal_folder(log), mark,
    )  # fmt: skip
    best = trained.curve.filter(pl.col("epoch") == trained.best_epoch).row(0, named=True)
    facts = {
        "best_epoch": trained.best_epoch,
        "first_validation_date": task.first_validation.isoformat(),
        **{f"{name}_error": best[f"validation_{name}"] for name in ("reconstruction", "copied", "mean")},
        "parameters": sum(value.numel() for value in trained.state.values()),
    }
    manifest = Manifest(
        kind=KIND, fit_start=task.first, fit_end=task.last, n_rows=len(task.older) + task.n_newer,
        columns=task.columns, data_hash=task.data_hash, config=plain_settings(config), code_version=code_version(),
        facts=facts,
    )  # fmt: skip
    return Fitted({name: value.numpy() for name, value in trained.state.items()}, manifest, trained.curve)


@dataclass(frozen=True, eq=False)
class Task:
    """What a fold's encoder is trained on and stopped by.

    Args:
        windows: NaN where a name has no row or no value.
        older, newer: (R, 2) name and day of the windows that train, and of those that stop.
        hidden: (R, P) which patches of the newer ones are hidden, the same in every epoch.
        mean: (F,) of every channel where it is known, up to the last day that trains.
        n_newer: windows of the newest dates, of which `newer` is a draw.
    """

    config: MaskedEncoderConfig
    columns: tuple[str, ...]
    windows: "Windows"
    older: "Tensor"
    newer: "Tensor"
    hidden: "Tensor"
    mean: "Tensor"
    first: date
    last: date
    first_validation: date
    n_newer: int
    data_hash: str

    def losses(self, network: "MaskedEncoder", rows: "Tensor") -> dict[str, "Tensor"]:
        """Mean squared error of hidden patches of the older rows of those numbers, drawn anew every time."""
        from quant_core.nn.masked import hidden_patches, reconstruction_error
        from quant_core.nn.patches import to_patches

        config = self.config
        part = self._masked(self.older[rows], hidden_patches(len(rows), config.patches, config.mask_ratio))
        true = to_patches(part.values, config.patch_size)
        error, count = reconstruction_error(network(part.values, part.hidden), true, part.known, part.hidden)
        return {"loss": error / count.clamp_min(1.0)}

    def judged(self, network: "MaskedEncoder") -> dict[str, float]:
        """Mean squared errors of the newer rows' hidden patches: of the network, and of what needs none."""
        from quant_core.nn.masked import copied, reconstruction_error
        from quant_core.nn.patches import to_patches

        sums = np.zeros((3, 2))
        for part in self._newer_parts():
            true = to_patches(part.values, self.config.patch_size)
            mean = self.mean.repeat(self.config.patch_size).expand_as(true)
            answers = (network(part.values, part.hidden), copied(true, part.hidden), mean)
            told = [reconstruction_error(said, true, part.known, part.hidden) for said in answers]
            sums += np.array([[float(error), float(count)] for error, count in told])
        reconstruction, copy, average = sums[:, 0] / np.maximum(sums[:, 1], 1.0)
        return {"score": -reconstruction, "reconstruction": reconstruction, "copied": copy, "mean": average}

    def _newer_parts(self) -> Iterator["Masked"]:
        for rows, hidden in zip(self.newer.split(JUDGED_AT_ONCE), self.hidden.split(JUDGED_AT_ONCE), strict=True):
            yield self._masked(rows, hidden)

    def _masked(self, places: "Tensor", hidden: "Tensor") -> "Masked":
        from quant_core.nn.masked import masked

        return masked(self.windows.at(*places.unbind(1)), self.config.patch_size, hidden)


def task_of(features: pl.LazyFrame, fold: Fold, config: MaskedEncoderConfig, embargo_sessions: int) -> Task:
    """Rows, windows and fixed masks of a fold; see `fit_encoder`."""
    import torch

    from quant_core.nn.masked import hidden_patches
    from quant_core.nn.processes import join
    from quant_core.nn.windows import Windows

    columns = input_columns(features.collect_schema())
    before = features.filter(pl.col("date") < embargo_start(fold, embargo_sessions))
    rows = before.select("date", "ticker", "is_eligible", *columns).collect().sort("date", "ticker")
    ends = rows.filter("is_eligible", pl.col("date") >= fold.train_start)
    if ends.is_empty():
        raise _nothing(fold, 0, config)
    panel = input_panel(rows, columns)
    older, newer = _split(panel, ends, fold, config)
    judged = _drawn(newer, config)
    generator = torch.Generator().manual_seed(config.seed)
    device = join(config.device).device
    return Task(
        config, columns, Windows(torch.from_numpy(panel.values).to(device), config.sequence_sessions),
        torch.from_numpy(older[:: config.stride]).to(device), torch.from_numpy(judged).to(device),
        hidden_patches(len(judged), config.patches, config.mask_ratio, generator).to(device),
        torch.from_numpy(_mean(panel, int(older[:, 1].max()))).to(device),
        ends["date"][0], rows["date"][-1], panel.days[int(newer[:, 1].min())], len(newer), frame_hash(rows),
    )  # fmt: skip


def _split(panel: Panel, ends: pl.DataFrame, fold: Fold, config: MaskedEncoderConfig) -> tuple[Integers, Integers]:
    """(R, 2) name and day of whole windows: those that train, and those of the newest dates, no session in both."""
    places = np.stack(panel.place(ends), axis=1)
    whole = places[places[:, 1] >= config.context_sessions]
    days = np.unique(whole[:, 1])
    if len(days):
        first = days[len(days) - max(round(config.validation_share * len(days)), 1)]
        older, newer = whole[whole[:, 1] <= first - config.sequence_sessions], whole[whole[:, 1] >= first]
        if len(older):
            return older, newer
    raise _nothing(fold, len(whole), config)


def _nothing(fold: Fold, n_windows: int, config: MaskedEncoderConfig) -> DataError:
    return DataError(
        f"encoder {fold.name}: of {n_windows} windows of {config.sequence_sessions} sessions none is left to train on "
        "beside those that it is stopped on; widen the training window, or lower validation_share or sequence_sessions."
    )


def _drawn(newer: Integers, config: MaskedEncoderConfig) -> Integers:
    """MOST_JUDGED of the newer windows at most, in their order."""
    picked = np.random.default_rng(config.seed).permutation(len(newer))[:MOST_JUDGED]
    return newer[np.sort(picked)]


def _mean(panel: Panel, last_day: int) -> np.ndarray:
    """(F,) float32 mean of every channel where it is known."""
    values = panel.values[:, : last_day + 1].reshape(-1, panel.values.shape[2]).astype(np.float64)
    known = np.isfinite(values)
    return (np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)).astype(np.float32)
