"""MobileNetV2 (Sandler et al. 2018, table 2) with random weights: pointwise and depthwise convolutions, batch norms, ReLU6."""

from __future__ import annotations

from torch import Tensor, nn

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of the first."""


class _Residual(nn.Module):
    """Wider, depthwise, narrower; around it the sum where shapes allow it."""

    def __init__(self, c_in: int, c_out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * c_in
        first = [] if expansion == 1 else _unit(c_in, wide, 1)
        last = [nn.Conv2d(wide, c_out, 1, bias=False), nn.BatchNorm2d(c_out)]
        self.inner = nn.Sequential(*first, *_unit(wide, wide, 3, stride, wide), *last)
        self.adds = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x) if self.adds else self.inner(x)


def mobilenet_v2(*, num_classes: int) -> nn.Module:
    """3.5 million parameters with 1,000 classes."""
    layers, channels = _unit(3, 32, 3, 2), 32
    for expansion, c_out, count, stride in _STAGES:
        for i in range(count):
            layers.append(_Residual(channels, c_out, expansion, stride if i == 0 else 1))
            channels = c_out
    layers += _unit(channels, 1280, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, num_classes))


def _unit(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(c_out), nn.ReLU6()]
