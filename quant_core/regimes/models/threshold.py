"""Volatility above quantiles of the fit window: what every other method has to beat."""

from dataclasses import dataclass

import numpy as np

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.regimes.filtering import memoryless
from quant_core.regimes.model import METHODS, Arrays, Method, MethodConfig
from quant_core.regimes.sound import check_rows, check_states


@dataclass(frozen=True)
class ThresholdConfig(MethodConfig):
    """Settings of the threshold, beside those of every method; one input only.

    Args:
        quantiles: of the fit window, ascending; a state more than there are of them. `n_states` is not read.
    """

    columns: tuple[str, ...] = ("log_volatility_21d",)
    n_states: int | None = None
    quantiles: tuple[float, ...] = (0.5, 0.9)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "quantiles", tuple(self.quantiles))
        ascending = list(self.quantiles) == sorted(set(self.quantiles))
        if not self.quantiles or not ascending or not all(0.0 < q < 1.0 for q in self.quantiles):
            raise DataError(f"threshold: quantiles is {self.quantiles!r}; wanted ascending shares between 0 and 1.")


def fit(rows: Floats, config: ThresholdConfig, seed: int) -> Arrays:
    """Returns `cuts`, of which a value reaches as many as its state's number, and `usual`, the states' shares.

    Raises:
        DataError: more than one input, or a state that hardly occurs as many values are equal.
    """
    check_rows(rows)
    if rows.shape[1] != 1:
        raise DataError(f"{rows.shape[1]} inputs; wanted one, as a volatility; set columns or components: 1.")
    cuts = np.quantile(rows[:, 0], config.quantiles)
    sessions = _said(cuts, rows).sum(axis=0)
    check_states(sessions, len(rows), 0.0)
    return {"cuts": cuts, "usual": sessions / len(rows)}


def filter(arrays: Arrays, rows: Floats, state: Floats | None) -> tuple[Floats, Floats]:
    """Probability 1 of the state whose bounds the value lies in."""
    return memoryless(lambda known: _said(arrays["cuts"], known), rows, state, arrays["usual"])


def _said(cuts: Floats, rows: Floats) -> Floats:
    return np.eye(len(cuts) + 1)[np.searchsorted(cuts, rows[:, 0], side="right")]


METHODS.register("threshold")(
    Method("threshold", ThresholdConfig, fit, filter, summary="Volatility above quantiles of the fit window.")
)
