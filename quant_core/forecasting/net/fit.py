"""The fit of a network: every seed trained on the older part of the window and stopped by the newest dates."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.dense import Floats
from quant_core.fitted import Fitted, Log, digest_of, frame_hash, journal_folder, plain_settings
from quant_core.forecasting import explained
from quant_core.forecasting.inputs import LABEL
from quant_core.forecasting.model import TrainingData, manifest
from quant_core.forecasting.net.said import mean_of, new_network, pieces, said_table
from quant_core.forecasting.net.settings import Body, NetConfig
from quant_core.forecasting.net.task import Task, task_of
from quant_core.forecasting.validation import rank_ic_of
from quant_core.runtime import torch_threads

if TYPE_CHECKING:
    from torch import Tensor, nn


def fit_net(
    kind: str,
    body: Body,
    data: TrainingData,
    config: NetConfig,
    log: Log,
    initial: Mapping[str, NDArray[Any]] | None = None,
    explain: explained.Explain | None = None,
) -> Fitted:
    """Fit every seed on the older part of the window, stopped by the newest dates; their mean is the model.

    Args:
        initial: parameters of the network that were trained before, by name; every seed begins with them, and they
            learn at `pretrained_rate_share` of the rate.
        explain: what the network says of its own weights; the settings' `attribution` wins over it.
    Returns:
        arrays `seed<k>.<parameter>`, `mean` and `scale` of the inputs, and `explain.<part>`, the seeds' mean; facts
        hold the sectors told apart, epoch and validation rank IC of each seed.
    Raises:
        DataError: an input is absent, no row is left to train or to judge on, or training fails.
    """
    if config.processes > 1:
        from quant_core.nn.group import fit_in_group, is_member

        if not is_member():
            whole = partial(fit_net, kind, body, data, config, initial=initial, explain=explain)
            return fit_in_group(whole, config.processes, log)
    task = task_of(kind, data, config)
    fits = [_fit_seed(body, task, config, seed, log, initial or {}) for seed in range(config.n_seeds)]
    arrays = {f"seed{k}.{name}": value.numpy() for k, fit in enumerate(fits) for name, value in fit.state.items()}
    facts = {
        "n_sectors": task.n_sectors,
        "first_validation_date": task.first_validation.isoformat(),
        "kept": [{"epoch": fit.epoch, "validation_rank_ic": fit.rank_ic} for fit in fits],
        "parameters": sum(value.numel() for value in fits[0].state.values()),
    }
    told = _explained(body, task, config, fits, explain)
    if told:
        facts[explained.NAMES] = explained.names_of(tuple(told), task.columns, has_sectors=task.n_sectors > 0)
    return Fitted(
        arrays | {"mean": task.scaling.mean, "scale": task.scaling.scale} | told,
        manifest(kind, task.rows, task.columns, config, **facts),
        pl.concat([fit.curve.with_columns(seed=pl.lit(k, pl.Int32)) for k, fit in enumerate(fits)]),
        mean_of([fit.said for fit in fits]),
    )


class SeedFit(NamedTuple):
    """One seed's fit: the state that is kept, its curve, and what it said of the validation slice when stopped."""

    state: dict[str, "Tensor"]
    curve: pl.DataFrame
    epoch: int
    rank_ic: float
    said: pl.DataFrame


def _fit_seed(
    body: Body, task: Task, config: NetConfig, number: int, log: Log, initial: Mapping[str, NDArray[Any]]
) -> SeedFit:
    """Train on the older part and stop by the newer one; then, if wanted, once more on both."""
    import torch

    from quant_core.nn.training import train

    seed = config.seed + 1000 * number  # seeds next to each other may be other models' own
    about = [task.kind, frame_hash(task.rows), plain_settings(config), number, digest_of(initial).hexdigest()]
    mark, folder = hashlib.sha256(json.dumps(about).encode()).hexdigest(), journal_folder(log)
    network, slow = _begun(new_network(body, config, task.data.sizes, seed), initial), tuple(initial)

    def tell(epoch: int, values: Mapping[str, float], /) -> None:
        log(number * config.epochs + epoch, {**values, "seed": number})

    stopped = train(
        network, len(task.older), lambda rows: task.losses(network, config, task.older[rows]),
        lambda: judged(network, task, config), config, seed, tell, folder, mark, slow,
    )  # fmt: skip
    epoch, state = (config.epochs, stopped.last) if config.stop_on == "never" else (stopped.best_epoch, stopped.state)
    network.load_state_dict(state)
    score = float(stopped.curve.filter(pl.col("epoch") == epoch)["validation_rank_ic"].item())
    with torch_threads(config.threads):
        said = said_table(network, task.data, pieces(task.newer), config)
    if not config.refit:
        return SeedFit(state, stopped.curve, epoch, score, said)
    every = torch.cat([task.older, task.newer[:: config.stride]])
    again = _begun(new_network(body, config, task.data.sizes, seed), initial)
    refitted = train(
        again, len(every), lambda rows: task.losses(again, config, every[rows]),
        lambda: {"score": 0.0},  # nothing is left to be judged by
        replace(config, epochs=epoch, patience=None), seed, lambda epoch, values: None, folder, mark, slow,
    )  # fmt: skip
    return SeedFit(refitted.last, stopped.curve, epoch, score, said)


def judged(network: "nn.Module", task: Task, config: NetConfig) -> dict[str, float]:
    """Rank IC and losses of the validation slice; "score" is what the settings stop on."""
    scores, losses, sizes = [], [], []
    for rows in pieces(task.newer):
        said = network(*task.data.batch(rows))
        scores.append(said.score[:, 0].double().cpu().numpy())
        parts = task.losses_of(said, config, rows)
        losses.append({name if name == "loss" else f"loss_{name}": float(value) for name, value in parts.items()})
        sizes.append(len(rows))
    newer = task.rows[task.newer.cpu().numpy()].rename({config.label_column: LABEL})
    value = rank_ic_of(newer, np.concatenate(scores)[:, None], [task.kind])[0].get(task.kind, 0.0)
    loss = {name: float(np.average([part[name] for part in losses], weights=sizes)) for name in losses[0]}
    return {"score": value if config.stop_on == "rank_ic" else -loss["loss"], "rank_ic": value, **loss}


def _begun(network: "nn.Module", initial: Mapping[str, NDArray[Any]]) -> "nn.Module":
    """The network with what was trained before."""
    import torch

    before = {name: torch.from_numpy(value.copy()) for name, value in initial.items()}
    network.load_state_dict(network.state_dict() | before)
    return network


def _explained(
    body: Body, task: Task, config: NetConfig, fits: Sequence["SeedFit"], explain: explained.Explain | None
) -> dict[str, Floats]:
    """What the kept networks' forecasts of the validation slice rest on, the seeds' mean; nothing where none says."""
    hook = explained.gradients if config.attribution == "integrated_gradients" else explain
    if hook is None:
        return {}
    network = new_network(body, config, task.data.sizes, config.seed).to(task.newer.device)
    found = []
    with torch_threads(config.threads):
        for fit in fits:
            network.load_state_dict(fit.state)
            found.append(explained.averaged(network, task.data, task.newer, hook))
    return explained.mean_of(found)
