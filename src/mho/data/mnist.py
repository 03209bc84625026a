"""MNIST and Fashion-MNIST, as they are published (IDX files, gzipped or not)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mho.arguments import one_of
from mho.data.dataset import Dataset
from mho.data.idx import plain_bytes, read_idx
from mho.data.preparation import GREY
from mho.data.root import data_root, missing
from mho.errors import BadInput

SIDE = 28
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""As its authors number them (github zalandoresearch/fashion-mnist, README)."""
_PREFIX = {"train": "train", "test": "t10k"}
_FIRST = "train-images-first17435.gz"
"""The first images without a header: all of the training images that some folders have."""


def mnist(*, split: str = "test", prep: str = "unit", n: int | None = None, batch: int = 250) -> Dataset:
    """Handwritten digits, (N, 1, 28, 28).

    The first half of the test images is easier than the second, so a subset flatters.

    Args:
        split: ``"test"`` (10,000 images) or ``"train"`` (60,000; the first 17,435 in a folder that has no more).
        prep: Name of a preparation, see `mho.data.preparation.GREY`.
        n: Only the first n.
        batch: Samples in a batch.

    Raises:
        BadInput: A file is missing or damaged.
    """
    return _read("mnist", "MNIST", tuple("0123456789"), split, prep, n, batch)


def fashion_mnist(*, split: str = "test", prep: str = "unit", n: int | None = None, batch: int = 250) -> Dataset:
    """Articles of clothing in ten classes, (N, 1, 28, 28) (Xiao et al. 2017, arXiv:1708.07747).

    Args:
        split: ``"test"`` (10,000 images) or ``"train"`` (60,000).
        prep: Name of a preparation, see `mho.data.preparation.GREY`.
        n: Only the first n.
        batch: Samples in a batch.

    Raises:
        BadInput: A file is missing or damaged.
    """
    return _read("fashion-mnist", "FashionMNIST", CLOTHES, split, prep, n, batch)


def _read(name: str, other: str, classes: tuple[str, ...], split: str, prep: str, n: int | None, batch: int) -> Dataset:
    """`other` is the folder that torchvision makes."""
    one_of(split, "split", _PREFIX, of=name)
    one_of(prep, "prep", GREY, of=name)
    again = f"delete it and fetch it again: mho data fetch {name}"
    images_file = _find(name, other, f"{_PREFIX[split]}-images-idx3-ubyte")
    labels_file = _find(name, other, f"{_PREFIX[split]}-labels-idx1-ubyte")
    first = data_root() / name / _FIRST
    if images_file is None and split == "train" and first.is_file():
        pixels = _headless(first, again)
    elif images_file is not None:
        pixels = read_idx(images_file, dims=3, again=again)
    else:
        raise missing(f"{name}/{_PREFIX[split]}-images-idx3-ubyte.gz", name=name)
    if labels_file is None:
        raise missing(f"{name}/{_PREFIX[split]}-labels-idx1-ubyte.gz", name=name)
    labels = read_idx(labels_file, dims=1, again=again).long()
    if images_file is None:
        labels = labels[: len(pixels)]
    elif tuple(pixels.shape[1:]) != (SIDE, SIDE):
        raise BadInput(f"has images of {tuple(pixels.shape[1:])}, not {(SIDE, SIDE)}", again, path=str(images_file))
    data = Dataset(f"{name}/{split}", GREY[prep](pixels[:, None]), labels, classes, batch)
    return data if n is None else data.subset(n)


def _find(name: str, other: str, stem: str) -> Path | None:
    places = (data_root() / name, data_root() / other / "raw")
    files = (place / f"{stem}{suffix}" for place in places for suffix in (".gz", ""))
    return next((file for file in files if file.is_file()), None)


def _headless(file: Path, again: str) -> Tensor:
    content = plain_bytes(file, again=again)
    if not content or len(content) % SIDE**2:
        raise BadInput(f"{len(content)} bytes are no images of {SIDE} × {SIDE}", again, path=str(file))
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, SIDE, SIDE)
