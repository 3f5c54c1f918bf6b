"""The one training loop of all agents: learn for a while on windows of the training years, walk the validation years,
keep the best policy, write a checkpoint, tell the log.

Everything drawn between two evaluations depends on (seed, number of the evaluation) alone, and every one of them begins
with new episodes, so a training that was killed and goes on from its checkpoint ends as if nothing had happened. The
policy before the first step, equal weight or the book, is judged too: what learning does not improve is kept.
"""

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from stable_baselines3.common.logger import Logger

from quant_core.allocation.learning.agent import AgentConfig
from quant_core.allocation.learning.baseline import equal_weight_growth
from quant_core.allocation.learning.networks import HEADS, Shape
from quant_core.allocation.learning.normalise import NameSharedNormalize
from quant_core.allocation.learning.policy import Policy, scaling_arrays, seed_policy
from quant_core.allocation.learning.progress import Arrays, Progress, restore, state_of
from quant_core.allocation.learning.stage import Stage
from quant_core.allocation.learning.state_file import read_state, write_state
from quant_core.allocation.learning.vector import VectorPortfolioEnv
from quant_core.allocation.learning.walk import walk_one, why_unresponsive
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log, Manifest, code_version, curve_table, journal_folder, plain_settings
from quant_core.runtime import torch_threads

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


@dataclass(frozen=True)
class Learner:
    """What is an agent's own in the loop.

    Args:
        make: (environment, shape, config, seed) -> SB3's algorithm.
        optimisers: of an algorithm, by name.
        actor: of an algorithm, as `networks` builds it.
        n_outputs: numbers that the actor says of each number of an action, the mean first.
        is_squashed: whether actions are tanh of what it says.
        steps_multiple: decisions that training can stop behind.
    """

    make: Callable[..., Any]
    optimisers: Callable[[Any], Mapping[str, torch.optim.Optimizer]]
    actor: Callable[[Any], torch.nn.Module]
    n_outputs: int
    is_squashed: bool
    steps_multiple: int


@dataclass(frozen=True, eq=False)
class Task:
    """What the seeds of a fit have in common."""

    kind: str
    learner: Learner
    train: Stage
    validation: Stage
    config: Any  # EnvConfig and AgentConfig in one
    asset_columns: tuple[str, ...]
    market_columns: tuple[str, ...]
    shape: Shape


def fit(kind: str, learner: Learner, train: Stage, validation: Stage, config: Any, log: Log) -> Fitted:
    """A policy a seed, each the best of its own walks of the validation.

    Args:
        train: episodes begin anywhere in it.
        validation: walked whole, without randomness; its first decision lies behind the training's last session.
        config: EnvConfig and AgentConfig in one.
        log: told every evaluation; a Journal's folder holds the checkpoints.
    Returns:
        arrays "seed<k>.<parameter>" and "seed<k>.scaling.<part>"; facts hold what was kept of each seed, and why a
        policy counts as unresponsive; the validation table has each kept policy's walk.
    Raises:
        DataError: a stage without two decisions, stages that overlap, a reward, loss or parameter that is no number.
    """
    _check(kind, train, validation)
    task = _task(kind, learner, train, validation, config)
    with torch_threads(config.threads), _own_randomness():
        seeds = [_fit_seed(task, number, log) for number in range(config.n_seeds)]
    arrays = {f"seed{k}.{name}": value for k, found in enumerate(seeds) for name, value in found.best.items()}
    walks = [walk_one(_policy(task, found.best), validation, config) for found in seeds]
    facts = {
        "n_seeds": config.n_seeds,
        "n_asset_columns": len(task.asset_columns),
        "is_squashed": learner.is_squashed,
        "n_names": len(train.tickers) if config.network == "mlp" else None,
        "kept": [_kept(found) for found in seeds],
        "unresponsive": [why_unresponsive(walk) for walk in walks],
    }
    days = validation.sessions
    manifest = Manifest(
        kind, train.sessions[0], days[-1], len(train.decisions), (*task.asset_columns, *task.market_columns),
        _digest(task), plain_settings(config), code_version(), facts,
    )  # fmt: skip
    curve = pl.concat(
        [curve_table(found.curve).with_columns(seed=pl.lit(k, pl.Int32)) for k, found in enumerate(seeds)]
    )
    said = pl.concat([walk.table(validation).with_columns(seed=pl.lit(k, pl.Int32)) for k, walk in enumerate(walks)])
    return Fitted(arrays, manifest, curve, said)


