"""DS-CNN, the keyword spotter of the MLPerf Tiny benchmark, with its batch norms folded."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mho.models.same_conv import SameConv2d


class _Separable(nn.Module):
    """A 3 × 3 convolution of each channel, then a 1 × 1 convolution across channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dw = SameConv2d(channels, channels, 3, groups=channels)
        self.pw = SameConv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.pw(F.relu(self.dw(x))))


class DSCNN(nn.Module):
    """A convolution over time and frequency, then depthwise-separable blocks of constant width.

    Args:
        num_classes: Number of outputs.
        channels: Width.
        blocks: Number of separable blocks.
    """

    def __init__(self, *, num_classes: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.stem = SameConv2d(1, channels, (10, 4), stride=2)
        self.blocks = nn.Sequential(*(_Separable(channels) for _ in range(blocks)))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """MFCC maps (N, 1, 49 frames, 10 coefficients) to class scores (N, num_classes)."""
        x = self.blocks(F.relu(self.stem(x)))
        return self.fc(x.mean((2, 3)))


def dscnn(*, num_classes: int = 12) -> DSCNN:
    """The reference network of the benchmark: width 64, four blocks, 22,604 parameters."""
    return DSCNN(num_classes=num_classes, channels=64, blocks=4)
