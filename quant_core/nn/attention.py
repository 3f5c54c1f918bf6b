"""Scaled dot-product attention with one projection for queries, keys and values, and the interpretable kind of the TFT.

    Attention(Q, K, V) = softmax(Q K' / sqrt(d)) V

Source: Vaswani et al., Attention Is All You Need (2017); Lim et al., Temporal Fusion Transformers (2021), sec. 4.4.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quant_core.nn.positions import rotate


class SelfAttention(nn.Module):
    """Multi-head self-attention; torch chooses the kernel (flash, memory-efficient, math) that the device has.

    Attention weights have no dropout: the fused kernels of a CPU lose more by it than a small network gains.

    Args:
        width: D, a multiple of `heads`.
        is_rotary: rotate queries and keys by their position.
    """

    def __init__(self, width: int, heads: int, is_rotary: bool = False) -> None:
        super().__init__()
        self.heads, self.is_rotary = heads, is_rotary
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Tensor, hidden: Tensor | None = None, is_causal: bool = False, reads_last: bool = False
    ) -> Tensor:
        """(B, T, D) -> (B, T, D), or (B, 1, D) of the last position alone.

        Args:
            hidden: (B, T) True where a position may not be looked at.
            is_causal: a position looks at itself and earlier ones only.
        """
        if reads_last and not self.is_rotary:
            return self._last(x, hidden)
        batch, length, width = x.shape
        q, k, v = (
            self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        )  # (B, H, T, d)
        if self.is_rotary:
            q, k = rotate(q), rotate(k)
        if reads_last:  # which looks at all there is, causal or not
            q, is_causal = q[:, :, -1:], False
        seen = None if hidden is None else ~hidden[:, None, None, :]
        if seen is not None and is_causal:  # the kernels take one or the other
            seen = seen & torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=is_causal and seen is None)
        return self.out(mixed.transpose(1, 2).reshape(batch, -1, width))

    def _last(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """(B, T, D) -> (B, 1, D) without a projection of keys and values.

        The query is carried into the space of x, and x is mixed before it is projected: the same product in another
        order. A bias of the keys raises all scores alike, one of the values is in every mixture.
        """
        batch, _, width = x.shape
        w_q, w_k, w_v = self.qkv.weight.chunk(3)
        b_q, _, b_v = self.qkv.bias.chunk(3)
        q = F.linear(x[:, -1], w_q, b_q).view(batch, self.heads, -1)  # (B, H, d)
        carried = torch.einsum("bhd,hde->bhe", q, w_k.view(self.heads, -1, width))  # (B, H, D)
        scores = carried @ x.transpose(1, 2) / (width // self.heads) ** 0.5  # (B, H, T)
        if hidden is not None:
            scores = scores.masked_fill(hidden.unsqueeze(1), float("-inf"))
        mixed = torch.softmax(scores, dim=-1) @ x  # (B, H, D)
        values = torch.einsum("bhe,hde->bhd", mixed, w_v.view(self.heads, -1, width)).flatten(1) + b_v
        return self.out(values).unsqueeze(1)


class InterpretableAttention(nn.Module):
    """Attention whose heads share one value projection, so that the mean of their weights is *the* weight of a lag.

        Attention(Q, K, V) = mean_h softmax(Q Wq_h (K Wk_h)' / sqrt(d)) V Wv Wo

    Made for few queries: they are carried into the space of the keys, and values are mixed before they are projected,
    so no key or value is projected itself. A bias of the keys would raise all scores of a query alike: there is none.

    Args:
        width: D, a multiple of `heads`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.q, self.k = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.v = nn.Linear(width, self.size)
        self.out = nn.Linear(self.size, width, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, Q, D) and (B, T, D) -> mixed values (B, Q, D) and weights (B, Q, T), which sum to 1 over T.

        Args:
            hidden: (Q, T) or (B, Q, T) True where a query may not look at a key.
        """
        batch, n_queries, width = queries.shape
        q = self.q(queries).view(batch, n_queries, self.heads, self.size)
        carried = torch.einsum("bqhd,hde->bhqe", q, self.k.weight.view(self.heads, self.size, width))  # (B, H, Q, D)
        scores = (carried.flatten(1, 2) @ keys.transpose(1, 2)) / self.size**0.5  # (B, H Q, T)
        scores = scores.view(batch, self.heads, n_queries, -1)
        if hidden is not None:
            scores = scores.masked_fill(hidden if hidden.dim() == 2 else hidden.unsqueeze(1), float("-inf"))
        weights = torch.softmax(scores, dim=-1).mean(dim=1)  # (B, Q, T): V is shared, so heads may be averaged first
        return self.out(self.v(weights @ keys)), weights
