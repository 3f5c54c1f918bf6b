"""Settings of the masked encoder, what it reads, and the network behind an artifact. torch is imported by functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from quant_core.errors import DataError
from quant_core.fitted import Fitted
from quant_core.nn.settings import TrainingSettings
from quant_core.nn.shapes import EncoderConfig, Positions
from quant_core.schema import CHANNEL_PREFIX

if TYPE_CHECKING:
    from quant_core.nn.masked import MaskedEncoder

#: Channels of more than one day: a hidden week could be read off the weeks around it.
ROLLING = ("channel_volatility_1d",)


@dataclass(frozen=True)
class MaskedEncoderConfig(TrainingSettings):
    """Settings of the masked encoder, beside those of training.

    Args:
        sequence_sessions: sessions of a window, the row's own included; a multiple of `patch_size`.
        patch_size: sessions of a patch; 5 is a week.
        mask_ratio: share of a window's patches that is hidden.
        d_model: width of a token and of an embedding, a multiple of `heads`.
        positions: "sinusoidal" or "rotary".
        validation_share: share of the window's dates, the newest, on which training is stopped.
        seed: of weights, rows and masks; the same seed gives the same fit.
    """

    sequence_sessions: int = 60
    patch_size: int = 5
    mask_ratio: float = 0.4
    d_model: int = 128
    heads: int = 8
    layers: int = 4
    feed_forward: int = 512
    dropout: float = 0.1
    positions: Positions = "sinusoidal"
    validation_share: float = 0.2
    seed: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shape()
        whole = self.patch_size >= 1 and self.sequence_sessions % self.patch_size == 0
        for setting, good, wanted in (
            ("patch_size", self.patch_size >= 1, "1 session or more"),
            ("sequence_sessions", whole and self.patches >= 2, f"2 or more patches of {self.patch_size} sessions"),
            ("mask_ratio", 0.0 < self.mask_ratio < 1.0, "a share in (0, 1)"),
            ("validation_share", 0.0 < self.validation_share < 1.0, "a share in (0, 1)"),
            ("seed", 0 <= self.seed < 2**32, "0 to 2^32 - 1"),
        ):
            if not good:
                raise DataError(f"encoder: {setting} is {getattr(self, setting)!r}; wanted {wanted}.")

    def shape(self) -> EncoderConfig:
        """Of the network's layers.

        Raises:
            DataError: no network has it.
        """
        return EncoderConfig(
            self.d_model, self.heads, self.layers, self.feed_forward, self.dropout, "mean", self.positions
        )

    @property
    def patches(self) -> int:
        """Patches of a window."""
        return self.sequence_sessions // self.patch_size

    @property
    def context_sessions(self) -> int:
        """Sessions before a row that its window holds."""
        return self.sequence_sessions - 1


def input_columns(schema: Mapping[str, pl.DataType]) -> tuple[str, ...]:
    """The one-day channels of a features table, in its order.

    Raises:
        DataError: there is none.
    """
    found = tuple(name for name in schema if name.startswith(CHANNEL_PREFIX) and name not in ROLLING)
    if not found:
        raise DataError(f"encoder: the features have no {CHANNEL_PREFIX}* column; enable the feature daily_channels.")
    return found


def new_network(config: MaskedEncoderConfig, n_inputs: int) -> "MaskedEncoder":
    """A new network of the settings' seed; the global random state stays as it was."""
    import torch

    from quant_core.nn.masked import MaskedEncoder

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return MaskedEncoder(n_inputs, config.patch_size, config.shape())


def config_of(fitted: Fitted) -> MaskedEncoderConfig:
    """The settings that an encoder was fitted with."""
    return MaskedEncoderConfig(**fitted.manifest.config)


def loaded(fitted: Fitted) -> "MaskedEncoder":
    """The network of an artifact, in eval mode, on the CPU."""
    import torch

    network = new_network(config_of(fitted), len(fitted.manifest.columns))
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in fitted.arrays.items()})
    return network.eval()
