"""Patches by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.nn.patches import n_patches, to_patches


def test_patches_end_on_the_newest_session_and_the_oldest_sessions_are_dropped() -> None:
    x = torch.arange(14.0).view(1, 7, 2)  # sessions (0 1) (2 3) ... (12 13), the newest last
    patches = to_patches(x, 3)
    assert patches.tolist() == [[[2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13]]]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 4), st.integers(1, 20))
def test_patches_are_the_newest_part_of_the_window(batch: int, length: int, width: int, size: int) -> None:
    if size > length:
        with pytest.raises(DataError, match="patches"):
            n_patches(length, size)
        return
    x = torch.randn(batch, length, width, generator=torch.Generator().manual_seed(length))
    back = to_patches(x, size).reshape(batch, -1, width)
    assert back.shape[1] == n_patches(length, size) * size
    assert torch.equal(back, x[:, length - back.shape[1] :])
