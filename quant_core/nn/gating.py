"""Gated residual networks and variable selection of the Temporal Fusion Transformer.

    GRN(a, c) = LayerNorm(skip(a) + GLU(W1 dropout-free ELU(W2 a + W3 c)))

The context enters before the ELU. Selection runs one GRN a variable, all of them in one batched product.

Source: Lim, Arik, Loeff and Pfister, Temporal Fusion Transformers, Int. J. of Forecasting 37 (2021), sec. 4.1-4.2.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GatedLinear(nn.Module):
    """GLU after dropout: (W x + b) * sigmoid(V x + c)."""

    def __init__(self, n_inputs: int, n_outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(n_inputs, 2 * n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.linear(self.dropout(x)), dim=-1)


class GatedResidual(nn.Module):
    """GRN: (..., n_inputs) and, if given, a context (..., n_context) -> (..., n_outputs)."""

    def __init__(self, n_inputs: int, width: int, n_outputs: int, n_context: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.skip = nn.Identity() if n_inputs == n_outputs else nn.Linear(n_inputs, n_outputs)
        self.first = nn.Linear(n_inputs, width)
        self.context = nn.Linear(n_context, width, bias=False) if n_context else None
        self.second = nn.Linear(width, width)
        self.gate = GatedLinear(width, n_outputs, dropout)
        self.norm = nn.LayerNorm(n_outputs)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        inner = self.first(x)
        if self.context is not None and context is not None:
            inner = inner + self.context(context)
        return self.norm(self.skip(x) + self.gate(self.second(F.elu(inner))))


class PerVariable(nn.Module):
    """V linear maps side by side, one a variable: (..., V, n_inputs) -> (..., V, n_outputs)."""

    def __init__(self, n_variables: int, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_inputs)
        self.weight = nn.Parameter(torch.empty(n_variables, n_inputs, n_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_variables, n_outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("...vi,vio->...vo", x, self.weight) + self.bias


class VariableSelection(nn.Module):
    """Which inputs matter now: (..., V) -> a token (..., D) and the weights (..., V) of its variables, which sum to 1.

    Each variable is embedded, passes a GRN of its own in `inner` channels, and is weighed by a GRN over all embeddings
    and the context.

    Args:
        inner: channels of a variable; smaller than `width` it is an economy, with one projection at the end.
    """

    def __init__(self, n_variables: int, width: int, n_context: int = 0, inner: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = PerVariable(n_variables, 1, inner)
        self.first, self.second = PerVariable(n_variables, inner, inner), PerVariable(n_variables, inner, inner)
        self.gate = PerVariable(n_variables, inner, 2 * inner)
        self.norm = nn.LayerNorm(inner)
        self.dropout = nn.Dropout(dropout)
        self.weigh = GatedResidual(n_variables * inner, width, n_variables, n_context, dropout)
        self.out = nn.Linear(inner, width) if inner != width else nn.Identity()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        embedded = self.embed(x.unsqueeze(-1))  # (..., V) -> (..., V, inner)
        weights = torch.softmax(self.weigh(embedded.flatten(-2), context), dim=-1)  # (..., V)
        gated = F.glu(self.gate(self.dropout(self.second(F.elu(self.first(embedded))))), dim=-1)
        own = self.norm(embedded + gated)  # (..., V, inner)
        return self.out((weights.unsqueeze(-1) * own).sum(dim=-2)), weights
