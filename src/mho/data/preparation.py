"""From the bytes of an image to what a network was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Preparation = Callable[[Tensor], Tensor]


def _standardised(mean: Iterable[float], std: Iterable[float]) -> Preparation:
    shift, scale = (torch.tensor(list(values)).view(1, -1, 1, 1) for values in (mean, std))
    return lambda images: (images.float() / 255 - shift) / scale


IMAGES: dict[str, Preparation] = {
    "imagenet": _standardised((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar": _standardised((0.49140, 0.48216, 0.44653), (0.24703, 0.24349, 0.26159)),
    "unit": lambda images: images.float() / 255,
    "pm1": lambda images: images.float() / 127.5 - 1,
    "raw255": lambda images: images.float(),
}
"""For RGB images (N, 3, H, W) of bytes.

'imagenet' and 'cifar' standardise by that data set's mean and deviation; 'unit' scales to 0 … 1,
'pm1' to -1 … 1, 'raw255' not at all."""

GREY: dict[str, Preparation] = {
    "unit": IMAGES["unit"],
    "pm1": IMAGES["pm1"],
    "raw255": IMAGES["raw255"],
    "mnist": _standardised((0.1307,), (0.3081,)),
}
"""For grey images (N, 1, H, W) of bytes; 'mnist' standardises by MNIST's mean and deviation."""