def _task(kind: str, learner: Learner, train: Stage, validation: Stage, config: Any) -> Task:
    env, other = (VectorPortfolioEnv(stage, config, n_envs=1, seed=0) for stage in (train, validation))
    columns = env.asset_columns, env.market_columns
    if columns != (other.asset_columns, other.market_columns):
        raise DataError(
            f"{kind}: training has columns {columns}, validation {(other.asset_columns, other.market_columns)}; make "
            "both from the same inputs."
        )
    n_names, n_actions = len(train.tickers), int(np.prod(env.action_space.shape or (1,)))
    sizes = config.sizes if config.network == "shared" else config.mlp_sizes
    shape = Shape(config.network, len(columns[0]), len(columns[1]), n_names, n_actions == n_names + 1, tuple(sizes))
    return Task(kind, learner, train, validation, config, *columns, shape)


def _fit_seed(task: Task, number: int, log: Log) -> Progress:
    """Train one seed from where it stands to where it ends."""
    config, learner = task.config, task.learner
    seed = config.seed + 1000 * number  # seeds next to each other may be other fits' own
    growth = equal_weight_growth(task.train) if config.market_baseline else None
    venv = VectorPortfolioEnv(task.train, config, n_envs=config.n_envs, seed=seed)
    env = NameSharedNormalize(venv, config.gamma, growth)
    model = learner.make(env, task.shape, config, seed)
    model.set_logger(Logger(folder=None, output_formats=[]))
    mark, folder = _mark(task, seed), journal_folder(log)
    file = None if folder is None else folder / f"{task.kind}-{mark[:16]}.safetensors"
    now = _begun(task, model, env, file, mark)
    for row in now.curve:
        _tell(log, task, number, row)
    chunk = math.ceil(config.eval_every / learner.steps_multiple) * learner.steps_multiple
    while now.steps < config.total_steps and not _is_patient_no_more(now, config):
        started = time.perf_counter()
        _draw_anew(model, env, seed, now.evaluation + 1)
        model.learn(chunk, reset_num_timesteps=False)
        _require_finite(task, model, now)
        speed = {"steps_per_s": chunk / (time.perf_counter() - started)}
        now = _after(task, now, _exported(task, model, env), now.steps + chunk, env.mean_reward())
        if file is not None:
            write_state(file, state_of(model, learner.optimisers(model), env, now), mark)
        _tell(log, task, number, now.curve[-1] | speed)
    return now


def _begun(task: Task, model: "BaseAlgorithm", env: NameSharedNormalize, file: Path | None, mark: str) -> Progress:
    """Where the training goes on from: its checkpoint, or the policy before the first step."""
    state = None if file is None else read_state(file, mark)
    if state is None:
        nothing = Progress(-1, 0, {}, -math.inf, 0, 0, [])
        return _after(task, nothing, _exported(task, model, env), 0, 0.0)
    return restore(model, task.learner.optimisers(model), env, state)


def _after(task: Task, now: Progress, exported: Arrays, steps: int, reward: float) -> Progress:
    """Where a training stands once the policy of `steps` has walked the validation."""
    walk = walk_one(_policy(task, exported), task.validation, task.config)
    figures = walk.figures()
    score = figures[task.config.stop_on]
    if not math.isfinite(score):
        raise DataError(
            f"{task.kind}: the validation's {task.config.stop_on} is {score} after {steps} steps, wanted a number; "
            "widen the validation, or look for a return that is none. The last checkpoint is kept."
        )
    evaluation = now.evaluation + 1
    row = {"epoch": evaluation, "steps": steps, "train_reward": reward}
    curve = [*now.curve, row | {f"validation_{name}": value for name, value in figures.items()}]
    if score > now.best_score:
        return Progress(evaluation, steps, exported, score, steps, 0, curve)
    return Progress(evaluation, steps, now.best, now.best_score, now.best_steps, now.waited + 1, curve)


def _draw_anew(model: "BaseAlgorithm", env: NameSharedNormalize, seed: int, evaluation: int) -> None:
    """New episodes, and all randomness up to the next evaluation, from (seed, evaluation)."""
    model.set_random_seed(int(np.random.SeedSequence((seed, evaluation)).generate_state(1)[0]) >> 1)
    model.set_env(env)  # forgets the episodes under way: `learn` resets them


