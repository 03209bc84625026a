"""A MobileNetV1 for images of 32 × 32 pixels: depthwise and pointwise convolutions, each with its batch norm."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_LAYOUT = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
"""Channels and stride of the separable blocks, after Howard et al. 2017, table 1, less what small images do not need."""
_STEM = 32


class _Block(nn.Module):
    """Depthwise and pointwise convolution, each with batch norm and ReLU."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.dw = nn.Conv2d(c_in, c_in, 3, stride, padding=1, groups=c_in, bias=False)
        self.dw_bn = nn.BatchNorm2d(c_in)
        self.pw = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.pw_bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.dw_bn(self.dw(x)))
        return F.relu(self.pw_bn(self.pw(x)))


class MobileNetCIFAR(nn.Module):
    """A stem, five separable blocks, and a classifier of the mean.

    Args:
        num_classes: Number of outputs.
    """

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(_STEM)
        widths = (_STEM, *(width for width, _ in _LAYOUT))
        self.blocks = nn.Sequential(
            *(_Block(c_in, c_out, stride) for c_in, (c_out, stride) in zip(widths, _LAYOUT, strict=False))
        )
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, 32, 32) to class scores (N, num_classes)."""
        x = self.blocks(F.relu(self.stem_bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


def mobilenet_cifar(*, num_classes: int = 10) -> MobileNetCIFAR:
    """Five separable blocks, 136,778 parameters."""
    return MobileNetCIFAR(num_classes=num_classes)
