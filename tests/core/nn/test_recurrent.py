"""Recurrent networks against torch's cells, session by session."""

import pytest
import torch
from torch import nn

from quant_core.errors import DataError
from quant_core.nn.recurrent import GRU, EncoderDecoder, GRUConfig, remember


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_a_gru_is_its_cell_stepped_through_the_window() -> None:
    own, x = GRU(3, GRUConfig(d_model=5, layers=2, dropout=0.0)), torch.randn(4, 6, 3)
    cells = [nn.GRUCell(3, 5), nn.GRUCell(5, 5)]
    for layer, cell in enumerate(cells):
        cell.load_state_dict({name: getattr(own.gru, f"{name}_l{layer}") for name in cell.state_dict()})
    states = [torch.zeros(4, 5), torch.zeros(4, 5)]
    for t in range(6):
        states[0] = cells[0](x[:, t], states[0])
        states[1] = cells[1](states[0], states[1])
    torch.testing.assert_close(own(x), states[1], atol=1e-6, rtol=1e-5)


def test_a_normed_gru_says_the_layer_norm_of_its_state() -> None:
    own, x = GRU(3, GRUConfig(d_model=5, layers=1, is_normed=True)).eval(), torch.randn(4, 6, 3)
    state = own.gru(x)[0][:, -1]
    spread = state.var(dim=-1, keepdim=True, correction=0)
    torch.testing.assert_close(own(x), (state - state.mean(dim=-1, keepdim=True)) / (spread + 1e-5).sqrt())


def test_dropout_acts_in_training_alone() -> None:
    own, x = GRU(3, GRUConfig(d_model=32, layers=2, dropout=0.5)), torch.randn(4, 6, 3)
    assert (own(x) == 0.0).float().mean() == pytest.approx(0.5, abs=0.15)
    own.eval()
    torch.testing.assert_close(own(x), own(x))
    assert (own(x) != 0.0).all()


@pytest.mark.parametrize("layers", [1, 2])
def test_the_decoder_goes_on_where_the_encoder_ended(layers: int) -> None:
    own = EncoderDecoder(4, layers).eval()
    own.decoder.load_state_dict(own.encoder.state_dict())
    past, future, hidden, cell = (torch.randn(*shape) for shape in ((2, 5, 4), (2, 3, 4), (2, 4), (2, 4)))
    begin = (hidden.repeat(layers, 1, 1), cell.repeat(layers, 1, 1))
    whole, _ = own.encoder(torch.cat([past, future], dim=1), begin)
    torch.testing.assert_close(own(past, future, hidden, cell), whole, atol=1e-6, rtol=1e-5)


def test_an_encoder_begins_in_the_given_state() -> None:
    own, cell = EncoderDecoder(4), nn.LSTMCell(4, 4)
    cell.load_state_dict({name: getattr(own.encoder, f"{name}_l0") for name in cell.state_dict()})
    past, future, hidden, memory = (torch.randn(*shape) for shape in ((2, 1, 4), (2, 1, 4), (2, 4), (2, 4)))
    first, _ = cell(past[:, 0], (hidden, memory))
    torch.testing.assert_close(own(past, future, hidden, memory)[:, 0], first, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_units_begin_with_memories_from_one_session_to_the_longest(kind: type[nn.GRU] | type[nn.LSTM]) -> None:
    network = kind(3, 200, num_layers=2)
    remember(network, 40)
    for value in network.all_weights:
        value[0].data.zero_()  # of inputs and states: biases alone are left
        value[1].data.zero_()
    biases = network.bias_ih_l1 + network.bias_hh_l1
    memory = biases[200:400].exp()
    assert 1.0 <= memory.min() < 5.0 < 36.0 < memory.max() <= 40.0
    begin = torch.ones(2, 1, 200)
    if isinstance(network, nn.LSTM):
        _, (_, end) = network(torch.zeros(10, 1, 3), (begin, begin))
        fed = biases[:200].sigmoid() * biases[400:600].tanh()
    else:
        _, end = network(torch.zeros(10, 1, 3), begin)
        reset = biases[:200].sigmoid()  # of what the state says to the candidate: its bias alone
        fed = (network.bias_ih_l1[400:] + reset * network.bias_hh_l1[400:]).tanh() / (1.0 + memory)
    expected, kept = torch.ones(200), memory / (1.0 + memory)  # a session keeps m / (1 + m) of the state
    for _ in range(10):
        expected = kept * expected + fed
    torch.testing.assert_close(end[1, 0], expected, atol=1e-5, rtol=1e-4)


def test_what_was_a_month_ago_reaches_a_new_state_with_memories_alone() -> None:
    def reach(first_memory: int | None) -> float:
        torch.manual_seed(0)
        x = torch.randn(16, 48, 3, requires_grad=True)
        GRU(3, GRUConfig(d_model=32, layers=1, first_memory=first_memory)).eval()(x).sum().backward()
        assert x.grad is not None
        return float(x.grad[:, -30].norm() / x.grad[:, -1].norm())

    assert reach(None) < 1e-4 < 0.1 < reach(48)


def test_a_memory_of_no_session_is_refused() -> None:
    with pytest.raises(DataError, match="first memory of 0"):
        GRU(3, GRUConfig(first_memory=0))


@pytest.mark.parametrize("wrong", [{"d_model": 0}, {"layers": 0}, {"dropout": 1.0}])
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="gru"):
        GRUConfig(**wrong)  # type: ignore[arg-type]