def _exported(task: Task, model: "BaseAlgorithm", env: NameSharedNormalize) -> Arrays:
    """The actor's means and the statistics of its inputs, as `Policy` takes them."""
    arrays: Arrays = {}
    for name, value in task.learner.actor(model).state_dict().items():
        part = value.detach().cpu().numpy().copy()
        is_head = name.split(".")[0] in HEADS
        arrays[name] = np.ascontiguousarray(part[:: task.learner.n_outputs]) if is_head else part
    return arrays | scaling_arrays(env.scaling)


def _policy(task: Task, arrays: Mapping[str, NDArray[Any]]) -> Policy:
    n_names = len(task.train.tickers) if task.config.network == "mlp" else None
    return seed_policy(task.kind, arrays, task.asset_columns, task.market_columns, task.learner.is_squashed, n_names)


def _require_finite(task: Task, model: "BaseAlgorithm", now: Progress) -> None:
    bad = [name for name, value in model.policy.named_parameters() if not torch.isfinite(value).all()]
    if bad:
        raise DataError(
            f"{task.kind}: {bad[0]} is no number any more after step {now.steps}: a loss was none; lower learning_rate "
            f"or scale the inputs. The checkpoint of step {now.steps} is kept, its best policy is of step "
            f"{now.best_steps}."
        )


def _tell(log: Log, task: Task, number: int, row: Mapping[str, float]) -> None:
    """Epochs of seeds follow one another in the log."""
    most = math.ceil(task.config.total_steps / task.config.eval_every) + 1
    values = {name: value for name, value in row.items() if name != "epoch"}
    log(number * most + int(row["epoch"]), {**values, "seed": number})


def _is_patient_no_more(now: Progress, config: AgentConfig) -> bool:
    return config.patience is not None and now.waited >= config.patience


def _kept(found: Progress) -> dict[str, Any]:
    """What the manifest says of a seed: the evaluation that was kept, and how many there were."""
    best = next(row for row in found.curve if row["steps"] == found.best_steps)
    figures = {name: value for name, value in best.items() if name.startswith("validation_")}
    return {"steps": found.best_steps, "steps_trained": found.steps, "evaluations": found.evaluation, **figures}


def _check(kind: str, train: Stage, validation: Stage) -> None:
    for name, stage in (("training", train), ("validation", validation)):
        if len(stage.decisions) < 2:
            raise DataError(f"{kind}: {name} has {len(stage.decisions)} decisions, wanted 2 or more; widen its years.")
    last, first = train.sessions[-1], validation.sessions[validation.decisions[0]]
    if first <= last:
        raise DataError(
            f"{kind}: validation begins on {first}, training ends on {last}; wanted the whole training before it."
        )


def _digest(task: Task) -> str:
    """SHA-256 of both stages."""
    digest = hashlib.sha256()
    for stage in (task.train, task.validation):
        market, costs = stage.market, stage.costs
        plain = [*map(str, stage.sessions), *stage.tickers, stage.capital_inr, asdict(stage.rules)]
        digest.update(json.dumps(plain).encode())
        parts: list[NDArray[Any] | None] = [stage.decisions, stage.eligible, stage.book]
        parts += [stage.asset_inputs, stage.market_inputs]
        parts += [market.overnight_return, market.intraday_return, market.open_to, market.cash_return_1d]
        parts += [market.dividend_return, *market.delistings]
        parts += [costs.total_buy_rate, costs.total_sell_rate, costs.per_sale_inr]
        for part in parts:
            digest.update(b"none" if part is None else np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _mark(task: Task, seed: int) -> str:
    """SHA-256 of what a seed's training depends on; how long it may last is not among it."""
    settings = {name: value for name, value in plain_settings(task.config).items() if name not in LENGTHS}
    about = [task.kind, _digest(task), settings, seed, asdict(task.shape), task.asset_columns, task.market_columns]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


#: Settings that say when a training ends, which a training that goes on may change, or how many seeds there are.
LENGTHS = ("total_steps", "patience", "n_seeds", "seed")


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Seeds that SB3 sets within leave no trace outside."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python)
    np.random.set_state(numpy)
