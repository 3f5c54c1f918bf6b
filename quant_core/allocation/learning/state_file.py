"""What a killed training of an agent goes on from: one safetensors file a seed, replaced whole. Never pickle.

SB3's own archives hold pickled objects, so they are neither written nor read. Random numbers are not among what is
kept: everything from one evaluation to the next is drawn from (seed, number of the evaluation).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from quant_core.errors import DataError
from quant_core.fitted import digest_of, replace_file

FORMAT = 1


@dataclass(frozen=True, eq=False)
class State:
    """A training after an evaluation: arrays by name, and plain facts as JSON has them."""

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays whose names begin with `prefix` and a dot, by what follows."""
        start = f"{prefix}."
        return {name.removeprefix(start): value for name, value in self.arrays.items() if name.startswith(start)}


def write_state(path: Path, state: State, fingerprint: str) -> None:
    """Replace the file whole or leave it as it is.

    Raises:
        DataError: it cannot be written; the former one is still there.
    """
    plain = {name: np.array(value, order="C") for name, value in state.arrays.items()}
    about = {"format": FORMAT, "fingerprint": fingerprint, "digest": digest_of(plain).hexdigest(), **state.facts}
    try:
        replace_file(path, save(plain, {"facts": json.dumps(about)}))
    except OSError as error:
        raise DataError(
            f"{path}: the checkpoint cannot be written ({error}); free disk space or correct the folder, then start "
            "again: training goes on after the last evaluation written."
        ) from error


def read_state(path: Path, fingerprint: str) -> State | None:
    """What `write_state` left; None where there is no file.

    Raises:
        DataError: the file is damaged, of another format, or of another training.
    """
    if not path.exists():
        return None
    remedy = "delete it, and training begins at the first step."
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if facts.pop("digest") != digest_of(arrays).hexdigest():
            raise ValueError("its content is not what was written")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); {remedy}") from error
    for what, wanted in (("format", FORMAT), ("fingerprint", fingerprint)):
        found = facts.pop(what, None)
        if found != wanted:
            raise DataError(f"{path}: {what} is {found!r}, wanted {wanted!r}; {remedy}")
    return State(arrays, facts)
