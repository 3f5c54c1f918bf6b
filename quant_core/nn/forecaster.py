"""A body that makes a state of a window, and the heads that say what follows from it."""

from torch import Tensor, nn

from quant_core.nn.heads import DistributionKind, Heads, Said


class Forecaster(nn.Module):
    """(past, known, static) -> Said.

    Args:
        body: maps the parts of a batch to a state (B, width).
    """

    def __init__(
        self, body: nn.Module, width: int, n_horizons: int, distribution: DistributionKind, levels: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.body = body
        self.heads = Heads(width, n_horizons, distribution, levels)

    def forward(self, past: Tensor, known: Tensor, static: Tensor) -> Said:
        """(B, L, F), (B, L + K, C), (B, S) -> Said of B rows."""
        said: Said = self.heads(self.body(past, known, static))
        return said


class PastOnly(nn.Module):
    """A network of the past inputs alone, with a place for those that it does not read."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, past: Tensor, known: Tensor, static: Tensor) -> Tensor:
        """(B, L, F) -> (B, D)."""
        state: Tensor = self.network(past)
        return state
