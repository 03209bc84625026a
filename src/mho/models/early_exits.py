"""Networks of the literature with exits: LeNet and AlexNet with branches, residual networks with an exit a stage."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from mho.models.alexnet_cifar import alexnet_cifar, reduced
from mho.models.lenet import lenet
from mho.models.multi_exit import MultiExit, multi_exit
from mho.models.published import cifar_backbone


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


def b_alexnet(*, num_classes: int = 10) -> MultiExit:
    """`alexnet_cifar` with branches behind its second and third convolution: three exits.

    As in the code beside arXiv:1709.01686 (the paper's text has them one convolution earlier): the first branch has two
    convolutions, the second one, each with pools and a linear layer that reads every position.
    """

    def branch(*wide: int) -> nn.Module:
        convolved = [
            layer for pair in pairwise(wide) for layer in (nn.Conv2d(*pair, 3, padding=1), nn.ReLU())
        ]  # fmt: skip
        return nn.Sequential(
            reduced(), *convolved, nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten(), nn.LazyLinear(num_classes)
        )

    heads = {"conv2": branch(64, 32, 32), "conv3": branch(96, 32)}
    return multi_exit(alexnet_cifar(num_classes=num_classes), heads, example=torch.zeros(2, 3, 32, 32))


def resnet_exits(*, depth: int = 20, num_classes: int = 10, head: str = "linear", trained: bool = False) -> MultiExit:
    """A residual network for 32 × 32 images with three exits, behind each stage.

    Args:
        depth: Number of layers, 6n + 2; 20 and 110 are those of the literature.
        num_classes: Number of outputs.
        head: See `multi_exit`.
        trained: The backbone has its published weights (20, 32, 44 or 56 layers); the side classifiers are untrained.

    Raises:
        WrongSetting: `depth` is not 6n + 2, or `trained` for a network that nobody published.
    """
    backbone = cifar_backbone(depth, num_classes=num_classes, trained=trained)
    return multi_exit(backbone, ["layer1", "layer2"], head=head, example=torch.zeros(2, 3, 32, 32))
