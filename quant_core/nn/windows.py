"""Windows of a name's last sessions, gathered from one resident tensor: none is copied before it is asked for.

Consecutive sessions of a name lie side by side in memory, so a window is one contiguous piece. Seen as a matrix with a
row for every place where a window may start (each row overlaps the next one), a batch is a single `index_select`.
"""

from copy import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from quant_core.errors import DataError


class Windows:
    """The `length` sessions that end on a day, for any names and days.

    Args:
        values: (N names, T sessions, F inputs), float32, on the device that trains; copied once, with `length` - 1
            sessions of zeros in front of every name.
        length: L, sessions of a window, its last day included.
    Raises:
        DataError: a shape or dtype other than that, or a length below 1.
    """

    def __init__(self, values: Tensor, length: int) -> None:
        if values.ndim != 3 or values.dtype != torch.float32 or 0 in values.shape or length < 1:
            raise DataError(
                f"windows: values are {values.dtype} {tuple(values.shape)} and length is {length}; wanted float32 "
                "(names, sessions, inputs), none of them 0, and a length of at least 1."
            )
        self.n_names, self.n_days, self.n_inputs = values.shape
        self.length = length
        padded = F.pad(values, (0, 0, length - 1, 0)).contiguous()  # (N, T, F) -> (N, L - 1 + T, F)
        self._pitch = self.n_days + length - 1
        n_starts = self.n_names * self._pitch - length + 1
        self._starts = padded.view(-1).as_strided((n_starts, length * self.n_inputs), (self.n_inputs, 1))

    @property
    def device(self) -> torch.device:
        """Where the values lie; names and days that are asked for lie there too."""
        return self._starts.device

    def to(self, device: torch.device) -> "Windows":
        """The same windows on another device; themselves where they lie there already."""
        if device == self.device:
            return self
        there = copy(self)
        flat = self._starts.as_strided((self.n_names * self._pitch * self.n_inputs,), (1,)).to(device)
        there._starts = flat.as_strided(self._starts.shape, self._starts.stride())
        return there

    def at(self, name: Tensor, day: Tensor, out: Tensor | None = None) -> Tensor:
        """Windows of `name` that end on `day`, oldest session first: (B,), (B,) -> (B, L, F).

        Sessions before the first one are zeros. A window that starts on padded session `day` ends on session `day`.

        Args:
            name, day: int64 positions in the names and sessions of `values`, on its device; a negative one is an error.
            out: float32 (B, L, F) to write into; a CPU spends more time on fresh memory than on the copy itself. Free
                again once the gradients of what was computed from it are known.
        Raises:
            DataError: a name or a day that does not exist (on a CPU; a GPU is not made to wait for the question).
        """
        if self.device.type == "cpu":
            self._check(name, day)
        start = name * self._pitch + day
        flat = None if out is None else out.view(len(start), -1)
        picked = torch.index_select(self._starts, 0, start, out=flat)  # (B, L * F)
        return picked.view(len(start), self.length, self.n_inputs)

    def _check(self, name: Tensor, day: Tensor) -> None:
        for what, asked, size in (("name", name, self.n_names), ("day", day, self.n_days)):
            if not len(asked):
                continue
            first, last = int(asked.min()), int(asked.max())
            if first < 0 or last >= size:
                raise DataError(
                    f"windows: {what}s {first} to {last} were asked for; wanted 0 to {size - 1}: positions in the "
                    "tensor that the windows were made from."
                )
