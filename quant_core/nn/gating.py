"""Gated residual networks and variable selection of the Temporal Fusion Transformer.

    GRN(a, c) = LayerNorm(skip(a) + GLU(dropout(W1 ELU(W2 a + W3 c + b2) + b1)))

The context enters before the ELU. Selection runs one GRN a variable, all of them in one batched product.

Source: Lim, Arik, Loeff and Pfister, Temporal Fusion Transformers, Int. J. of Forecasting 37 (2021), sec. 4.1-4.2.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quant_core.errors import DataError
from quant_core.nn.dropout import Dropout

#: Scale of the weighing network's layer norm at first. At 1 a new network prefers some variable tenfold by chance, and
#: a weak signal does not undo it; from even weights a preference is a learnt one. Tried on planted signals.
FIRST_PREFERENCE = 0.1
#: Size of a hushed variable at first, in that of the others.
FIRST_WHISPER = 0.1


class GatedLinear(nn.Module):
    """GLU after dropout: (W x + b) * sigmoid(V x + c)."""

    def __init__(self, n_inputs: int, n_outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(n_inputs, 2 * n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.linear(self.dropout(x)), dim=-1)


class GatedSkip(nn.Module):
    """LayerNorm(skip + GLU(dropout(x))): a network may gate what a block adds down to nothing."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.gate = GatedLinear(width, width, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.norm(skip + self.gate(x))


