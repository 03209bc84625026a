"""A small Llama: RMS norms, rotary positions, grouped-query attention, SwiGLU, tied embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mho.errors import BadInput

_ROTARY_BASE = 10_000.0
_NORM_EPS = 1e-5


class _Block(nn.Module):
    """Attention and a gated feed-forward layer, each around a residual."""

    def __init__(self, dim: int, hidden: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.head_dim = dim // heads
        kv_dim = self.head_dim * kv_heads
        self.att_norm = nn.RMSNorm(dim, eps=_NORM_EPS)
        self.wq = nn.Linear(dim, dim, bias=False)
        self.wk = nn.Linear(dim, kv_dim, bias=False)
        self.wv = nn.Linear(dim, kv_dim, bias=False)
        self.wo = nn.Linear(dim, dim, bias=False)
        self.ffn_norm = nn.RMSNorm(dim, eps=_NORM_EPS)
        self.w1 = nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        y = self.att_norm(x)
        query = _rotate(self._heads(self.wq(y)), cos, sin)
        key = _rotate(self._heads(self.wk(y)), cos, sin)
        value = self._heads(self.wv(y))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        x = x + self.wo(mixed.transpose(1, 2).flatten(2))
        y = self.ffn_norm(x)
        return x + self.w2(F.silu(self.w1(y)) * self.w3(y))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring pairs of features of (N, heads, T, head_dim) by angles (T, head_dim / 2)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Llama(nn.Module):
    """A decoder whose output layer is its embedding.

    Args:
        dim: Width.
        hidden: Width of the feed-forward layers.
        layers: Number of blocks.
        heads: Heads of the queries.
        kv_heads: Heads of the keys and values; divides `heads`.
        vocabulary: Number of tokens.
        max_tokens: Longest input.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        *,
        dim: int,
        hidden: int,
        layers: int,
        heads: int,
        kv_heads: int,
        vocabulary: int,
        max_tokens: int,
    ) -> None:
        super().__init__()
        self.tok = nn.Embedding(vocabulary, dim)
        self.blocks = nn.ModuleList(_Block(dim, hidden, heads, kv_heads) for _ in range(layers))
        self.norm = nn.RMSNorm(dim, eps=_NORM_EPS)
        self.out = nn.Linear(dim, vocabulary, bias=False)
        self.out.weight = self.tok.weight
        head_dim = dim // heads
        frequencies = _ROTARY_BASE ** (-torch.arange(0, head_dim, 2) / head_dim)
        angles = torch.outer(torch.arange(max_tokens), frequencies)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (N, T) to scores of the next token (N, T, vocabulary).

        Raises:
            BadInput: More than `max_tokens` tokens.
        """
        tokens = ids.shape[1]
        if tokens > len(self.cos):
            raise BadInput(f"{tokens} tokens in a row", f"cut the text into pieces of at most {len(self.cos)}")
        x = self.tok(ids)
        for block in self.blocks:
            x = block(x, self.cos[:tokens], self.sin[:tokens])
        return self.out(self.norm(x))


def stories260k() -> Llama:
    """The Llama of 260,032 parameters that writes stories for children (TinyStories, vocabulary of 512)."""
    return Llama(dim=64, hidden=172, layers=5, heads=8, kv_heads=4, vocabulary=512, max_tokens=512)
