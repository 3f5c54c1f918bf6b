"""The settings of every network forecaster, and what a network may use. torch is not imported here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from quant_core.errors import DataError
from quant_core.forecasting.inputs import KINDS, Kind
from quant_core.forecasting.model import ForecasterConfig
from quant_core.forecasting.sequences import Sizes
from quant_core.nn.settings import TrainingSettings
from quant_core.runtime import Resources

if TYPE_CHECKING:
    from torch import nn

#: (config, widths) -> a module that maps the parts of a Batch to a state (B, d_model).
Body = Callable[[Any, Sizes], "nn.Module"]
StopOn = Literal["rank_ic", "loss", "never"]
Attribution = Literal["none", "integrated_gradients"]

#: Of the losses beside the score's.
FURTHER_WEIGHTS = ("distribution_weight", "direction_weight", "volatility_weight", "quantile_weight")
RESOURCES = Resources(gpu=True, cpu_cores=2, memory_gib=6)


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
            ("further_horizons", min(self.horizons) >= 1, "horizons of at least 1 session"),
            ("d_model", self.d_model >= 1, "at least 1"),
            ("n_seeds", self.n_seeds >= 1, "at least 1"),
            ("validation_share", 0.0 < self.validation_share < 1.0, "a share in (0, 1)"),
            ("stop_on", self.stop_on in get_args(StopOn), f"one of {get_args(StopOn)}"),
            ("attribution", self.attribution in get_args(Attribution), f"one of {get_args(Attribution)}"),
            ("score_weight", self.score_weight > 0.0, "a weight above 0: the score is what is ranked"),
            *((name, getattr(self, name) >= 0.0, "a weight of at least 0") for name in FURTHER_WEIGHTS),
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
