"""Inputs of one matrix, kept whole so that the layer's output can be computed again for other ranges."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import torch
from torch import Tensor

from mho.crossbar import Operator

VALUES = 1 << 20
"""Values kept by default: 64 images at the first layers of ResNet-20."""


class Kept:
    """An even sample of what one matrix read: whole images of a convolution, vectors of a linear layer.

    Every s-th item is kept; when they are too many, s is doubled. The sample depends on nothing but the order.

    Args:
        weight: The matrix, in torch's layout.
        operator: Its operator.
        values: Values kept at most of the inputs or the outputs, whichever are more; one item is always kept.
    """

    def __init__(self, weight: Tensor, operator: Operator, values: int = VALUES) -> None:
        self.values = values
        self.weight, self.operator = weight.detach(), operator
        self.largest = 0.0
        self._stride, self._seen = 1, 0
        self._chunks: list[tuple[int, Tensor, int]] = []

    def add(self, x: Tensor, y: Tensor) -> None:
        """Sample an input `x` of the layer, whose output `y` tells how large items are."""
        dims = self.operator.dims
        items = x.detach().flatten(0, -2) if dims == 0 and x.dim() > 1 else x.detach()
        items = items if items.dim() == (dims + 2 if dims else 2) else items[None]
        if not items.numel():
            return
        self.largest = max(self.largest, float(items.abs().max()))
        first = -self._seen % self._stride
        size = -(-max(x.numel(), y.numel()) // len(items))
        if first < len(items):
            self._chunks.append((self._seen + first, items[first :: self._stride].clone(), size))
        self._seen += len(items)
        while self._size() > self.values and sum(len(chunk) for _, chunk, _ in self._chunks) > 1:
            self._halve()

    def __iter__(self) -> Iterator[Tensor]:
        """The items, in batches of equal shape."""
        for _, alike in groupby(self._chunks, key=lambda chunk: chunk[1].shape[1:]):
            parts = [chunk for _, chunk, _ in alike]
            yield parts[0] if len(parts) == 1 else torch.cat(parts)

    def reference(self) -> list[Tensor]:
        """What the digital layer makes of each chunk."""
        return [self.operator(x, self.weight.to(x.dtype)) for x in self]

    def _size(self) -> int:
        return sum(len(chunk) * size for _, chunk, size in self._chunks)

    def _halve(self) -> None:
        old, self._stride = self._stride, 2 * self._stride
        left = []
        for at, chunk, size in self._chunks:
            skip = 0 if at % self._stride == 0 else 1
            if skip < len(chunk):
                left.append((at + skip * old, chunk[skip::2].clone(), size))
        self._chunks = left


def squared(parts: list[Tensor]) -> float:
    """Sum of squares, in float64."""
    return float(sum(torch.sum(part.double().square()) for part in parts))
