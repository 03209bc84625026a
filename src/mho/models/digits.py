"""A convolutional network for scikit-learn's 8 × 8 digits, small enough to train within seconds."""

from __future__ import annotations

from torch import nn


def digits_cnn(*, num_classes: int = 10) -> nn.Sequential:
    """Two convolutions, a depthwise-separable one and a linear layer; (N, 1, 8, 8) to (N, num_classes).

    Its layers are one of each kind that matters on arrays: few rows, many rows, one channel a group, and a
    linear layer of more rows (1,024) than an array usually has.
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Flatten(), nn.Linear(1024, num_classes),
    )  # fmt: skip
