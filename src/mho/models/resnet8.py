"""ResNet-8, the image classifier of the MLPerf Tiny benchmark, with and without its batch norms."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mho.models.same_conv import SameConv2d

_KERAS_EPS = 1e-3


class ResNet8(nn.Module):
    """A stem, three residual blocks (the last two halve the image) and a linear layer.

    Args:
        widths: Channels of the three blocks.
        num_classes: Number of outputs.
        batch_norm: False leaves the batch norms out, for weights into which they were folded.
    """

    def __init__(self, *, widths: tuple[int, int, int], num_classes: int, batch_norm: bool) -> None:
        super().__init__()

        def norm(channels: int) -> nn.Module:
            return nn.BatchNorm2d(channels, eps=_KERAS_EPS) if batch_norm else nn.Identity()

        one, two, three = widths
        self.stem, self.stem_bn = SameConv2d(3, one, 3), norm(one)
        self.b1c1, self.b1bn1 = SameConv2d(one, one, 3), norm(one)
        self.b1c2, self.b1bn2 = SameConv2d(one, one, 3), norm(one)
        self.b2c1, self.b2bn1 = SameConv2d(one, two, 3, stride=2), norm(two)
        self.b2c2, self.b2bn2 = SameConv2d(two, two, 3), norm(two)
        self.b2sc = SameConv2d(one, two, 1, stride=2)
        self.b3c1, self.b3bn1 = SameConv2d(two, three, 3, stride=2), norm(three)
        self.b3c2, self.b3bn2 = SameConv2d(three, three, 3), norm(three)
        self.b3sc = SameConv2d(two, three, 1, stride=2)
        self.fc = nn.Linear(three, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) with values 0 … 255 to class scores (N, num_classes)."""
        x = F.relu(self.stem_bn(self.stem(x)))
        y = F.relu(self.b1bn1(self.b1c1(x)))
        x = F.relu(self.b1bn2(self.b1c2(y)) + x)
        y = F.relu(self.b2bn1(self.b2c1(x)))
        x = F.relu(self.b2bn2(self.b2c2(y)) + self.b2sc(x))
        y = F.relu(self.b3bn1(self.b3c1(x)))
        x = F.relu(self.b3bn2(self.b3c2(y)) + self.b3sc(x))
        return self.fc(x.mean((2, 3)))


def resnet8(*, num_classes: int = 10) -> ResNet8:
    """The reference network of the benchmark: widths 16, 32 and 64, 78,186 parameters."""
    return ResNet8(widths=(16, 32, 64), num_classes=num_classes, batch_norm=True)


def resnet8_large(*, num_classes: int = 10) -> ResNet8:
    """The wide one: widths 40, 80 and 160, batch norms folded into the convolutions, 480,330 parameters."""
    return ResNet8(widths=(40, 80, 160), num_classes=num_classes, batch_norm=False)
