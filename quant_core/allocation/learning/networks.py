"""Networks that look at any number of names: one set of weights for all of them, so the order of names changes nothing.

A layer of a set gives each name a row from its own row, the mean row of all names and the market's row:

    h_i = act(A x_i + B mean(x) + C market + b)

What is said of the whole (cash, how far to trade, a value) is read from the mean of the last rows. The alternative is
a plain perceptron over the flattened observation, for a fixed list of names only.

Source: Zaheer et al. (2017), Deep Sets, lemma 3: a linear layer that commutes with permutations is A x_i + B mean(x).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

#: What last layers are called.
HEADS = ("names", "whole", "out")
Kind = Literal["shared", "mlp"]
#: What SB3 hands a policy: "assets" (B, N, F), "market" (B, M), "mask" (B, N).
Observation = Mapping[str, Tensor]


@dataclass(frozen=True)
class Shape:
    """What a network is built from.

    Args:
        n_inputs, n_market: F and M, columns of a name and of the market.
        n_names: N, names of the observation; only "mlp" depends on it.
        has_names: whether an action holds a number a name before the one for the whole.
        sizes: width of each layer.
    """

    kind: Kind
    n_inputs: int
    n_market: int
    n_names: int
    has_names: bool
    sizes: tuple[int, ...]


class SetLayer(nn.Module):
    """(B, N, F), its mean over names (B, F) and the market (B, M) -> (B, N, H), before the activation."""

    def __init__(self, n_inputs: int, n_market: int, width: int) -> None:
        super().__init__()
        self.own = nn.Linear(n_inputs, width)
        self.pooled = nn.Linear(n_inputs + n_market, width, bias=False)

    def forward(self, rows: Tensor, mean: Tensor, market: Tensor) -> Tensor:
        shared: Tensor = self.pooled(torch.cat([mean, market], dim=-1))  # (B, H)
        said: Tensor = self.own(rows) + shared.unsqueeze(1)
        return said


class SetBody(nn.Module):
    """Layers of a set: rows of names and their mean, (B, N, H) and (B, H)."""

    def __init__(self, n_inputs: int, n_market: int, sizes: tuple[int, ...], activation: Callable[..., Tensor]) -> None:
        super().__init__()
        widths = (n_inputs, *sizes)
        self.layers = nn.ModuleList(
            SetLayer(width, n_market, wider) for width, wider in zip(widths, sizes, strict=False)
        )
        self.activation = activation

    def forward(self, rows: Tensor, market: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        share = (mask / mask.sum(dim=1, keepdim=True).clamp(min=1.0)).unsqueeze(1)  # (B, 1, N)
        mean = torch.bmm(share, rows).squeeze(1)
        for layer in self.layers:
            rows = self.activation(layer(rows, mean, market))
            mean = torch.bmm(share, rows).squeeze(1)
        return rows, mean


class SharedActor(nn.Module):
    """An action of one number a name, from its row, and one for the whole, from the mean row."""

    def __init__(self, shape: Shape, n_outputs: int = 1) -> None:
        super().__init__()
        self.body = SetBody(shape.n_inputs, shape.n_market, shape.sizes, torch.tanh)
        self.names = nn.Linear(shape.sizes[-1], n_outputs) if shape.has_names else None
        self.whole = nn.Linear(shape.sizes[-1], n_outputs)

    def forward(self, seen: Observation) -> Tensor:
        """-> (B, A, n_outputs)."""
        rows, mean = self.body(seen["assets"], seen["market"], seen["mask"])
        whole: Tensor = self.whole(mean).unsqueeze(1)
        return whole if self.names is None else torch.cat([self.names(rows), whole], dim=1)


class FlatActor(nn.Module):
    """The same action from the flattened observation of a fixed list of names."""

    def __init__(self, shape: Shape, n_outputs: int = 1) -> None:
        super().__init__()
        self.n_outputs = n_outputs
        self.body = perceptron(_flat_width(shape), shape.sizes, nn.Tanh)
        self.out = nn.Linear(shape.sizes[-1], n_outputs * (1 + shape.n_names * shape.has_names))

    def forward(self, seen: Observation) -> Tensor:
        """-> (B, A, n_outputs)."""
        said: Tensor = self.out(self.body(flat(seen)))
        return said.unflatten(1, (-1, self.n_outputs))


class SharedValue(nn.Module):
    """One number (B, 1) of the whole observation, whatever the order of names: the mean row of one layer of the set,
    taken through the further layers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.body = SetBody(shape.n_inputs, shape.n_market, shape.sizes[:1], torch.tanh)
        self.further = perceptron(shape.sizes[0], shape.sizes[1:], nn.Tanh)
        self.out = nn.Linear(shape.sizes[-1], 1)

    def forward(self, seen: Observation) -> Tensor:
        mean = self.body(seen["assets"], seen["market"], seen["mask"])[1]
        said: Tensor = self.out(self.further(mean))
        return said


