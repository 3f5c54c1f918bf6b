"""The Temporal Fusion Transformer over a window of one name: which inputs, which lags, and one state for the heads.

Static inputs (sector, liquidity bucket; no name of a company), past inputs and inputs known ahead (the calendar) pass
variable selections of their own. Not here: heads (`heads`), windows, training, tables.

Source: Lim, Arik, Loeff and Pfister, Temporal Fusion Transformers for Interpretable Multi-horizon Time Series
Forecasting, Int. J. of Forecasting 37 (2021).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from quant_core.errors import DataError
from quant_core.nn.attention import InterpretableAttention
from quant_core.nn.gating import GatedResidual, GatedSkip, VariableSelection
from quant_core.nn.recurrent import EncoderDecoder
from quant_core.nn.shapes import TFTConfig


class Explained(NamedTuple):
    """The state and what it rests on; every kind of weight sums to 1.

    Args:
        state: (B, D).
        static: (B, V) weights of the static variables.
        past: (B, L, V) weights of the past and the known inputs, in that order, in each session of the window.
        future: (B, K, V) weights of the known inputs in each session ahead.
        attention: (B, L + K) weights of the sessions, oldest first.
    """

    state: Tensor
    static: Tensor
    past: Tensor
    future: Tensor
    attention: Tensor


class TemporalFusion(nn.Module):
    """past (B, L, Fp), known (B, L + K, Fk) and static (B, Fs) -> state (B, D), read at the last session ahead.

    K is what `known` has more sessions than `past`. No query but the one that is read is computed; the state sees the
    whole past and every session ahead, of which only what is known ahead is an input.

    Args:
        n_past: Fp, inputs of the past alone.
        n_known: Fk, inputs known ahead.
        static: columns of each static variable: 1 a number, several a one-hot category. A caller that knows nothing
            static gives one column of ones.
    """

    def __init__(self, n_past: int, n_known: int, static: Sequence[int], config: TFTConfig) -> None:
        super().__init__()
        if n_past < 1 or n_known < 1 or not static or min(static) < 1:
            raise DataError(f"tft: {n_past} past, {n_known} known and static {list(static)}; wanted 1 or more of each.")
        width, inner, dropout = config.d_model, config.selection_width, config.dropout
        self.sizes = (n_past, n_known, sum(static))
        self.select_static = VariableSelection(static, width, 0, inner, dropout)
        # hushed: the calendar is the same for all names of a date, which are told apart by the past inputs
        self.select_past = VariableSelection([1] * (n_past + n_known), width, width, inner, dropout, hushed=n_known)
        self.select_future = VariableSelection([1] * n_known, width, width, inner, dropout, hushed=n_known)
        self.for_selection, self.for_hidden, self.for_cell, self.for_enrichment = (
            GatedResidual(width, width, width, dropout=dropout) for _ in range(4)
        )
        self.local = EncoderDecoder(width, config.lstm_layers, dropout, config.first_memory)
        self.local_skip = GatedSkip(width, dropout)
        self.enrich = GatedResidual(width, width, width, width, dropout)
        self.attention = InterpretableAttention(width, config.heads)
        self.attention_skip = GatedSkip(width, dropout)
        self.feed_forward = GatedResidual(width, width, width, dropout=dropout)
        self.last_skip = GatedSkip(width)

    def forward(self, past: Tensor, known: Tensor, static: Tensor, hidden: Tensor | None = None) -> Tensor:
        """State (B, D).

        Args:
            hidden: (B, L) True for sessions of the past that hold nothing, which attention does not look at.
        Raises:
            DataError: inputs of other shapes than the network's.
        """
        return self.explain(past, known, static, hidden).state

    def explain(self, past: Tensor, known: Tensor, static: Tensor, hidden: Tensor | None = None) -> Explained:
        """The state and the weights behind it; arguments as of `forward`."""
        self._check(past, known, static)
        length = past.shape[1]
        company, static_weights = self.select_static(static)  # (B, D)
        context = self.for_selection(company).unsqueeze(1)  # (B, 1, D)
        old, past_weights = self.select_past(torch.cat([past, known[:, :length]], dim=-1), context)  # (B, L, D)
        new, future_weights = self.select_future(known[:, length:], context)  # (B, K, D)
        local = self.local(old, new, self.for_hidden(company), self.for_cell(company))  # (B, L + K, D)
        local = self.local_skip(local, torch.cat([old, new], dim=1))
        enriched = self.enrich(local, self.for_enrichment(company).unsqueeze(1))
        state, attention = self._read(local, enriched, hidden)
        return Explained(state, static_weights, past_weights, future_weights, attention)

    def _read(self, local: Tensor, enriched: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """The last session's state (B, D) and its attention (B, L + K)."""
        query = enriched[:, -1:]  # (B, 1, D)
        if hidden is not None:
            hidden = nn.functional.pad(hidden, (0, local.shape[1] - hidden.shape[1]), value=False).unsqueeze(1)
        mixed, attention = self.attention(query, enriched, hidden)
        fused = self.feed_forward(self.attention_skip(mixed, query))
        return self.last_skip(fused, local[:, -1:]).squeeze(1), attention.squeeze(1)

    def _check(self, past: Tensor, known: Tensor, static: Tensor) -> None:
        found = (past.shape[-1], known.shape[-1], static.shape[-1])
        if found != self.sizes or known.shape[1] <= past.shape[1]:
            raise DataError(
                f"tft: past {tuple(past.shape)}, known {tuple(known.shape)} and static {tuple(static.shape)}; wanted "
                f"{self.sizes} inputs and known inputs of at least one session more than the past."
            )
