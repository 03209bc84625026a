"""LeNet-5 with ReLU and max pooling, for small images (LeCun et al. 1998)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mho.models.norms import Norms


class LeNet(nn.Module):
    """Two convolutions of 5 × 5 with pooling, and three linear layers.

    Args:
        size: Height and width of the images, a multiple of 4.
        channels: Of the images.
        num_classes: Number of outputs.
        norms: Of the convolutions.
    """

    def __init__(self, *, size: int, channels: int, num_classes: int, norms: Norms) -> None:
        super().__init__()
        self.conv1, self.bn1 = norms.layer(channels, 6, 5)
        self.conv2, self.bn2 = norms.layer(6, 16, 5)
        self.fc1 = nn.Linear(16 * (size // 4) ** 2, 120)
        self.fc2 = nn.Linear(120, 84)
        self.head = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, size, size) to class scores (N, num_classes)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.head(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


def lenet(
    *, size: int = 32, channels: int = 3, num_classes: int = 10, norm: str = "none", normed: str = "all"
) -> LeNet:
    """The shape of LeNet-5, 136,886 parameters for 32 × 32 colour images; no norm unless one is asked for."""
    return LeNet(size=size, channels=channels, num_classes=num_classes, norms=Norms(norm, normed))
