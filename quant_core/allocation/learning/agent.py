"""What an agent is: a name, its settings and its training, registered in one file of `agents`.

torch and Stable-Baselines3 are not imported here: settings are known before anything is computed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.registry import Registry

if TYPE_CHECKING:
    from quant_core.allocation.learning.stage import Stage

Network = Literal["shared", "mlp"]
StopOn = Literal["growth", "sharpe"]


@dataclass(frozen=True)
class AgentConfig:
    """What all agents are told beside the environment.

    Args:
        book: strategy whose weights the environment's book is, for the residual and partial modes.
        half_life_sessions: of the smoothed forecast ranks among the inputs.
        embedding_components: numbers that the embedding of a name is compressed to.
        training_years, validation_years: of a fold's years of out-of-sample forecasts; the newest ones validate.
        total_steps: decisions taken in training, over all episodes that run at once.
        n_envs: episodes that run at once.
        eval_every: steps from one walk of the validation to the next; training can be resumed from there.
        patience: walks without a better score after which training ends; None never.
        stop_on: score of a walk: "growth", mean log growth a year net of costs, or "sharpe".
        network: "shared", one set of weights for all names, for any number of them; "mlp", the flattened observation.
        sizes: width of each layer of a shared network.
        mlp_sizes: of a perceptron.
        market_baseline: take the part of rewards that equal weight's growth explains out of them, see `baseline`.
        log_std_start: of the exploration at the beginning.
        n_seeds: policies trained, with seeds `seed`, `seed` + 1000 ...; their mean is the trial.
        threads: of the CPU; sums are cut by thread: another number, other last bits. None leaves torch's.
        device: "cpu", "cuda" or "auto".
    """

    book: str = "buffered"
    half_life_sessions: float = 21.0
    embedding_components: int = 4
    training_years: int = 3
    validation_years: int = 1
    total_steps: int = 200_000
    n_envs: int = 8
    eval_every: int = 20_000
    patience: int | None = 5
    stop_on: StopOn = "growth"
    network: Network = "shared"
    sizes: tuple[int, ...] = (64, 64)
    mlp_sizes: tuple[int, ...] = (256, 256)
    market_baseline: bool = True
    log_std_start: float = -1.0
    seed: int = 0
    n_seeds: int = 3
    threads: int | None = 1
    device: str = "cpu"

    def check(self) -> None:
        """Raise a DataError for a setting that cannot be."""
        for name in ("total_steps", "n_envs", "eval_every", "n_seeds", "embedding_components", "validation_years"):
            self.require(name, getattr(self, name) >= 1, "1 or more")
        for name in ("patience", "threads"):
            value = getattr(self, name)
            self.require(name, value is None or value >= 1, "1 or more, or null")
        self.require("half_life_sessions", 0.0 < self.half_life_sessions < math.inf, "a positive number")
        self.require("training_years", self.training_years > self.validation_years, "more than validation_years")
        for name in ("sizes", "mlp_sizes"):
            widths = getattr(self, name)
            self.require(name, len(widths) > 0 and min(widths) >= 1, "one width of 1 or more a layer")
        self.require("stop_on", self.stop_on in get_args(StopOn), f"one of {', '.join(get_args(StopOn))}")
        self.require("network", self.network in get_args(Network), f"one of {', '.join(get_args(Network))}")

    def require(self, name: str, holds: bool, wanted: str) -> None:
        """Raise a DataError naming the setting unless it holds."""
        if not holds:
            raise DataError(f"agent: {name} is {getattr(self, name)!r}, wanted {wanted}; correct the setting.")


class Train(Protocol):
    """Fits a policy a seed on windows of `train`, stopped by walks of `validation`."""

    def __call__(self, train: "Stage", validation: "Stage", config: Any, log: Log, /) -> Fitted: ...


@dataclass(frozen=True)
class Agent:
    """A registered agent.

    Args:
        summary: one line on what it is.
        config_class: a frozen dataclass, EnvConfig and AgentConfig in one.
        train: config is one of config_class.
    """

    name: str
    summary: str
    config_class: type[Any]
    train: Train


AGENTS: Registry[Agent] = Registry("agent", "quant_core.allocation.learning.agents")


def agent(name: str, config_class: type[Any]) -> Callable[[Train], Train]:
    """Decorator that registers a training function; the first line of its docstring is the agent's summary."""

    def add(train: Train) -> Train:
        summary = (train.__doc__ or "").strip().partition("\n")[0]
        AGENTS.register(name)(Agent(name, summary, config_class, train))
        return train

    return add


#: What a profile writes behind an agent's name for the same agent without regimes.
BLIND = "_blind"


def is_blind(name: str) -> bool:
    """Whether a profile's name of an agent means the one that sees no regimes."""
    return name.endswith(BLIND)


def agent_of(name: str) -> str:
    """The registered agent behind a profile's name: "ppo" of "ppo_blind"."""
    return name.removesuffix(BLIND)
