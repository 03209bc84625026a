"""CIFAR-10 and CIFAR-100: as their author publishes them; CIFAR-10 also from lossless strips of 500 images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mho._optional import require
from mho.arguments import one_of, whole
from mho.data.cifar_files import CIFAR10, CIFAR100, SIDE, Layout, class_names, read_published
from mho.data.dataset import Dataset, check_count
from mho.data.numpy_file import read_numpy
from mho.data.preparation import IMAGES
from mho.data.root import data_file, data_root, missing
from mho.errors import BadInput

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_IN_STRIP = 500


def cifar10(
    *, split: str = "test", prep: str = "imagenet", n: int | None = None, skip: int = 0, batch: int = 250
) -> Dataset:
    """Photographs of ten classes, (N, 3, 32, 32), in the original order, in which the classes are mixed.

    Args:
        split: ``"test"`` (10,000 images) or ``"train"`` (50,000).
        prep: Name of a preparation, see `mho.data.preparation.IMAGES`.
        n: Only so many; of strips, no more files are read than these need.
        skip: Images left out at the beginning, such as those of another part: choose on some, report on others.
        batch: Samples in a batch.

    Raises:
        BadInput: A file is missing or damaged.
    """
    one_of(split, "split", ("train", "test"), of="cifar10")
    one_of(prep, "prep", IMAGES, of="cifar10")
    if (data_root() / "cifar10" / f"{split}_labels.npy").is_file():
        (stored,) = read_numpy(data_file("cifar10", f"{split}_labels.npy", name="cifar10"))
        labels = torch.from_numpy(stored.astype(np.int64))
        part = _part(n, skip, len(labels), "cifar10")
        first = part.start // _IN_STRIP
        strips = range(first, -(-part.stop // _IN_STRIP))
        files = [data_file("cifar10", f"{split}_{i:03d}.webp", name="cifar10") for i in strips]
        images = torch.cat([_strip(file) for file in files])[part.start - first * _IN_STRIP :][: part.stop - part.start]
        return Dataset(f"cifar10/{split}", IMAGES[prep](images), labels[part], CLASSES, batch)
    return _published(CIFAR10, split, prep, n, skip, batch, CLASSES)


def cifar100(
    *, split: str = "test", prep: str = "imagenet", n: int | None = None, skip: int = 0, batch: int = 250
) -> Dataset:
    """Photographs of a hundred classes, (N, 3, 32, 32), in the original order, with the fine labels.

    Args:
        split: ``"test"`` (10,000 images) or ``"train"`` (50,000).
        prep: Name of a preparation, see `mho.data.preparation.IMAGES`.
        n: Only so many.
        skip: Images left out at the beginning.
        batch: Samples in a batch.

    Raises:
        BadInput: A file is missing or damaged.
    """
    one_of(split, "split", ("train", "test"), of="cifar100")
    one_of(prep, "prep", IMAGES, of="cifar100")
    return _published(CIFAR100, split, prep, n, skip, batch, class_names(CIFAR100))


def _published(
    layout: Layout, split: str, prep: str, n: int | None, skip: int, batch: int, classes: tuple[str, ...] | None
) -> Dataset:
    found = read_published(layout, split)
    if found is None:
        raise missing(f"{layout.name}/{layout.python}/{layout.files[split][0]}", name=layout.name)
    images, labels = found
    part = _part(n, skip, len(labels), layout.name)
    names = classes or tuple(map(str, range(layout.classes)))
    return Dataset(f"{layout.name}/{split}", IMAGES[prep](images[part]), labels[part], names, batch)


def _part(n: int | None, skip: int, total: int, name: str) -> slice:
    """The images that are asked for."""
    whole(skip, "skip", least=0)
    if skip >= total:
        raise BadInput(f"{name} has {total:,} samples here: none is left after skip={skip:,}", "skip fewer")
    wanted = total - skip if n is None else n
    check_count(wanted, total - skip, name=name)
    return slice(skip, skip + wanted)


def _strip(file: Path) -> Tensor:
    """(500, 3, 32, 32) bytes."""
    image = require("PIL.Image", extra="vision", for_what="the data set 'cifar10'")
    try:
        with image.open(file) as picture:
            pixels = np.array(picture.convert("RGB"))
    except OSError as error:
        raise BadInput(f"is no image ({error})", "fetch it again", path=str(file)) from error
    if pixels.shape != (_IN_STRIP * SIDE, SIDE, 3):
        raise BadInput(
            f"has the shape {pixels.shape}, not {(_IN_STRIP * SIDE, SIDE, 3)}",
            "fetch it again",
            path=str(file),
        )
    return torch.from_numpy(pixels).view(_IN_STRIP, SIDE, SIDE, 3).permute(0, 3, 1, 2)
