"""A SqueezeNet for images of 32 × 32 pixels: fire modules of 1 × 1 and 3 × 3 convolutions (Iandola et al. 2016)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mho.models.norms import Norms

_LAYOUT = ((16, 64), (16, 64), (32, 128), (32, 128))
"""Channels of the squeeze layer and of the two expand layers together; the first and the third halve the image before."""


class _Fire(nn.Module):
    """A 1 × 1 convolution to few channels, then 1 × 1 and 3 × 3 convolutions side by side."""

    def __init__(self, c_in: int, squeeze: int, expand: int, norms: Norms) -> None:
        super().__init__()
        self.squeeze, self.squeeze_bn = norms.layer(c_in, squeeze, 1)
        self.one, self.one_bn = norms.layer(squeeze, expand // 2, 1)
        self.three, self.three_bn = norms.layer(squeeze, expand // 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze_bn(self.squeeze(x)))
        return F.relu(torch.cat([self.one_bn(self.one(x)), self.three_bn(self.three(x))], 1))


class SqueezeNetCIFAR(nn.Module):
    """A stem, four fire modules, and a classifier of the mean.

    Args:
        channels: Of the images.
        num_classes: Number of outputs.
        norms: Of the convolutions.
    """

    def __init__(self, *, channels: int, num_classes: int, norms: Norms) -> None:
        super().__init__()
        self.stem, self.stem_bn = norms.layer(channels, 32, 3)
        widths = (32, *(expand for _, expand in _LAYOUT))
        self.fires = nn.ModuleList(_Fire(c_in, *layout, norms) for c_in, layout in zip(widths, _LAYOUT, strict=False))
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to class scores (N, num_classes)."""
        x = F.relu(self.stem_bn(self.stem(x)))
        for i, fire in enumerate(self.fires):
            x = fire(x if i % 2 else F.max_pool2d(x, 2))
        return self.head(x.mean((2, 3)))


def squeezenet_cifar(
    *, channels: int = 3, num_classes: int = 10, norm: str = "batch", normed: str = "all"
) -> SqueezeNetCIFAR:  # fmt: skip
    """Four fire modules, 62,058 parameters; `norm` and `normed` as `Norms` takes them."""
    return SqueezeNetCIFAR(channels=channels, num_classes=num_classes, norms=Norms(norm, normed))
