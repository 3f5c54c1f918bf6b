"""One step of an optimiser: precision, accumulation, processes, clipping, and a stop before a bad number spreads."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from quant_core.errors import DataError
from quant_core.nn.optimisers import set_rate, trained_parameters
from quant_core.nn.processes import Place, add_up, shard

Losses = Callable[[Tensor], Mapping[str, Tensor]]


class Told(nn.Module):
    """The losses of rows as a module that owns the network, so that torch's wrappers see its parameters."""

    def __init__(self, network: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.network, self.losses = network, losses

    def forward(self, rows: Tensor) -> Mapping[str, Tensor]:
        return self.losses(rows)


def _shared(network: nn.Module, losses: Losses) -> DistributedDataParallel:
    return DistributedDataParallel(Told(network, losses), find_unused_parameters=True)


class Stepper:
    """A network on its way down.

    Args:
        losses: int64 rows (B,) -> scalars, always of the same names: "loss", the mean over the rows that is minimised,
            and parts of it.
        dtype: of matrix products; float32 is no mixed precision.
        clip_norm: largest norm of all gradients together.
        parts: pieces in which a step's rows are computed, one after the other; the step is the same up to rounding.
    """

    def __init__(
        self,
        network: nn.Module,
        losses: Losses,
        optimiser: torch.optim.Optimizer,
        place: Place,
        dtype: torch.dtype = torch.float32,
        clip_norm: float = math.inf,
        parts: int = 1,
    ) -> None:
        self.optimiser, self.place, self.dtype, self.clip_norm, self.parts = optimiser, place, dtype, clip_norm, parts
        self.parameters = trained_parameters(optimiser)
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=dtype == torch.float16)
        self.shared = _shared(network, losses) if place.world > 1 else None
        self.losses: Losses = self.shared or losses
        self.names: list[str] = []

    def step(self, rows: Tensor, rate: float, where: str) -> list[float]:
        """Change the weights by one step at learning rate `rate`; the losses of `rows`, by `names`.

        Args:
            where: names the step in an error.
        Raises:
            DataError: a loss or a gradient is no finite number; the weights are as they were.
        """
        self.optimiser.zero_grad(set_to_none=True)
        sums = self._backward(rows)
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip_norm, foreach=True)
        values: list[float] = add_up(sums, self.place).tolist()
        self._refuse(values[0], float(norm), f"{where}, learning rate {rate:.3g}")
        set_rate(self.optimiser, rate)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return values

    def _backward(self, rows: Tensor) -> Tensor:
        """Gradients of the mean loss over all `rows`; this process's share of the sums of the losses, (names,)."""
        pieces, sums = shard(rows, self.place, self.parts), torch.zeros(1, device=self.place.device)
        for n, piece in enumerate(pieces):
            weight = len(piece) / len(rows)
            with self._quiet(n + 1 < len(pieces)):
                with self._autocast():
                    told = self.losses(piece)
                share = weight * self.place.world  # of the mean over processes that they make of their gradients
                self.scaler.scale(told["loss"] if share == 1.0 else told["loss"] * share).backward()
            self.names = self.names or ["loss", *(name for name in told if name != "loss")]
            sums = sums + weight * torch.stack([told[name].detach().float() for name in self.names])
        return sums

    def _autocast(self) -> AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.place.device.type, self.dtype)

    def _quiet(self, more_to_come: bool) -> AbstractContextManager[object]:
        """Processes exchange gradients with a step's last piece only."""
        return self.shared.no_sync() if self.shared is not None and more_to_come else nullcontext()

    def _refuse(self, loss: float, norm: float, where: str) -> None:
        """A scaled gradient may overflow: the scaler leaves that step out, lowers its scale and goes on."""
        overflows = self.scaler.is_enabled() and self.scaler.get_scale() >= 1.0
        if math.isfinite(loss) and (math.isfinite(norm) or overflows):
            return
        raise DataError(
            f"training: {where}: loss {loss}, norm of the gradients {norm}; wanted finite numbers. Lower "
            "learning_rate, check the inputs for values that are not finite or huge, or set precision to 'fp32'."
        )
