"""Multi-head attention: projections on arrays, products of activations digital."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mho.crossbar import Operator
from mho.errors import BadInput, NotYet
from mho.nn.layer import AnalogLayer, MatrixView
from mho.nn.matrix import AnalogMatrix, below
from mho.nn.one_node import one_node

LINEAR = Operator()


class AnalogMultiheadAttention(AnalogLayer, nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` on arrays; arguments, shapes and results as in torch.

    The projections of queries, keys and values are three matrices, whether torch holds them in one parameter or in
    three; `out_proj` is a linear layer of its own. torch's fused paths, which read the weights directly, are never taken.
    Scores and weighted sums are products of activations and stay digital.
    """

    def build(self, path: str) -> None:
        """Arrays of the three projections."""
        paths = {key: below(path, self._parameter(key)) for key in "qkv"}
        if self._qkv_same_embed_dim:
            paths = {key: f"{where}.{key}" for key, where in paths.items()}
        self.matrices = nn.ModuleDict({key: AnalogMatrix(self.hw, where) for key, where in paths.items()})

    def views(self) -> Iterator[MatrixView]:
        """Projections of queries, keys and values; slices of `in_proj_weight` where torch holds them in one."""
        for key, weight in zip("qkv", self._weights(), strict=True):
            matrix = self.matrices[key]
            assert isinstance(matrix, AnalogMatrix)
            yield MatrixView(self._parameter(key), matrix, weight, LINEAR)

    @one_node
    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Attention through the arrays; arguments as in torch.

        Returns:
            The output, and the attention weights or None.
        """
        if query.is_nested or key.is_nested or value.is_nested:
            raise NotYet("nested tensors do not go through arrays", "give padded tensors and a key_padding_mask")
        if is_causal and attn_mask is None:
            raise BadInput("is_causal is a hint about attn_mask, which is missing", "give attn_mask, too")
        batched = query.dim() == 3
        if not batched:
            query, key, value = (x.unsqueeze(0) for x in (query, key, value))
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self._projected(query, key, value)
        hint = is_causal and key_padding_mask is None and not need_weights
        mask = None if hint else self._mask(attn_mask, key_padding_mask, q)
        k, v, mask = self._extended(k, v, mask)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = (q * math.sqrt(1 / self.head_dim)) @ k.transpose(-2, -1)
            weights = (scores if mask is None else scores + mask).softmax(dim=-1)
            weights = F.dropout(weights, dropout)
            y = weights @ v
            weights = weights.mean(dim=1) if average_attn_weights else weights
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, dropout, hint)
        y = self.out_proj(y.transpose(1, 2).flatten(2))
        if not batched:
            return y.squeeze(0), None if weights is None else weights.squeeze(0)
        return (y if self.batch_first else y.transpose(0, 1)), weights

    def _parameter(self, key: str) -> str:
        return "in_proj_weight" if self._qkv_same_embed_dim else f"{key}_proj_weight"

    def _weights(self) -> tuple[Tensor, ...]:
        if self._qkv_same_embed_dim:
            return _thirds(self.in_proj_weight)
        return self.q_proj_weight, self.k_proj_weight, self.v_proj_weight

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Projections with their biases, (batch, heads, length, head width)."""
        biases = (None, None, None) if self.in_proj_bias is None else _thirds(self.in_proj_bias)
        found = []
        for name, x, weight, bias in zip("qkv", (query, key, value), self._weights(), biases, strict=True):
            found.append(self.matrices[name](x, weight, LINEAR, bias))
        q, k, v = found
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(len(k), 1, -1).to(k.dtype)], dim=1)
            v = torch.cat([v, self.bias_v.expand(len(v), 1, -1).to(v.dtype)], dim=1)
        q, k, v = (x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for x in (q, k, v))
        return q, k, v

    def _mask(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor) -> Tensor | None:
        """Both masks as one that is added to the scores, broadcast against (batch, heads, queries, keys)."""
        mask = None
        if attn_mask is not None:
            mask = _additive(attn_mask, q.dtype)
            if mask.dim() == 3:
                mask = mask.unflatten(0, (-1, self.num_heads))
        if key_padding_mask is not None:
            padding = _additive(key_padding_mask, q.dtype)
            padding = padding[None] if padding.dim() == 1 else padding
            mask = padding[:, None, None] if mask is None else mask + padding[:, None, None]
        return mask

    def _extended(self, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Add torch's zero key (`add_zero_attn`), and make room in the mask for all that was added."""
        added = int(self.bias_k is not None) + int(self.add_zero_attn)
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
        return k, v, F.pad(mask, (0, added)) if added and mask is not None else mask


def _thirds(parameter: Tensor) -> tuple[Tensor, ...]:
    """Under no_grad a slice of a parameter says requires_grad without a grad_fn, and torch's FlopCounterMode fails."""
    return (parameter if torch.is_grad_enabled() else parameter.detach()).chunk(3)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.is_floating_point():
        return mask
    if mask.dtype != torch.bool:
        raise BadInput(f"a mask of {mask.dtype}", "give boolean or floating-point masks")
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -math.inf)
