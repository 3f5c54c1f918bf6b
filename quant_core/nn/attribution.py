"""Integrated gradients: what of a network's score each past input brought, against a past in which nothing happened.

    a_i = x_i integral_0^1 d f(s x) / d x_i ds,    sum_i a_i = f(x) - f(0)

Inputs are scaled, so that 0 is their usual value; the calendar and what is static stay as they are.

Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017.
"""

import numpy as np
import torch
from torch import Tensor, nn

from quant_core.errors import DataError

STEPS = 16


def integrated_gradients(network: nn.Module, past: Tensor, known: Tensor, static: Tensor, steps: int = STEPS) -> Tensor:
    """Attributions (B, L, F) of the score at the first horizon to the past inputs.

    Args:
        network: maps the parts of a batch to `Said`; put into eval mode, its parameters' gradients stay as they are.
        past, known, static: (B, L, F), (B, L + K, C), (B, S).
        steps: Gauss-Legendre nodes of the integral, at least 1.
    Raises:
        DataError: no step.
    """
    if steps < 1:
        raise DataError(f"integrated gradients: {steps} steps, wanted at least 1.")
    network.eval()
    nodes, weights = np.polynomial.legendre.leggauss(steps)  # on [-1, 1]
    total = torch.zeros_like(past)
    for node, weight in zip((nodes + 1.0) / 2.0, weights / 2.0, strict=True):
        total += float(weight) * _gradient(network, float(node) * past, known, static)
    return past * total


def _gradient(network: nn.Module, past: Tensor, known: Tensor, static: Tensor) -> Tensor:
    """d score / d past, (B, L, F); rows do not depend on one another."""
    # cuDNN's recurrent layers have no backward pass in eval mode.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        leaf = past.detach().requires_grad_(True)
        (found,) = torch.autograd.grad(network(leaf, known, static).score[:, 0].sum(), leaf)
    return found
