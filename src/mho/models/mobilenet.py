"""MobileNetV1: the visual-wake-words detector of MLPerf Tiny, and ImageNet classifiers with folded norms."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from mho.models.same_conv import SameConv2d

_STEM = 32
_LAYOUT = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Channels at full width, and stride, of the thirteen separable blocks (Howard et al. 2017, table 1)."""
_KERAS_EPS = 1e-3


class _NormBlock(nn.Module):
    """Depthwise and pointwise convolution, each with batch norm and ReLU."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.dw = SameConv2d(c_in, c_in, 3, stride, groups=c_in)
        self.dw_bn = nn.BatchNorm2d(c_in, eps=_KERAS_EPS)
        self.pw = SameConv2d(c_in, c_out, 1)
        self.pw_bn = nn.BatchNorm2d(c_out, eps=_KERAS_EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.dw_bn(self.dw(x)))
        return F.relu(self.pw_bn(self.pw(x)))


class _FoldedBlock(nn.Module):
    """Depthwise and pointwise convolution, each with ReLU6."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.dw = SameConv2d(c_in, c_in, 3, stride, groups=c_in)
        self.pw = SameConv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(self.pw(F.relu6(self.dw(x))))


def _shapes(alpha: float) -> Iterator[tuple[int, int, int]]:
    c_in = int(_STEM * alpha)
    for full, stride in _LAYOUT:
        c_out = int(full * alpha)
        yield c_in, c_out, stride
        c_in = c_out


class MobileNetV1VWW(nn.Module):
    """The detector with its batch norms.

    Args:
        alpha: Width, as a share of the full network's.
        num_classes: Number of outputs.
    """

    def __init__(self, *, alpha: float, num_classes: int) -> None:
        super().__init__()
        shapes = list(_shapes(alpha))
        self.stem = SameConv2d(3, shapes[0][0], 3, stride=2)
        self.stem_bn = nn.BatchNorm2d(shapes[0][0], eps=_KERAS_EPS)
        self.blocks = nn.Sequential(*(_NormBlock(*shape) for shape in shapes))
        self.fc = nn.Linear(shapes[-1][1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, 96, 96) with values 0 … 1 to scores (N, num_classes); class 1 is 'person'."""
        x = self.blocks(F.relu(self.stem_bn(self.stem(x))))
        return self.fc(x.mean((2, 3)))


class MobileNetV1(nn.Module):
    """The classifier with folded batch norms.

    Args:
        alpha: Width, as a share of the full network's.
        num_classes: Number of outputs.
    """

    def __init__(self, *, alpha: float, num_classes: int) -> None:
        super().__init__()
        shapes = list(_shapes(alpha))
        self.stem = SameConv2d(3, shapes[0][0], 3, stride=2)
        self.blocks = nn.Sequential(*(_FoldedBlock(*shape) for shape in shapes))
        self.head = nn.Conv2d(shapes[-1][1], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) with values -1 … 1 to class scores (N, num_classes)."""
        x = self.blocks(F.relu6(self.stem(x)))
        return self.head(x.mean((2, 3), keepdim=True)).flatten(1)


def mobilenet_v1_vww(*, num_classes: int = 2) -> MobileNetV1VWW:
    """The reference network of the benchmark: width 0.25, 216,322 parameters."""
    return MobileNetV1VWW(alpha=0.25, num_classes=num_classes)


def mobilenet_v1(*, alpha: float = 0.25, num_classes: int = 1001) -> MobileNetV1:
    """A MobileNetV1 for ImageNet; output 0 of the 1,001 is 'background'."""
    return MobileNetV1(alpha=alpha, num_classes=num_classes)
