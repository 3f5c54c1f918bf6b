"""A trained policy: plain arrays that turn an observation into an action, for any number of names. No torch in here.

It is the actor of `networks` alone, with the statistics that its inputs were normalised by, frozen. Where a seed's
network is trained belongs to `training`, where weights are made of actions to the environment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.fitted import Fitted

Singles = NDArray[np.float32]
#: "assets" (B, N, F), "market" (B, M), "mask" (B, N) 1.0 where a name may be bought or is held; or without B.
Seen = Mapping[str, Singles]
CLIP = 10.0
SCALING = ("names_mean", "names_scale", "market_mean", "market_scale")
#: A column that varied less than this while training says nothing, and is only centred.
LEAST_SPREAD = 1e-6


@dataclass(frozen=True, eq=False)
class Scaling:
    """How inputs are brought to unit size: clip((x - mean) / scale, -10, 10); rows of names out of the mask are 0.

    Args:
        names_mean, names_scale: (F,) of the names' columns.
        market_mean, market_scale: (M,).
    """

    names_mean: Floats
    names_scale: Floats
    market_mean: Floats
    market_scale: Floats

    @cached_property
    def _singles(self) -> tuple[Singles, Singles, Singles, Singles]:
        names, market = 1.0 / self.names_scale, 1.0 / self.market_scale
        parts = (names, -self.names_mean * names, market, -self.market_mean * market)
        first, second, third, fourth = (part.astype(np.float32) for part in parts)
        return first, second, third, fourth

    def applied(self, seen: Seen) -> dict[str, Singles]:
        """The observation as a network takes it."""
        names, names_shift, market, market_shift = self._singles
        rows = np.clip(seen["assets"] * names + names_shift, -CLIP, CLIP) * seen["mask"][..., None]
        whole = np.clip(seen["market"] * market + market_shift, -CLIP, CLIP)
        return {"assets": rows, "market": whole, "mask": seen["mask"]}

    def undone(self, seen: Seen) -> dict[str, Singles]:
        """The observation that `applied` gave this for, up to what was cut."""
        rows = (seen["assets"] * self.names_scale + self.names_mean) * seen["mask"][..., None]
        whole = seen["market"] * self.market_scale + self.market_mean
        return {"assets": rows.astype(np.float32), "market": whole.astype(np.float32), "mask": seen["mask"]}


def scale_of(variance: Floats) -> Floats:
    """Standard deviation by column, 1 where there is next to none."""
    spread = np.sqrt(np.maximum(variance, 0.0))
    return np.where(spread > LEAST_SPREAD, spread, 1.0)


@dataclass(frozen=True, eq=False)
class Policy:
    """One seed's policy.

    Args:
        agent: who trained it, for messages.
        arrays: the actor's parameters by the names of `networks`.
        scaling: of its inputs.
        asset_columns, market_columns: what an observation must hold, in this order.
        is_squashed: whether the action is tanh of what the network says, or that cut to [-1, 1].
        n_names: the number of names of an "mlp"; None for weights shared by any number of them.
    """

    agent: str
    arrays: Mapping[str, NDArray[np.float32]]
    scaling: Scaling
    asset_columns: tuple[str, ...]
    market_columns: tuple[str, ...]
    is_squashed: bool
    n_names: int | None

    def act(self, seen: Seen) -> Singles:
        """(B, A) actions in [-1, 1] of a batch of observations, or (A,) of one.

        Raises:
            DataError: other columns than it was trained on, or, for an "mlp", another number of names.
        """
        self._check(seen)
        is_one = seen["assets"].ndim == 2
        batch = {key: value[None] if is_one else value for key, value in seen.items()}
        said = _said(self.arrays, self.scaling.applied(batch))
        action = np.tanh(said) if self.is_squashed else np.clip(said, -1.0, 1.0)
        found: Singles = action[0] if is_one else action
        return found

    def require(self, asset_columns: Sequence[str], market_columns: Sequence[str], where: str) -> None:
        """Refuse observations of other columns.

        Raises:
            DataError: columns are absent, unknown or in another order; names them.
        """
        for what, own, given in (
            ("asset", self.asset_columns, tuple(asset_columns)),
            ("market", self.market_columns, tuple(market_columns)),
        ):
            if own == given:
                continue
            absent, unknown = (sorted(set(a) - set(b)) for a, b in ((own, given), (given, own)))
            told = f"absent {absent}, unknown {unknown}" if absent or unknown else f"order {given} instead of {own}"
            raise DataError(
                f"{where}: the policy of {self.agent} was trained on other {what} columns: {told}; give it the blocks "
                "it was trained on, or train it again on these."
            )

    def _check(self, seen: Seen) -> None:
        found = (seen["assets"].shape[-1], seen["market"].shape[-1])
        wanted = (len(self.asset_columns), len(self.market_columns))
        if found != wanted:
            raise DataError(
                f"policy of {self.agent}: an observation has {found[0]} columns a name and {found[1]} of the market, "
                f"wanted {wanted[0]} and {wanted[1]}: {', '.join((*self.asset_columns, *self.market_columns))}."
            )
        if self.n_names is not None and seen["mask"].shape[-1] != self.n_names:
            raise DataError(
                f"policy of {self.agent}: an observation has {seen['mask'].shape[-1]} names, this network of kind mlp "
                f"was trained on {self.n_names}; train one of kind shared, which takes any number."
            )


def policies_of(fitted: Fitted) -> tuple[Policy, ...]:
    """The policies of all seeds of what an agent's training left."""
    facts = fitted.manifest.facts
    n_assets = facts["n_asset_columns"]
    columns = fitted.manifest.columns
    found = []
    kind = fitted.manifest.kind
    for number in range(facts["n_seeds"]):
        prefix = f"seed{number}."
        own = {name.removeprefix(prefix): part for name, part in fitted.arrays.items() if name.startswith(prefix)}
        found.append(
            seed_policy(kind, own, columns[:n_assets], columns[n_assets:], facts["is_squashed"], facts["n_names"])
        )
    return tuple(found)


