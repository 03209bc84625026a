"""AlexNet for 32 × 32 images, of the size that BranchyNet's authors put their branches on."""

from __future__ import annotations

from torch import Tensor, nn


class AlexNetCifar(nn.Module):
    """Five convolutions, three of them with pooling and two of those with local response norm, and three linear layers.

    Layers as in the code beside arXiv:1709.01686; there the norm's α is not divided by its size, as torch divides it.

    Args:
        num_classes: Number of outputs.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.after1 = reduced()
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.after2 = reduced()
        self.conv3 = nn.Conv2d(64, 96, 3, padding=1)
        self.rest = nn.Sequential(
            nn.ReLU(), nn.Conv2d(96, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 64, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(1024, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 128), nn.ReLU(), nn.Dropout(),
            nn.Linear(128, num_classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, 32, 32) to class scores (N, num_classes)."""
        x = self.after2(self.conv2(self.after1(self.conv1(x))))
        return self.head(self.rest(self.conv3(x)))


def reduced() -> nn.Sequential:
    """ReLU, a pool that halves the image, and local response norm over 3 channels."""
    return nn.Sequential(
        nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(3, alpha=3 * 5e-5, beta=0.75, k=2.0)
    )


def alexnet_cifar(*, num_classes: int = 10) -> AlexNetCifar:
    """The backbone of `b_alexnet`: five convolutions and three linear layers, no batch norm, 28 million multiply-accumulates."""
    return AlexNetCifar(num_classes)
