"""Where the training of a seed stands, and how SB3's algorithm is put back there: all that comes next depends on it.

Networks, optimisers, running statistics of inputs and rewards, and the decisions that SAC remembers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from quant_core.allocation.learning.normalise import NameSharedNormalize
from quant_core.allocation.learning.state_file import State

Arrays = dict[str, NDArray[Any]]
Optimisers = Mapping[str, torch.optim.Optimizer]
#: What a `Progress` holds beside arrays.
FACTS = ("evaluation", "steps", "best_score", "best_steps", "waited", "curve")


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a seed stands after `evaluation` evaluations.

    Args:
        best: arrays of the best policy so far.
        waited: evaluations since then.
    """

    evaluation: int
    steps: int
    best: Arrays
    best_score: float
    best_steps: int
    waited: int
    curve: list[dict[str, float]]


def state_of(model: Any, optimisers: Optimisers, env: NameSharedNormalize, now: Progress) -> State:
    """Everything that the next evaluation depends on."""
    arrays = {f"policy.{name}": value.detach().cpu().numpy() for name, value in model.policy.state_dict().items()}
    for name, optimiser in optimisers.items():
        for place, moments in optimiser.state_dict()["state"].items():
            arrays |= {f"optimiser.{name}.{place}.{key}": part.cpu().numpy() for key, part in moments.items()}
    arrays |= {f"normal.{name}": value for name, value in env.state().items()}
    arrays |= {f"best.{name}": value for name, value in now.best.items()}
    facts = {name: value for name, value in vars(now).items() if name != "best"}
    if getattr(model, "log_ent_coef", None) is not None:
        facts["entropy"] = float(model.log_ent_coef.detach().item())
    if getattr(model, "replay_buffer", None) is not None:
        facts |= {"replay_pos": model.replay_buffer.pos, "replay_full": model.replay_buffer.full}
        arrays |= {f"replay.{name}": part for name, part in _remembered(model.replay_buffer).items()}
    return State(arrays, facts)


def restore(model: Any, optimisers: Optimisers, env: NameSharedNormalize, state: State) -> Progress:
    """Put algorithm and statistics where `state_of` found them; how far the training was."""
    model.policy.load_state_dict({name: torch.from_numpy(value) for name, value in state.part("policy").items()})
    for name, optimiser in optimisers.items():
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in state.part(f"optimiser.{name}").items():
            place, _, moment = key.partition(".")
            moments.setdefault(int(place), {})[moment] = torch.from_numpy(value)
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    env.restore(state.part("normal"))
    model.num_timesteps = state.facts["steps"]
    if "entropy" in state.facts:
        model.log_ent_coef.data.fill_(state.facts["entropy"])
    if "replay_pos" in state.facts:
        buffer = model.replay_buffer
        buffer.pos, buffer.full = state.facts["replay_pos"], state.facts["replay_full"]
        kept = state.part("replay")
        for name, part in _remembered(buffer).items():
            part[:] = kept[name]
    return Progress(best=state.part("best"), **{name: state.facts[name] for name in FACTS})


def _remembered(buffer: Any) -> Arrays:
    """Views of the part of a replay buffer that is filled, by name."""
    size = buffer.size()
    parts = {f"now.{key}": value for key, value in buffer.observations.items()}
    parts |= {f"next.{key}": value for key, value in buffer.next_observations.items()}
    parts |= {name: getattr(buffer, name) for name in ("actions", "rewards", "dones", "timeouts")}
    return {name: value[:size] for name, value in parts.items()}