def seed_policy(
    agent: str,
    arrays: Mapping[str, NDArray[Any]],
    asset_columns: tuple[str, ...],
    market_columns: tuple[str, ...],
    is_squashed: bool,
    n_names: int | None,
) -> Policy:
    """A policy from a seed's arrays: the actor's, and `scaling.<part>`."""
    scaling = Scaling(*(arrays[f"scaling.{part}"] for part in SCALING))
    own = {name: part for name, part in arrays.items() if not name.startswith("scaling.")}
    return Policy(agent, own, scaling, asset_columns, market_columns, is_squashed, n_names)


def scaling_arrays(scaling: Scaling) -> dict[str, Floats]:
    """A scaling as a seed's arrays hold it."""
    return {f"scaling.{part}": np.asarray(getattr(scaling, part), dtype=np.float64) for part in SCALING}


def _said(arrays: Mapping[str, Singles], seen: Seen) -> Singles:
    """(B, A) what the actor of `networks` says: the same sums without torch."""
    if "out.weight" in arrays:
        return _said_flat(arrays, seen)
    rows, market, mask = seen["assets"], seen["market"], seen["mask"]
    share = (mask / np.maximum(mask.sum(axis=1, keepdims=True), 1.0))[:, None, :]  # (B, 1, N)
    mean = (share @ rows)[:, 0]
    layer = 0
    while f"body.layers.{layer}.own.weight" in arrays:
        own, bias = arrays[f"body.layers.{layer}.own.weight"], arrays[f"body.layers.{layer}.own.bias"]
        shared = np.concatenate([mean, market], axis=-1) @ arrays[f"body.layers.{layer}.pooled.weight"].T + bias
        rows = np.tanh(rows @ own.T + shared[:, None, :])
        mean = (share @ rows)[:, 0]
        layer += 1
    whole = mean @ arrays["whole.weight"].T + arrays["whole.bias"]  # (B, 1)
    if "names.weight" not in arrays:
        return np.asarray(whole, dtype=np.float32)
    names = (rows @ arrays["names.weight"].T)[..., 0] + arrays["names.bias"]
    return np.concatenate([names, whole], axis=1)


def _said_flat(arrays: Mapping[str, Singles], seen: Seen) -> Singles:
    batch = len(seen["mask"])
    state = np.concatenate([seen["assets"].reshape(batch, -1), seen["market"], seen["mask"]], axis=1)
    layer = 0
    while f"body.{layer}.weight" in arrays:
        state = np.tanh(state @ arrays[f"body.{layer}.weight"].T + arrays[f"body.{layer}.bias"])
        layer += 2  # activations lie between
    return np.asarray(state @ arrays["out.weight"].T + arrays["out.bias"], dtype=np.float32)
