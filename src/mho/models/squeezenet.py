"""SqueezeNet: v1.0 as its authors released it for Caffe, and the cut v1.1 of the drift study."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mho.arguments import whole
from mho.models.weights import load_weights, read_weights

_SMALLEST = 21
"""Side of the smallest image of which something reaches the head of `SqueezeNetVWW`."""
_Pool = partial(nn.MaxPool2d, kernel_size=3, stride=2, ceil_mode=True)


class _CaffeFire(nn.Module):
    """Squeeze to few channels, expand by 1 × 1 and 3 × 3 convolutions side by side."""

    def __init__(self, c_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(c_in, squeezed, 1)
        self.expand1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((self.expand1(x), self.expand3(x)), dim=1))


class _Fire(nn.Module):
    """The same under torchvision's parameter names, so that its weights fit."""

    def __init__(self, c_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(c_in, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((self.expand1x1(x), self.expand3x3(x)), dim=1))


class SqueezeNet10(nn.Module):
    """SqueezeNet v1.0 with the padding of the Caffe prototxt: none in `conv1`, one pixel in `conv_final`.

    Args:
        num_classes: Number of outputs.
    """

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2)
        self.fire = nn.ModuleList(
            _CaffeFire(*sizes)
            for sizes in (
                (96, 16, 64), (128, 16, 64), (128, 32, 128),
                (256, 32, 128), (256, 48, 192), (384, 48, 192), (384, 64, 256),
                (512, 64, 256),
            )
        )  # fmt: skip
        self.pool = _Pool()
        self.conv_final = nn.Conv2d(512, num_classes, 1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, 227, 227), BGR 0 … 255 minus the channel means, to class scores (N, num_classes)."""
        x = self.pool(F.relu(self.conv1(x)))
        for number, fire in enumerate(self.fire, start=2):
            x = fire(x)
            if number in (4, 8):
                x = self.pool(x)
        return F.relu(self.conv_final(x)).mean((2, 3))


class SqueezeNetVWW(nn.Module):
    """The first nine modules of torchvision's SqueezeNet v1.1, and a head that gives one output.

    At 224 × 224 the head flattens a 256 × 13 × 13 map, so that more than half of the parameters are in it; at 32 × 32 the map
    is 256 × 1 × 1.

    Args:
        size: Side of the images, at least 21.
        sigmoid: The output is a probability (task "probability"), else its logit (task "logit").

    Raises:
        WrongSetting: Images so small that nothing is left of them.
    """

    def __init__(self, *, size: int = 224, sigmoid: bool = True) -> None:
        super().__init__()
        whole(size, "size", least=_SMALLEST)
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), _Pool(),
            _Fire(64, 16, 64), _Fire(128, 16, 64), _Pool(),
            _Fire(128, 32, 128), _Fire(256, 32, 128), _Pool(),
        )  # fmt: skip
        side = (size - 3) // 2 + 1
        for _ in range(3):
            side = math.ceil((side - 3) / 2) + 1
        flat = 256 * side * side
        linear = nn.Linear(flat, 1)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.constant_(linear.bias, 0.01)
        last = [nn.Sigmoid()] if sigmoid else []
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.BatchNorm1d(flat), linear, *last)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, size, size), normalised as for ImageNet, to the probability or logit of class 1, (N, 1)."""
        return self.head(self.features(x))


def squeezenet10(*, num_classes: int = 1000) -> SqueezeNet10:
    """SqueezeNet v1.0, 1,248,424 parameters."""
    return SqueezeNet10(num_classes=num_classes)


def squeezenet_vww(*, size: int = 224, sigmoid: bool = True, features: str | None = None) -> SqueezeNetVWW:
    """The network of the drift study, 250,209 parameters (121,185 at size 32); evaluate it with ``task="probability"``.

    Args:
        size: Side of the images.
        sigmoid: The output is a probability; else evaluate it with ``task="logit"``.
        features: File of weights that torchvision publishes of its whole SqueezeNet v1.1 (or any state dict with its names):
            those of the modules that are here are taken, the head is drawn anew.

    Raises:
        BadInput: There is no such file, or its weights do not fit.
        WrongSetting: Images that are too small.
    """
    net = SqueezeNetVWW(size=size, sigmoid=sigmoid)
    if features is not None:
        kept = {name: value for name, value in read_weights(features).items() if _number(name) < len(net.features)}
        load_weights(
            net.features, {name.removeprefix("features."): value for name, value in kept.items()}, source=features
        )
    return net


def _number(name: str) -> float:
    """Place of the module among torchvision's features that a parameter belongs to; inf for one of its classifier."""
    part = name.removeprefix("features.").partition(".")[0]
    return int(part) if name.startswith("features.") and part.isdigit() else math.inf
