"""Forecasters that are networks: one fit and one prediction for all of them, whatever the network is inside.

A network reads windows of the inputs, says a score and a distribution at every horizon that it learns, and is stopped
where the validation slice's rank IC is best. Several seeds are fitted, and their mean is the forecast. A file in
`models/` says which network, and nothing else.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log, frame_hash, journal_folder, plain_settings
from quant_core.forecasting import explained
from quant_core.forecasting.inputs import KINDS, LABEL, Kind, check_present
from quant_core.forecasting.model import ForecasterConfig, TrainingData, manifest
from quant_core.forecasting.sequences import (
    Scaling,
    Sequences,
    Sizes,
    fit_scaling,
    input_columns,
    read_rows,
    sectors_in,
    sequences,
)
from quant_core.forecasting.validation import rank_ic_of, validation_slice
from quant_core.nn.settings import TrainingSettings
from quant_core.runtime import Resources, torch_threads
from quant_core.schema import QUANTILE_COLUMNS, QUANTILE_LEVELS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from quant_core.nn.heads import Said
    from quant_core.nn.losses import Targets

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
#: (config, widths) -> a module that maps the parts of a Batch to a state (B, d_model).
Body = Callable[[Any, Sizes], "nn.Module"]
StopOn = Literal["rank_ic", "loss", "never"]
Attribution = Literal["none", "integrated_gradients"]

RESOURCES = Resources(gpu=True, cpu_cores=2, memory_gib=6)
#: A rank label has variance 1/12; the score is learned in units of its standard deviation.
LABEL_SCALE = {"rank": math.sqrt(12.0), "zscore": 1.0}
#: Standardized returns and variance ratios are cut here.
MOST_RETURN, MOST_VARIANCE = 8.0, 25.0
#: Rows that are judged at a time.
JUDGED_AT_ONCE = 4096


@dataclass(frozen=True)
class NetConfig(TrainingSettings, ForecasterConfig):
    """Settings that every network forecaster has, beside those of training and of every forecaster.

    Args:
        d_model: width of the state that the heads read.
        inputs: kinds of inputs side by side: "channels", "normalized", "rank", "raw".
        sequence_sessions: sessions of a window, the row's own included.
        ahead_sessions: sessions ahead whose calendar is read, by networks that read it.
        further_horizons: label horizons that are learned beside the model's own; they shape the network, only its own
            horizon is forecast.
        n_seeds: fits with different seeds, whose mean is the forecast.
        validation_share: share of the window's dates, the newest, on which fits are stopped.
        stop_on: what is best on them: "rank_ic" or the "loss"; "never" trains for all epochs and keeps the last.
        attribution: "integrated_gradients" says of the validation slice which inputs and sessions the forecast rests on
            (quant_core/nn/attribution.py); "none" only what the network says itself, as the TFT does.
        refit: fit once more on the whole window, for as many epochs as were best.
        distribution: "student_t" or "gaussian".
        score_weight, distribution_weight, direction_weight, volatility_weight, quantile_weight: of the losses in their
            sum; quantiles of weight 0 are those of the distribution.
    """

    d_model: int = 64
    inputs: tuple[Kind, ...] = ("channels",)
    sequence_sessions: int = 63
    ahead_sessions: int = 5
    further_horizons: tuple[int, ...] = ()
    n_seeds: int = 1
    validation_share: float = 0.2
    stop_on: StopOn = "rank_ic"
    attribution: Attribution = "none"
    refit: bool = False
    distribution: Literal["student_t", "gaussian"] = "student_t"
    score_weight: float = 1.0
    distribution_weight: float = 0.1
    direction_weight: float = 0.05
    volatility_weight: float = 0.1
    quantile_weight: float = 0.1

    def __post_init__(self) -> None:
        ForecasterConfig.__post_init__(self)
        TrainingSettings.__post_init__(self)
        for name in ("inputs", "further_horizons"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.stop_on == "never":
            object.__setattr__(self, "patience", None)
        for setting, good, wanted in (
            ("inputs", self.inputs and set(self.inputs) <= set(KINDS), f"some of {KINDS}"),
            ("sequence_sessions", self.sequence_sessions >= 2, "at least 2 sessions"),
            ("ahead_sessions", self.ahead_sessions >= 1, "at least 1 session"),
            ("further_horizons", len(set(self.horizons)) == 1 + len(self.further_horizons), "others than the own"),
            ("n_seeds", self.n_seeds >= 1, "at least 1"),
            ("validation_share", 0.0 < self.validation_share < 1.0, "a share in (0, 1)"),
            ("stop_on", self.stop_on in get_args(StopOn), f"one of {get_args(StopOn)}"),
            ("attribution", self.attribution in get_args(Attribution), f"one of {get_args(Attribution)}"),
            ("score_weight", self.score_weight > 0.0, "a weight above 0: the score is what is ranked"),
        ):
            if not good:
                raise DataError(f"network: {setting} is {getattr(self, setting)!r}; wanted {wanted}.")

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons that are learned, the model's own first."""
        return (self.horizon_sessions, *self.further_horizons)


def context_sessions(config: NetConfig) -> int:
    """Sessions before a row that its window holds."""
    return config.sequence_sessions - 1


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
        _mean_of([fit.said for fit in fits]),
    )


