"""A MobileNetV1 for images of 32 × 32 pixels: depthwise and pointwise convolutions, each with its batch norm."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mho.models.norms import Norms

_LAYOUT = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1))
"""Channels of the separable blocks as multiples of the stem's, and their strides, after Howard et al. 2017, table 1, less what
small images do not need."""


class _Block(nn.Module):
    """Depthwise and pointwise convolution, each with batch norm and ReLU."""

    def __init__(self, c_in: int, c_out: int, stride: int, norms: Norms) -> None:
        super().__init__()
        self.dw, self.dw_bn = norms.layer(c_in, c_in, 3, stride, groups=c_in)
        self.pw, self.pw_bn = norms.layer(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.dw_bn(self.dw(x)))
        return F.relu(self.pw_bn(self.pw(x)))


class MobileNetCIFAR(nn.Module):
    """A stem, five separable blocks, and a classifier of the mean.

    Args:
        width: Channels of the stem.
        channels: Of the images.
        num_classes: Number of outputs.
        norms: Of the convolutions.
    """

    def __init__(self, *, width: int, channels: int, num_classes: int, norms: Norms) -> None:
        super().__init__()
        self.stem, self.stem_bn = norms.layer(channels, width, 3)
        widths = (width, *(width * times for times, _ in _LAYOUT))
        self.blocks = nn.Sequential(
            *(
                _Block(c_in, c_out, stride, norms)
                for c_in, c_out, (_, stride) in zip(widths, widths[1:], _LAYOUT, strict=False)
            )
        )
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, 32, 32) to class scores (N, num_classes)."""
        x = self.blocks(F.relu(self.stem_bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


def mobilenet_cifar(
    *, num_classes: int = 10, width: int = 32, channels: int = 3, norm: str = "batch", normed: str = "all"
) -> MobileNetCIFAR:
    """Five separable blocks, 136,778 parameters; `norm` and `normed` as `Norms` takes them."""
    return MobileNetCIFAR(width=width, channels=channels, num_classes=num_classes, norms=Norms(norm, normed))
