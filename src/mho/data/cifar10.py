"""CIFAR-10 from lossless strips of 500 images one below the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mho._optional import require
from mho.data.dataset import Dataset, check_count
from mho.data.preparation import IMAGES, choose
from mho.data.root import data_file
from mho.errors import BadInput

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SIDE = 32
_IN_STRIP = 500


def cifar10(*, split: str = "test", prep: str = "imagenet", n: int | None = None, batch: int = 250) -> Dataset:
    """Photographs of ten classes, (N, 3, 32, 32), in the original order, in which the classes are mixed.

    Args:
        split: ``"test"`` (10,000 images) or ``"train"`` (50,000).
        prep: Name of a preparation, see `mho.data.preparation.IMAGES`.
        n: Only the first n; no more files are read than these need.
        batch: Samples in a batch.

    Raises:
        BadInput: `MHO_DATA` is not set, or a file is missing or damaged.
    """
    choose(split, ("train", "test"), option="split", name="cifar10")
    choose(prep, IMAGES, option="prep", name="cifar10")
    labels = torch.from_numpy(np.load(data_file("cifar10", f"{split}_labels.npy")).astype(np.int64))
    wanted = len(labels) if n is None else n
    check_count(wanted, len(labels), name="cifar10")
    strips = range(-(-wanted // _IN_STRIP))
    images = torch.cat([_strip(data_file("cifar10", f"{split}_{i:03d}.webp")) for i in strips])[:wanted]
    return Dataset(f"cifar10/{split}", IMAGES[prep](images), labels[:wanted], CLASSES, batch)


def _strip(file: Path) -> Tensor:
    """(500, 3, 32, 32) bytes."""
    image = require("PIL.Image", extra="vision", for_what="the data set 'cifar10'")
    try:
        with image.open(file) as picture:
            pixels = np.array(picture.convert("RGB"))
    except OSError as error:
        raise BadInput(f"is no image ({error})", "fetch it again", path=str(file)) from error
    if pixels.shape != (_IN_STRIP * _SIDE, _SIDE, 3):
        raise BadInput(
            f"has the shape {pixels.shape}, not {(_IN_STRIP * _SIDE, _SIDE, 3)}",
            "fetch it again",
            path=str(file),
        )
    return torch.from_numpy(pixels).view(_IN_STRIP, _SIDE, _SIDE, 3).permute(0, 3, 1, 2)
