"""What a regime method is: settings, a fit on the rows before a fold, a filter that goes on from where the fit ended.

A method sees standardised rows, one a session, and knows states by number; names, scaling and tables are made around it
(`naming`, `inputs`, `fit`, `table`). Its filter is causal by construction: the probabilities of a session follow from
the state after the session before and from that session's own row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.registry import Registry

#: What a fit leaves, by name; plain arrays only.
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class MethodConfig:
    """Settings that every method has; a subclass replaces their defaults.

    Args:
        columns: inputs of `inputs.INPUT_COLUMNS` that it reads; one that lacks more than `max_null_share` of the fit
            window's sessions is left out. Ignored where the source is the embeddings.
        n_states: None chooses among `candidates` by the method's own criterion.
        candidates: numbers of states to choose from.
        components: principal components that replace the inputs; None for the inputs themselves. Embeddings are always
            reduced, to 10 where this is None.
        clip_sigma: standardised inputs are cut at so many standard deviations, in fit and filter alike: a handful of
            wild days would else draw a state of their own, and a crisis would be those days alone.
        max_null_share: see `columns`.
    """

    columns: tuple[str, ...] = ("return_1d",)
    n_states: int | None = 4
    candidates: tuple[int, ...] = (3, 4, 5)
    components: int | None = None
    clip_sigma: float = 5.0
    max_null_share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("columns", "candidates"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        states = self.candidates if self.n_states is None else (self.n_states,)
        for setting, good, wanted in (
            ("columns", 0 < len(set(self.columns)) == len(self.columns), "distinct names, at least one"),
            ("n_states", bool(states) and all(2 <= n <= 10 for n in states), "2 to 10 states"),
            ("components", self.components is None or self.components >= 1, "at least 1, or None"),
            ("clip_sigma", self.clip_sigma >= 1.0, "at least 1; a large number cuts nothing"),
            ("max_null_share", 0.0 <= self.max_null_share < 1.0, "a share in [0, 1)"),
        ):
            if not good:
                value = self.candidates if setting == "n_states" and self.n_states is None else getattr(self, setting)
                raise DataError(f"regime_model: {setting} is {value!r}; wanted {wanted}.")


@dataclass(frozen=True)
class Method:
    """A regime method as the registry knows it.

    Args:
        name: as in settings and tables.
        config_class: frozen dataclass of settings, a MethodConfig.
        fit: ((T, F) float64 rows without NaN, oldest first, standardised; config; seed) -> arrays. Equal input, equal
            bytes. Raises DataError, naming what was wrong, where the states are degenerate or the rows too few.
        filter: (arrays, (S, F) rows, state) -> ((S, K) probabilities, state after the last row). A row with a NaN is a
            session without an observation. `state` is what the filter itself returned after the session before, or
            None before the first session of the fit window. Row by row and all at once give the same bits, whatever
            follows.
        smooth: (arrays, (S, F) rows) -> (S, K) probabilities given all rows, for charts only; None where a method
            knows no more of the past by the future.
        has_noise: its last state is "none of the others", always named Transition.
        summary: one sentence.
    """

    name: str
    config_class: type[Any]
    fit: Callable[[Floats, Any, int], Arrays]
    filter: Callable[[Arrays, Floats, Floats | None], tuple[Floats, Floats]]
    smooth: Callable[[Arrays, Floats], Floats] | None = None
    has_noise: bool = False
    summary: str = ""


METHODS: Registry[Method] = Registry("regime method", "quant_core.regimes.models")
