"""Windows against slices, one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.nn.windows import Windows


def sliced(values: torch.Tensor, length: int, name: int, day: int) -> torch.Tensor:
    """The window by its definition: one session after the other."""
    rows = [values[name, t] if t >= 0 else torch.zeros(values.shape[2]) for t in range(day - length + 1, day + 1)]
    return torch.stack(rows)


def test_a_window_is_the_last_sessions_oldest_first_with_zeros_before_the_first_one() -> None:
    values = torch.arange(1.0, 13.0).view(2, 3, 2)  # name 0: (1 2) (3 4) (5 6); name 1: (7 8) (9 10) (11 12)
    found = Windows(values, 2).at(torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]))
    assert found.tolist() == [[[3, 4], [5, 6]], [[0, 0], [7, 8]], [[7, 8], [9, 10]]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 3), st.integers(1, 12), st.integers(0, 10**6))
def test_every_window_is_the_slice_that_ends_on_its_day(
    n_names: int, n_days: int, n_inputs: int, length: int, seed: int
) -> None:
    values = torch.randn(n_names, n_days, n_inputs, generator=torch.Generator().manual_seed(seed))
    before = values.clone()
    name, day = (grid.flatten() for grid in torch.meshgrid(torch.arange(n_names), torch.arange(n_days), indexing="ij"))
    found = Windows(values, length).at(name, day)
    expected = torch.stack([sliced(values, length, int(n), int(d)) for n, d in zip(name, day, strict=True)])
    assert torch.equal(found, expected)
    assert torch.equal(values, before)


def test_a_window_does_not_see_the_days_after_its_own() -> None:
    values = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0))
    later = values.clone()
    later[:, 11:] = torch.nan
    name, day = torch.tensor([0, 1, 2]), torch.tensor([10, 10, 3])
    assert torch.equal(Windows(values, 8).at(name, day), Windows(later, 8).at(name, day))


def test_values_that_are_a_view_or_change_afterwards_make_no_difference() -> None:
    values = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)).transpose(0, 1)  # not contiguous
    windows, kept = Windows(values, 3), values.clone()
    values.zero_()
    assert torch.equal(windows.at(torch.tensor([4]), torch.tensor([3]))[0], sliced(kept, 3, 4, 3))


def test_windows_are_written_into_memory_that_is_given() -> None:
    windows = Windows(torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(0)), 4)
    name, day, memory = torch.tensor([2, 0]), torch.tensor([8, 1]), torch.full((2, 4, 2), torch.nan)
    found = windows.at(name, day, memory)
    assert found.data_ptr() == memory.data_ptr()
    assert torch.equal(memory, windows.at(name, day))


def test_no_window_is_asked_for_and_none_comes() -> None:
    nothing = torch.empty(0, dtype=torch.int64)
    assert Windows(torch.ones(2, 3, 4), 5).at(nothing, nothing).shape == (0, 5, 4)


@pytest.mark.parametrize(
    ("name", "day", "said"), [(2, 0, "names 2"), (-1, 0, "names -1"), (0, 3, "days 3"), (0, -1, "days -1")]
)
def test_a_name_or_day_that_does_not_exist_is_refused(name: int, day: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Windows(torch.ones(2, 3, 1), 2).at(torch.tensor([name]), torch.tensor([day]))


@pytest.mark.parametrize(
    ("values", "length"),
    [(torch.ones(2, 3), 1), (torch.ones(2, 3, 4).double(), 1), (torch.ones(2, 3, 4), 0), (torch.ones(2, 0, 4), 1)],
)
def test_other_shapes_are_refused(values: torch.Tensor, length: int) -> None:
    with pytest.raises(DataError, match="wanted float32"):
        Windows(values, length)
