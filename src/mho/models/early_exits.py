"""Networks of the literature with exits: a LeNet with one branch, and residual networks with an exit behind each stage."""

from __future__ import annotations

import torch
from torch import nn

from mho.errors import WrongSetting
from mho.models.lenet import lenet
from mho.models.multi_exit import MultiExit, multi_exit
from mho.models.published import published
from mho.models.resnet_cifar import CifarResNet


def b_lenet(*, size: int = 28, channels: int = 1, num_classes: int = 10, norm: str = "none") -> MultiExit:
    """`lenet` with a branch behind its first convolution: two exits. The branch halves the image, has a 3 × 3 convolution, halves
    it again, and a linear layer reads every position.

    The idea is B-LeNet's (BranchyNet, arXiv:1709.01686); sizes are those of `lenet`.
    """

    def branch(features: torch.Tensor) -> nn.Module:
        wide = features.shape[1]
        after = features.shape[2] // 4 * (features.shape[3] // 4) * wide
        convolved = (nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        return nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), *convolved, nn.Flatten(), nn.Linear(after, num_classes))

    backbone = lenet(size=size, channels=channels, num_classes=num_classes, norm=norm)
    return multi_exit(backbone, {"bn1": branch}, example=torch.zeros(2, channels, size, size))


def resnet20_exits(*, num_classes: int = 10, head: str = "linear", trained: bool = False) -> MultiExit:
    """ResNet-20 with three exits, behind each stage; `trained`: on the published backbone, the side classifiers untrained."""
    return _staged(20, num_classes, head, trained)


def resnet32_exits(*, num_classes: int = 10, head: str = "linear", trained: bool = False) -> MultiExit:
    """ResNet-32 with three exits; options as of `resnet20_exits`."""
    return _staged(32, num_classes, head, trained)


def resnet56_exits(*, num_classes: int = 10, head: str = "linear", trained: bool = False) -> MultiExit:
    """ResNet-56 with three exits; options as of `resnet20_exits`."""
    return _staged(56, num_classes, head, trained)


def _staged(depth: int, num_classes: int, head: str, trained: bool) -> MultiExit:
    if trained and num_classes != 10:
        raise WrongSetting(
            f"num_classes = {num_classes}", "the published backbones have 10: leave out trained", path="trained"
        )
    backbone = published(f"cifar10_resnet{depth}")[0] if trained else CifarResNet(depth, num_classes=num_classes)
    return multi_exit(backbone, ["layer1", "layer2"], head=head, example=torch.zeros(2, 3, 32, 32))
