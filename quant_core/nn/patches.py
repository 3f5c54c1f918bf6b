"""Windows as patches of consecutive sessions, aligned to the newest row: a token is a week, not a day.

Source: Nie et al., A Time Series is Worth 64 Words (2023).
"""

from typing import TYPE_CHECKING

from quant_core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


def n_patches(sessions: int, patch_size: int) -> int:
    """Whole patches that a window holds.

    Raises:
        DataError: not even one.
    """
    if not 1 <= patch_size <= sessions:
        raise DataError(f"patches: {patch_size} sessions a patch in a window of {sessions}; wanted 1 to {sessions}.")
    return sessions // patch_size


def to_patches(x: "Tensor", patch_size: int) -> "Tensor":
    """(B, T, F) -> (B, P, patch_size * F), P = floor(T / patch_size): the last patch ends on the newest session.

    Where the length is no multiple of the patch, the oldest sessions are dropped. A patch lists its sessions one after
    another, each with its F inputs.
    """
    batch, length, width = x.shape
    count = n_patches(length, patch_size)
    return x[:, length - count * patch_size :].reshape(batch, count, patch_size * width)
