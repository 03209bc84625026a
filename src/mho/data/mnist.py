"""MNIST: all test images, and the part of the training images that is in the folder."""

from __future__ import annotations

import gzip
import zlib

import torch
from torch import Tensor

from mho.data.dataset import Dataset
from mho.data.preparation import GREY, choose
from mho.data.root import data_file
from mho.errors import BadInput

_SIDE = 28
_LABEL_HEADER, _IMAGE_HEADER = 8, 16
_FILES = {
    "test": ("t10k-images-idx3-ubyte.gz", _IMAGE_HEADER, "t10k-labels-idx1-ubyte.gz"),
    "train": ("train-images-first17435.gz", 0, "train-labels-idx1-ubyte.gz"),
}


def mnist(*, split: str = "test", prep: str = "unit", n: int | None = None, batch: int = 250) -> Dataset:
    """Handwritten digits, (N, 1, 28, 28).

    The first half of the test images is easier than the second, so a subset flatters.

    Args:
        split: ``"test"`` (10,000 images) or ``"train"`` (the first 17,435 of 60,000).
        prep: Name of a preparation, see `mho.data.preparation.GREY`.
        n: Only the first n.
        batch: Samples in a batch.

    Raises:
        BadInput: `MHO_DATA` is not set, or a file is missing or damaged.
    """
    choose(split, _FILES, option="split", name="mnist")
    choose(prep, GREY, option="prep", name="mnist")
    images_file, header, labels_file = _FILES[split]
    pixels = _bytes(images_file, header)
    if not len(pixels) or len(pixels) % _SIDE**2:
        raise BadInput(f"{len(pixels)} bytes are no images of {_SIDE} × {_SIDE}", "fetch it again", path=images_file)
    images = pixels.view(-1, 1, _SIDE, _SIDE)
    labels = _bytes(labels_file, _LABEL_HEADER)[: len(images)].long()
    data = Dataset(f"mnist/{split}", GREY[prep](images), labels, tuple("0123456789"), batch)
    return data if n is None else data.subset(n)


def _bytes(name: str, header: int) -> Tensor:
    file = data_file("mnist", name)
    try:
        content = gzip.decompress(file.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"is no gzip file ({error})", "fetch it again", path=str(file)) from error
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[header:]
