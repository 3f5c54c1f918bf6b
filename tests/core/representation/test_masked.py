"""What the masked network may see and what its loss counts."""

import pytest
import torch
from markets import SMALL

from quant_core.errors import DataError
from quant_core.nn.masked import MaskedEncoder, copied, hidden_patches, masked, reconstruction_error
from quant_core.nn.patches import to_patches
from quant_core.nn.shapes import EncoderConfig
from quant_core.representation import MaskedEncoderConfig
from quant_core.representation.masked_encoder import input_columns

SHAPE = EncoderConfig(8, 2, 1, 16, 0.0, "mean")


def network() -> MaskedEncoder:
    """With a head that says something: a new one says the mean alone."""
    torch.manual_seed(0)
    model = MaskedEncoder(n_inputs=2, patch_size=3, config=SHAPE)
    model.reconstruct.reset_parameters()
    return model


def test_a_network_that_has_learned_nothing_says_the_mean_of_every_channel() -> None:
    model = MaskedEncoder(n_inputs=2, patch_size=3, config=SHAPE)
    model.begin_at(torch.tensor([5.0, 7.0]))
    said = model(torch.randn(2, 6, 2), torch.tensor([[True, False], [False, True]]))
    assert said.tolist() == [[[5, 7, 5, 7, 5, 7]] * 2] * 2


def test_only_hidden_and_known_values_count_in_the_error() -> None:
    true = torch.randn(2, 4, 6, requires_grad=True)
    said = torch.randn(2, 4, 6, requires_grad=True)
    hidden = torch.tensor([[True, False, False, True], [False, True, False, False]])
    known = torch.ones(2, 4, 6, dtype=torch.bool)
    known[0, 0, :5] = False
    error, count = reconstruction_error(said, true, known, hidden)
    assert count == 1 + 6 + 6
    by_hand = (said - true)[0, 0, 5] ** 2 + ((said - true)[0, 3] ** 2).sum() + ((said - true)[1, 1] ** 2).sum()
    assert error.item() == pytest.approx(by_hand.item(), rel=1e-6)
    error.backward()
    counted = (known & hidden.unsqueeze(-1)).float()
    for values in (true, said):
        assert torch.equal(values.grad != 0.0, counted.bool())


def test_a_hidden_patch_is_not_looked_at_and_a_shown_one_is() -> None:
    model, x = network(), torch.randn(1, 12, 2)
    hidden = torch.tensor([[False, True, False, False]])
    before, other = model(x, hidden), x.clone()
    other[0, 3:6] = 100.0
    assert torch.equal(model(other, hidden), before)
    other[0, 0] = 100.0
    assert not torch.allclose(model(other, hidden), before)


def test_the_mask_token_stands_for_hidden_patches_and_learns_from_them_alone() -> None:
    model, x = network(), torch.randn(3, 12, 2)
    for hidden, learns in ((torch.zeros(3, 4, dtype=torch.bool), False), (torch.ones(3, 4, dtype=torch.bool), True)):
        model.zero_grad()
        model(x, hidden).square().sum().backward()
        assert (model.mask_token.grad.abs().sum() > 0.0) == learns
    with torch.no_grad():
        model.mask_token += torch.arange(8.0)
    hidden = torch.tensor([[False, True, False, False]]).expand(3, -1)
    assert not torch.allclose(model(x, hidden)[:, 0], network()(x, hidden)[:, 0])


def test_values_that_are_not_known_are_zeros_that_never_count() -> None:
    windows = torch.ones(1, 6, 2)
    windows[0, 0] = torch.nan
    part = masked(windows, 3, torch.tensor([[True, True]]))
    assert part.values[0, 0].tolist() == [0.0, 0.0]
    assert part.known[0].tolist() == [[False, False, True, True, True, True], [True] * 6]
    _, count = reconstruction_error(part.values.reshape(1, 2, 6), to_patches(part.values, 3), part.known, part.hidden)
    assert count == 10


@pytest.mark.parametrize(("count", "share", "wanted"), [(12, 0.4, 5), (4, 0.01, 1), (4, 0.99, 3), (2, 0.5, 1)])
def test_the_share_of_hidden_patches_is_the_same_in_every_window_and_each_is_hidden_as_often(
    count: int, share: float, wanted: int
) -> None:
    hidden = hidden_patches(4_000, count, share, torch.Generator().manual_seed(1))
    assert (hidden.sum(dim=1) == wanted).all()
    assert (hidden.float().mean(dim=0) - wanted / count).abs().max() < 0.04


def test_copying_takes_the_newest_shown_patch_before_or_the_oldest_shown_one() -> None:
    true = torch.arange(5.0).view(1, 5, 1).expand(2, -1, -1)
    hidden = torch.tensor([[True, False, True, True, False], [False, False, True, False, True]])
    assert copied(true, hidden).squeeze(-1).tolist() == [[1, 1, 1, 1, 4], [0, 1, 1, 3, 3]]


def test_one_day_channels_are_read_and_rolling_ones_are_not() -> None:
    import polars as pl

    schema = dict.fromkeys(("date", "channel_gap_1d", "channel_volatility_1d", "momentum_21d"), pl.Float64())
    assert input_columns(schema) == ("channel_gap_1d",)
    with pytest.raises(DataError, match="enable the feature daily_channels"):
        input_columns({"momentum_21d": pl.Float64()})


@pytest.mark.parametrize(
    "setting",
    [
        {"sequence_sessions": 21}, {"sequence_sessions": 4}, {"patch_size": 0}, {"mask_ratio": 1.0}, {"d_model": 15},
        {"dropout": 1.0}, {"positions": "none"}, {"validation_share": 0.0}, {"seed": -1}, {"epochs": 0}, {"heads": 0},
    ],
)  # fmt: skip
def test_settings_that_no_encoder_takes_are_refused_by_name(setting: dict[str, object]) -> None:
    with pytest.raises(DataError, match="wanted"):
        MaskedEncoderConfig(**(SMALL | setting))