class FlatValue(nn.Module):
    """One number (B, 1) of the flattened observation."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.body = perceptron(_flat_width(shape), shape.sizes, nn.Tanh)
        self.out = nn.Linear(shape.sizes[-1], 1)

    def forward(self, seen: Observation) -> Tensor:
        said: Tensor = self.out(self.body(flat(seen)))
        return said


class SharedQuality(nn.Module):
    """What an action (B, A) is worth where it is taken, (B, 1): each name's number joins its row, the whole's the
    market's row."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.body = SetBody(shape.n_inputs + shape.has_names, shape.n_market + 1, shape.sizes, torch.relu)
        self.out = nn.Linear(shape.sizes[-1], 1)
        self.has_names = shape.has_names

    def forward(self, seen: Observation, action: Tensor) -> Tensor:
        rows, market = seen["assets"], torch.cat([seen["market"], action[:, -1:]], dim=-1)
        if self.has_names:
            own = action[:, :-1] * seen["mask"]
            rows = torch.cat([rows, own.unsqueeze(-1)], dim=-1)  # (B, N, F + 1)
        said: Tensor = self.out(self.body(rows, market, seen["mask"])[1])
        return said


class FlatQuality(nn.Module):
    """What an action (B, A) is worth where it is taken, (B, 1), from the flattened observation."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        n_actions = 1 + shape.n_names * shape.has_names
        self.body = perceptron(_flat_width(shape) + n_actions, shape.sizes, nn.ReLU)
        self.out = nn.Linear(shape.sizes[-1], 1)

    def forward(self, seen: Observation, action: Tensor) -> Tensor:
        said: Tensor = self.out(self.body(torch.cat([flat(seen), action], dim=1)))
        return said


ACTORS: Mapping[Kind, type[SharedActor] | type[FlatActor]] = {"shared": SharedActor, "mlp": FlatActor}
VALUES: Mapping[Kind, type[SharedValue] | type[FlatValue]] = {"shared": SharedValue, "mlp": FlatValue}
QUALITIES: Mapping[Kind, type[SharedQuality] | type[FlatQuality]] = {"shared": SharedQuality, "mlp": FlatQuality}


def perceptron(n_inputs: int, sizes: tuple[int, ...], activation: type[nn.Module]) -> nn.Sequential:
    """Linear layers of those widths, an activation behind each."""
    widths = (n_inputs, *sizes)
    pairs = zip(widths, sizes, strict=False)
    return nn.Sequential(*(part for before, after in pairs for part in (nn.Linear(before, after), activation())))


def flat(seen: Observation) -> Tensor:
    """(B, N F + M + N): rows name by name, the market, the mask."""
    return torch.cat([seen["assets"].flatten(1), seen["market"], seen["mask"]], dim=1)


def begin(network: nn.Module, heads: tuple[nn.Module, ...], head_gain: float) -> None:
    """Orthogonal weights of gain sqrt(2) and no biases; the heads' gain is `head_gain`: with 0, an actor's first action
    is zeros, which is equal weight, or the book."""
    for part in network.modules():
        if isinstance(part, nn.Linear):
            is_head = any(part is head for head in heads)
            nn.init.orthogonal_(part.weight, gain=head_gain if is_head else math.sqrt(2.0))
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def heads_of(network: nn.Module) -> tuple[nn.Module, ...]:
    """The last layers of a network."""
    return tuple(part for name, part in network.named_children() if name in HEADS)


def acting(seen: Observation, has_names: bool) -> Tensor:
    """(B, A) 1.0 for the numbers of an action that do anything: those of names that may be traded, and the whole's."""
    mask = seen["mask"]
    whole = torch.ones_like(mask[:, :1])
    return torch.cat([mask, whole], dim=1) if has_names else whole


def _flat_width(shape: Shape) -> int:
    return shape.n_names * (shape.n_inputs + 1) + shape.n_market