def predict_net(
    body: Body, config_class: type[NetConfig], fitted: Fitted, features: pl.DataFrame, first: date
) -> pl.DataFrame:
    """Scores of the eligible rows from `first` on, and what is said of their returns where their volatility is known.

    Raises:
        DataError: an input column is absent.
    """
    columns, config = fitted.manifest.columns, config_class(**fitted.manifest.config)
    check_present(features.columns, columns, fitted.manifest.kind)
    rows = read_rows(features.lazy(), columns, config.inputs)
    wanted = rows.filter(pl.col("date") >= first, "is_eligible")
    scaling = Scaling(fitted.arrays["mean"], fitted.arrays["scale"])
    found = sequences(
        rows, wanted, columns, scaling, config.sequence_sessions, config.ahead_sessions,
        fitted.manifest.facts["n_sectors"],
    )  # fmt: skip
    networks = (_loaded(body, config, found.sizes, fitted, seed) for seed in range(config.n_seeds))
    with torch_threads(1):  # a day of names is too little for two
        return _mean_of([said_table(network, found, _days_of(found), config) for network in networks])


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
        from quant_core.nn.losses import LossWeights, Targets, multi_task_loss

        weights = LossWeights(
            config.score_weight, config.distribution_weight, config.direction_weight, config.volatility_weight,
            config.quantile_weight,
        )  # fmt: skip
        target = Targets(*(values[rows] for values in self.targets))
        return multi_task_loss(network(*self.data.batch(rows)), target, weights, QUANTILE_LEVELS)


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
    about = [task.kind, frame_hash(task.rows), plain_settings(config), number, _digest(initial)]
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
        said = said_table(network, task.data, _pieces(task.newer), config)
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
    for rows in _pieces(task.newer):
        scores.append(network(*task.data.batch(rows)).score[:, 0].double().cpu().numpy())
        parts = task.losses(network, config, rows)
        losses.append({name if name == "loss" else f"loss_{name}": float(value) for name, value in parts.items()})
        sizes.append(len(rows))
    newer = task.rows[task.newer.cpu().numpy()].rename({config.label_column: LABEL})
    value = rank_ic_of(newer, np.concatenate(scores)[:, None], [task.kind])[0].get(task.kind, 0.0)
    loss = {name: float(np.average([part[name] for part in losses], weights=sizes)) for name in losses[0]}
    return {"score": value if config.stop_on == "rank_ic" else -loss["loss"], "rank_ic": value, **loss}


def new_network(body: Body, config: NetConfig, sizes: Sizes, seed: int) -> "nn.Module":
    """A new network of that seed; the global random state stays as it was."""
    import torch

    from quant_core.nn.forecaster import Forecaster

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Forecaster(
            body(config, sizes), config.d_model, len(config.horizons), config.distribution, QUANTILE_LEVELS
        )


def _begun(network: "nn.Module", initial: Mapping[str, NDArray[Any]]) -> "nn.Module":
    """The network with what was trained before."""
    import torch

    before = {name: torch.from_numpy(value.copy()) for name, value in initial.items()}
    network.load_state_dict(network.state_dict() | before)
    return network


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of arrays by name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


def _loaded(body: Body, config: NetConfig, sizes: Sizes, fitted: Fitted, seed: int) -> "nn.Module":
    import torch

    network, prefix = new_network(body, config, sizes, config.seed), f"seed{seed}."
    own = {name.removeprefix(prefix): value for name, value in fitted.arrays.items() if name.startswith(prefix)}
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in own.items()})
    return network.eval()


def said_table(network: "nn.Module", data: Sequences, pieces: Iterable["Tensor"], config: NetConfig) -> pl.DataFrame:
    """What a network says of rows: keys, score, and the distribution of the simple return at its own horizon."""
    import torch

    network.eval()
    with torch.no_grad():
        said = [_columns(network(*data.batch(rows)), config) | {"row": rows.cpu().numpy()} for rows in pieces]
    stacked = {name: np.concatenate([part[name] for part in said]) for name in said[0]}
    row = stacked.pop("row")
    sigma = data.volatility_1d[row] * math.sqrt(config.horizon_sessions)
    for name in stacked.keys() - {"score", "prob_down", "prob_up"}:
        stacked[name] = stacked[name] * (sigma**2 if name == "expected_variance" else sigma)
    return data.keys[row].with_columns(pl.Series(name, values).fill_nan(None) for name, values in stacked.items())


def _columns(said: "Said", config: NetConfig) -> dict[str, Floats]:
    """Score and DISTRIBUTION_COLUMNS at the model's own horizon, of the standardized return."""
    from quant_core.nn.distributions import moments, quantiles_of

    mean, deviation = moments(said.distribution)
    told = said.quantiles if config.quantile_weight > 0.0 else quantiles_of(said.distribution, QUANTILE_LEVELS)
    down, _, up = said.direction[:, 0].softmax(dim=-1).unbind(-1)
    values = {
        "score": said.score[:, 0], "expected_return": mean[:, 0], "return_std": deviation[:, 0],
        **dict(zip(QUANTILE_COLUMNS, told[:, 0].unbind(-1), strict=True)),
        "prob_down": down, "prob_up": up, "expected_variance": said.variance[:, 0],
    }  # fmt: skip
    return {name: value.double().cpu().numpy() for name, value in values.items()}


def _mean_of(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The seeds' mean, row by row; all of them list the same rows."""
    keys, columns = tables[0].select("date", "ticker"), tables[0].columns[2:]
    return keys.with_columns(pl.mean_horizontal([table[name] for table in tables]).alias(name) for name in columns)


def _pieces(rows: "Tensor") -> Sequence["Tensor"]:
    return rows.split(JUDGED_AT_ONCE)


def _days_of(found: Sequences) -> Iterator["Tensor"]:
    """The row numbers of each date: a date is always computed alone, so that no other changes its last digit."""
    import torch

    ends = found.keys["date"].rle().struct.field("len").cum_sum().to_list()
    return (torch.arange(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True))
