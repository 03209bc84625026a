"""`resnet_drop`: a residual network with a policy that drops blocks, by one name."""

from __future__ import annotations

import torch

from mho.models.block_drop import BlockDrop, block_drop
from mho.models.published import cifar_backbone
from mho.models.resnet_cifar import cifar_resnet


def resnet_drop(*, depth: int = 20, width: int = 4, num_classes: int = 10, trained: bool = False) -> BlockDrop:
    """A residual network for 32 × 32 images, all of whose blocks may be dropped by a policy, a ResNet-8.

    Args:
        depth: Number of layers, 6n + 2: (depth - 2) / 2 blocks.
        width: Of the policy; that of BlockDrop (arXiv:1711.08393) has 16, for a network of 110 layers.
        num_classes: Number of outputs.
        trained: The network has its published weights (20, 32, 44 or 56 layers); the policy is untrained.

    Raises:
        WrongSetting: `depth` is not 6n + 2, or `trained` for a network that nobody published.
    """
    backbone = cifar_backbone(depth, num_classes=num_classes, trained=trained)
    policy = cifar_resnet(depth=8, width=width, num_classes=(depth - 2) // 2)
    return block_drop(backbone, example=torch.zeros(2, 3, 32, 32), policy=policy)
