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

    def forward(self, x: Tensor, hidden: Tensor | None = None, is_causal: bool = False, n_queries: int = 0) -> Tensor:
        """(B, T, D) -> (B, T, D), or (B, n_queries, D) for the first `n_queries` positions alone.

        Args:
            hidden: (B, T) True where a position may not be looked at.
            is_causal: a position looks at itself and earlier ones only.
        """
        batch, length, width = x.shape
        q, k, v = (
            self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        )  # (B, H, T, d)
        if self.is_rotary:
            q, k = rotate(q), rotate(k)
        if n_queries:
            q = q[:, :, :n_queries]
        seen = None if hidden is None else ~hidden[:, None, None, :]
        if seen is not None and is_causal:  # the kernels take one or the other
            seen = seen & torch.ones(q.shape[2], length, dtype=torch.bool, device=x.device).tril()
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=is_causal and seen is None)
        return self.out(mixed.transpose(1, 2).reshape(batch, -1, width))


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
