"""Residual networks for 32 × 32 images: 6n + 2 layers of width 16, 32, 64 (He et al. 2016, section 4.2)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mho.arguments import whole
from mho.errors import WrongSetting
from mho.models.norms import Norms

Shortcut = Literal["pad", "conv"]


class _PadShortcut(nn.Module):
    """Option A: every second pixel, with the missing channels filled by zeros on both sides."""

    def __init__(self, extra_channels: int) -> None:
        super().__init__()
        self.before = extra_channels // 2
        self.after = extra_channels - self.before

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut around them.

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output.
        stride: Of the first convolution.
        shortcut: Where the shape changes: ``"pad"`` (option A) has no parameters, ``"conv"`` (option B) is a
            1 × 1 convolution.
        norms: Of the convolutions. A last one without a norm starts at 0, so that the block begins as its shortcut (after
            Zhang et al. 2019, arXiv:1901.09321).
        kernel: Height and width of the filters, odd.
    """

    def __init__(
        self, c_in: int, c_out: int, *, stride: int, shortcut: Shortcut, norms: Norms, kernel: int = 3
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = norms.layer(c_in, c_out, kernel, stride)
        self.conv2, self.bn2 = norms.layer(c_out, c_out, kernel, begin=0.0)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 and shortcut == "pad":
            self.downsample = _PadShortcut(c_out - c_in)
        elif stride != 1:
            self.downsample = nn.Sequential(*norms.layer(c_in, c_out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) to (N, c_out, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class CifarResNet(nn.Module):
    """A residual network for small images.

    Args:
        depth: Number of layers, 6n + 2.
        num_classes: Number of outputs.
        shortcut: See `BasicBlock`.
        stem_eps: Constant of the first batch norm.
        width: Channels of the first stage.
        channels: Of the images.
        norms: Of the convolutions; None: a batch norm behind each.
        kernel: Height and width of every filter, odd.

    Raises:
        WrongSetting: `depth` is not 6n + 2.
    """

    def __init__(
        self, depth: int, *, num_classes: int = 10, shortcut: Shortcut = "pad", stem_eps: float = 1e-5, width: int = 16,
        channels: int = 3, norms: Norms | None = None, kernel: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise WrongSetting(f"a CIFAR ResNet of {depth} layers", "depths are 6n + 2: 8, 14, 20, 26, 32, …")
        blocks, norms = (depth - 2) // 6, norms or Norms()
        self.conv1, self.bn1 = norms.layer(channels, width, kernel)
        if isinstance(self.bn1, nn.BatchNorm2d):
            self.bn1.eps = stem_eps
        self.layer1 = _stage(width, width, blocks, 1, shortcut, norms, kernel)
        self.layer2 = _stage(width, 2 * width, blocks, 2, shortcut, norms, kernel)
        self.layer3 = _stage(2 * width, 4 * width, blocks, 2, shortcut, norms, kernel)
        self.linear = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W), normalised, to class scores (N, num_classes)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def _stage(
    c_in: int, c_out: int, blocks: int, stride: int, shortcut: Shortcut, norms: Norms, kernel: int
) -> nn.Sequential:
    def block(c_in: int, stride: int) -> BasicBlock:
        return BasicBlock(c_in, c_out, stride=stride, shortcut=shortcut, norms=norms, kernel=kernel)

    first = block(c_in, stride)
    rest = [block(c_out, 1) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def cifar_resnet(
    *,
    depth: int = 8,
    num_classes: int = 10,
    width: int = 16,
    channels: int = 3,
    kernel: int = 3,
    norm: str = "batch",
    normed: str = "all",
) -> CifarResNet:
    """Any depth, 8 layers and 75,290 parameters by default; `norm` and `normed` as `Norms` takes them.

    Raises:
        WrongSetting: `depth` is not 6n + 2; an even or negative `kernel`.
    """
    if whole(kernel, "kernel") % 2 == 0:
        raise WrongSetting(f"filters of {kernel} × {kernel}", "give an odd size: 1, 3, 5", path="kernel")
    return CifarResNet(
        depth, num_classes=num_classes, width=width, channels=channels, norms=Norms(norm, normed), kernel=kernel
    )


def resnet20(*, num_classes: int = 10) -> CifarResNet:
    """20 layers, 0.27 M parameters, shortcuts without parameters."""
    return CifarResNet(20, num_classes=num_classes)


def resnet32(*, num_classes: int = 10) -> CifarResNet:
    """32 layers, 0.46 M parameters, shortcuts without parameters."""
    return CifarResNet(32, num_classes=num_classes)


def resnet44(*, num_classes: int = 10) -> CifarResNet:
    """44 layers, 0.66 M parameters, shortcuts without parameters."""
    return CifarResNet(44, num_classes=num_classes)


def resnet56(*, num_classes: int = 10) -> CifarResNet:
    """56 layers, 0.85 M parameters, shortcuts without parameters."""
    return CifarResNet(56, num_classes=num_classes)


def resnet14b(*, num_classes: int = 10) -> CifarResNet:
    """14 layers with 1 × 1 convolutions as shortcuts, as CrossSim trained it."""
    return CifarResNet(14, num_classes=num_classes, shortcut="conv", stem_eps=1e-3)


def resnet20b(*, num_classes: int = 10) -> CifarResNet:
    """20 layers with 1 × 1 convolutions as shortcuts, as CrossSim trained it."""
    return CifarResNet(20, num_classes=num_classes, shortcut="conv", stem_eps=1e-3)