class GatedResidual(nn.Module):
    """GRN: (..., n_inputs) and, if given, a context (..., n_context) that broadcasts -> (..., n_outputs)."""

    def __init__(self, n_inputs: int, width: int, n_outputs: int, n_context: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.skip: nn.Module = nn.Identity() if n_inputs == n_outputs else nn.Linear(n_inputs, n_outputs)
        self.first = nn.Linear(n_inputs, width)
        self.context = nn.Linear(n_context, width, bias=False) if n_context else None
        self.second = nn.Linear(width, width)
        self.gate = GatedLinear(width, n_outputs, dropout)
        self.norm = nn.LayerNorm(n_outputs)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.from_inner(self.first(x), self.skip(x), context)

    def from_inner(self, inner: Tensor, skip: Tensor, context: Tensor | None = None) -> Tensor:
        """The rest of the network, where `first` and `skip` of the input are already there."""
        if self.context is not None and context is not None:
            inner = inner + self.context(context)
        return self.norm(skip + self.gate(self.second(F.elu(inner))))


class PerVariable(nn.Module):
    """V linear maps side by side, one a variable: (V, N, n_inputs) -> (V, N, n_outputs)."""

    def __init__(self, n_variables: int, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_inputs)
        self.weight = nn.Parameter(torch.empty(n_variables, n_inputs, n_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_variables, 1, n_outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class PerVariableNorm(nn.Module):
    """Layer norm over channels with a scale and a shift a variable: (V, N, D) -> (V, N, D)."""

    def __init__(self, n_variables: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_variables, 1, width))
        self.bias = nn.Parameter(torch.zeros(n_variables, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, F.layer_norm(x, x.shape[-1:]), self.weight)


class Embedding(nn.Module):
    """Each variable's columns, one of a number or several of a one-hot category, as one vector of D channels.

    e_v = b_v + sum over its columns f of x_f w_f
    """

    owner: Tensor

    def __init__(self, columns: Sequence[int], width: int) -> None:
        super().__init__()
        self.n_variables = len(columns)
        owner = torch.repeat_interleave(torch.arange(len(columns)), torch.tensor(columns))
        self.register_buffer("owner", owner, persistent=False)
        self.weight = nn.Parameter(torch.empty(len(owner), width).uniform_(-1.0, 1.0))  # as of nn.Linear(1, width)
        self.bias = nn.Parameter(torch.empty(len(columns), width).uniform_(-1.0, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """(N, F) -> (V, N, D)."""
        return self._spread(x, self.weight, self.bias)

    def through(self, maps: PerVariable, x: Tensor) -> Tensor:
        """maps(self(x)), in the one product that both are: (N, F) -> (V, N, n_outputs)."""
        weight = (self.weight.unsqueeze(-2) @ maps.weight[self.owner]).squeeze(-2)  # (F, n_outputs)
        return self._spread(x, weight, maps(self.bias.unsqueeze(-2)).squeeze(-2))

    def flat_through(self, linear: nn.Linear, x: Tensor) -> Tensor:
        """linear of all embeddings side by side, in the one product that both are: (N, F) -> (N, n_outputs)."""
        by_variable = linear.weight.view(linear.out_features, self.n_variables, -1)
        weight = (by_variable[:, self.owner] * self.weight).sum(dim=-1)  # (n_outputs, F)
        return F.linear(x, weight, linear(self.bias.flatten()))

    def _spread(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        bias = bias.unsqueeze(-2)  # (V, 1, D)
        columns = x.T.unsqueeze(-1)  # (F, N, 1)
        if len(weight) == self.n_variables:
            return torch.addcmul(bias, columns, weight.unsqueeze(-2))
        each = columns * weight.unsqueeze(-2)  # (F, N, D)
        return bias.expand(-1, len(x), -1).to(each.dtype).index_add(0, self.owner, each)


class VariableSelection(nn.Module):
    """Which inputs matter now: (..., F) -> a token (..., D) and the weights (..., V) of its variables, which sum to 1.

        token = out(sum_v w_v GRN_v(e_v)),  w = softmax(GRN(e_1 ... e_V, context))

    A new selection says 0 of inputs that are all 0, and a token of about 1 of others: a constant part would fill the
    recurrent layers behind it before anything of the inputs does.

    Embeddings are linear, so what follows one linearly is multiplied into it: the same function in fewer products.

    Args:
        columns: how many columns each variable has: 1 a number, several a one-hot category.
        inner: channels of a variable, 2 or more; as many as `width` is the published network; fewer are an economy,
            with one projection at the end.
        hushed: so many of the variables, the last ones, begin faint.
    """

    def __init__(
        self,
        columns: Sequence[int],
        width: int,
        n_context: int = 0,
        inner: int = 16,
        dropout: float = 0.0,
        hushed: int = 0,
    ) -> None:
        super().__init__()
        if inner < 2:
            raise DataError(f"variable selection: {inner} channels a variable; wanted 2 or more.")
        n = len(columns)
        self.embed = Embedding(columns, inner)
        self.first, self.second = PerVariable(n, inner, inner), PerVariable(n, inner, inner)
        self.gate, self.norm = PerVariable(n, inner, 2 * inner), PerVariableNorm(n, inner)
        self.dropout = Dropout(dropout)
        self.weigh = GatedResidual(n * inner, width, n, n_context, dropout)
        nn.init.constant_(self.weigh.norm.weight, FIRST_PREFERENCE)
        self.out = nn.Linear(inner, width) if inner != width else nn.Identity()
        self._begin(hushed)

    @torch.no_grad()
    def _begin(self, hushed: int) -> None:
        """No constant part, and tokens of size 1: a mean of V has a variance of 1 / V, `out` leaves a third of it."""
        n = self.embed.n_variables
        self.norm.weight[n - hushed :] *= FIRST_WHISPER
        self.eval()  # a dropped channel is no part of what is constant
        self.norm.bias.sub_(self._own(torch.zeros(1, len(self.embed.owner))))
        self.train()
        if isinstance(self.out, nn.Linear):
            self.out.weight *= math.sqrt(3.0 * n)
            self.out.bias.zero_()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rows = x.flatten(0, -2)  # (..., F) -> (N, F)
        weights = self._weights(x, context)  # (..., V)
        own = self._own(rows)  # (V, N, inner)
        token = (own * weights.reshape(len(rows), -1).T.unsqueeze(-1)).sum(dim=0)  # (N, inner)
        return self.out(token).view(*x.shape[:-1], -1), weights

    def _weights(self, x: Tensor, context: Tensor | None) -> Tensor:
        inner = self.embed.flat_through(self.weigh.first, x)
        skip = self.embed.flat_through(cast("nn.Linear", self.weigh.skip), x)  # V channels of V * inner: never the same
        return torch.softmax(self.weigh.from_inner(inner, skip, context), dim=-1)

    def _own(self, rows: Tensor) -> Tensor:
        """Every variable's own GRN: (N, F) -> (V, N, inner)."""
        inner = F.elu(self.embed.through(self.first, rows))
        gated = F.glu(self.gate(self.dropout(self.second(inner))), dim=-1)
        return self.norm(self.embed(rows) + gated)
