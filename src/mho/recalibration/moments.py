"""Pooled moments of a layer's outputs over batches, in float64."""

from __future__ import annotations

import torch
from torch import Tensor


class Moments:
    """Sums over everything added so far: exact pooled statistics, the variance of the batches' means included.

    Attributes:
        count: Values a channel, n.
        sums: Σx and Σx², (2, channels), and more that others add up; float64, on the CPU.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sums: Tensor | None = None

    def add(self, x: Tensor, axis: int) -> Moments:
        """Take in a tensor with its channels along `axis`; returns itself."""
        rows = by_channel(x, axis)
        sums = torch.stack([rows.sum(0), rows.square().sum(0)]).cpu()
        return self.merge(rows.shape[0], sums)

    def merge(self, count: int, sums: Tensor) -> Moments:
        """Take in sums; returns itself."""
        self.count += count
        self.sums = sums if self.sums is None else self.sums + sums
        return self

    @property
    def mean(self) -> Tensor:
        """(channels,)."""
        assert self.sums is not None
        return self.sums[0] / self.count

    def variance(self, *, unbiased: bool) -> Tensor:
        """(channels,): Σ(x - mean)² over n, or over n - 1 as torch's running variance has it."""
        assert self.sums is not None
        squares = (self.sums[1] - self.sums[0].square() / self.count).clamp(min=0)
        return squares / max(self.count - unbiased, 1)


def by_channel(x: Tensor, axis: int) -> Tensor:
    """(values, channels), float64."""
    return x.detach().movedim(axis, -1).flatten(0, -2).double() if x.dim() > 1 else x.detach()[None].double()
