"""`subject`: a trained network with its data."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import torch
from torch import nn

from mho.data import Dataset, load
from mho.models import digits_cnn, published
from mho.training import train

RANGES = 1000
"""Training samples, at most, that set the ranges of converters."""


@dataclass(frozen=True)
class Subject:
    """A trained network.

    Attributes:
        model: In eval mode.
        test: What accuracy is measured on.
        ranges: What sets ranges of converters; labels are never looked at.
        train: What may be trained on, and remedies chosen on.
    """

    model: nn.Module
    test: Dataset
    ranges: Dataset
    train: Dataset


def subject(name: str, *, samples: int | None = 2000, images: int = RANGES, split: bool = False) -> Subject:
    """A published network, or ``"digits"``: a small one that is trained here in seconds, for smoke scale.

    Args:
        name: Name among the published ones that have data, or ``"digits"``.
        samples: First test images of CIFAR-10; None: all 10,000. Smaller data sets are taken whole.
        images: First training images of it.
        split: Data without a training part: the second half is the test, the first all else. Otherwise all of it is both
            (ranges never look at labels).

    Raises:
        BadInput: `MHO_DATA`, where weights and data lie, is not set or not complete; not needed for ``"digits"``.
    """
    if name == "digits":
        return _digits()
    model, info = published(name)
    assert info.data is not None, "every network of a study has data"
    if info.data.startswith("cifar10"):
        training = load(f"{info.data}&split=train&n={images}")
        test = load(info.data if samples is None else f"{info.data}&n={samples}")
        return Subject(model, test, training.subset(min(images, RANGES)), training)
    whole = load(info.data)
    if not split:
        return Subject(model, whole, whole, whole)
    half = len(whole.labels) // 2
    first = whole.subset(half)
    return Subject(model, replace(whole, inputs=whole.inputs[half:], labels=whole.labels[half:]), first, first)


@functools.cache
def _digits() -> Subject:
    training, test = load("digits?split=train"), load("digits")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = digits_cnn()
    return Subject(train(model, training, epochs=15), test, training.subset(RANGES), training)
