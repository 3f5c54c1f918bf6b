"""Integrated gradients: by hand on a linear and a quadratic score, and completeness on every network."""

import pytest
import torch
from torch import Tensor, nn

from quant_core.errors import DataError
from quant_core.nn.attribution import integrated_gradients
from quant_core.nn.encoder import Encoder
from quant_core.nn.forecaster import Forecaster, PastOnly
from quant_core.nn.heads import Gaussian, Said
from quant_core.nn.recurrent import GRU, GRUConfig
from quant_core.nn.shapes import EncoderConfig, TFTConfig
from quant_core.nn.tft import TemporalFusion

LENGTH, INPUTS, KNOWN = 5, 3, 2


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def parts(rows: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(rows, LENGTH, INPUTS), torch.randn(rows, LENGTH + 2, KNOWN), torch.ones(rows, 1)


class Scored(nn.Module):
    """A score that is a formula of the past."""

    def __init__(self, power: int) -> None:
        super().__init__()
        self.power = power

    def forward(self, past: Tensor, known: Tensor, static: Tensor) -> Said:
        weight = torch.arange(1.0, 1.0 + INPUTS)
        score = (weight * past**self.power).sum(dim=(1, 2))[:, None]
        return Said(score, Gaussian(score, score), score, score, score)


def test_a_linear_score_gives_each_input_its_weight_times_its_value_and_a_square_the_square() -> None:
    past, known, static = parts()
    weight = torch.arange(1.0, 1.0 + INPUTS)
    torch.testing.assert_close(integrated_gradients(Scored(1), past, known, static, steps=1), weight * past)
    torch.testing.assert_close(integrated_gradients(Scored(2), past, known, static, steps=2), weight * past**2)
    with pytest.raises(DataError, match="0 steps"):
        integrated_gradients(Scored(1), past, known, static, steps=0)


BODIES = {
    "gru": lambda: PastOnly(GRU(INPUTS, GRUConfig(8, 2, 0.5))),
    "transformer": lambda: PastOnly(Encoder(INPUTS, EncoderConfig(8, 2, 1, 16, 0.5))),
    "tft": lambda: TemporalFusion(INPUTS, KNOWN, (1,), TFTConfig(8, 2, 1, 0.5, 4)),
}


@pytest.mark.parametrize("body", BODIES)
def test_attributions_sum_to_what_the_past_changed_and_leave_no_gradient_behind(body: str) -> None:
    network = Forecaster(BODIES[body](), 8, 2, "gaussian", (0.1, 0.5, 0.9))
    past, known, static = parts()
    found = integrated_gradients(network, past, known, static, steps=64)
    assert found.shape == past.shape
    with torch.no_grad():
        wanted = network(past, known, static).score[:, 0] - network(0.0 * past, known, static).score[:, 0]
    torch.testing.assert_close(found.sum(dim=(1, 2)), wanted, atol=1e-4, rtol=1e-3)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present")
@pytest.mark.parametrize("body", BODIES)
def test_a_gpu_attributes_as_the_cpu_does_recurrent_layers_too(body: str) -> None:
    network = Forecaster(BODIES[body](), 8, 2, "gaussian", (0.1, 0.5, 0.9))
    batch = parts()
    on_cpu = integrated_gradients(network, *batch)
    on_gpu = integrated_gradients(network.cuda(), *(part.cuda() for part in batch))
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, atol=1e-3, rtol=1e-2)
