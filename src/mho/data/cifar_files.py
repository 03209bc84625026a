"""The CIFAR sets as their author publishes them: pickled or binary batches, unpacked or in their archive."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mho.data.plain_pickle import read_pickle
from mho.data.root import data_root
from mho.errors import BadInput

SIDE = 32
PIXELS = 3 * SIDE * SIDE
Images = tuple[Tensor, Tensor]
"""Bytes (N, 3, 32, 32) and labels (N,)."""


class Layout(NamedTuple):
    """How one of the sets is published (https://www.cs.toronto.edu/~kriz/cifar.html).

    Attributes:
        name: Of the set, and of its folder below `data_root`.
        python: Folder of the pickled files in the archive.
        binary: Folder of the binary files.
        archives: Names of the two archives.
        files: Pickled files of each split; the binary ones end in .bin.
        labels: Key of the labels in the pickles.
        label_bytes: Bytes of labels before each image in the binary files; the last of them counts.
        classes: Number of classes.
    """

    name: str
    python: str
    binary: str
    archives: tuple[str, str]
    files: dict[str, tuple[str, ...]]
    labels: str
    label_bytes: int
    classes: int


CIFAR10 = Layout(
    "cifar10", "cifar-10-batches-py", "cifar-10-batches-bin", ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"),
    {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}, "labels", 1, 10,
)  # fmt: skip
CIFAR100 = Layout(
    "cifar100", "cifar-100-python", "cifar-100-binary", ("cifar-100-python.tar.gz", "cifar-100-binary.tar.gz"),
    {"train": ("train",), "test": ("test",)}, "fine_labels", 2, 100,
)  # fmt: skip


def read_published(layout: Layout, split: str) -> Images | None:
    """Images and labels of a split, in the author's order, or None where no published file of it is here.

    Looked at in this order, below `data_root` and its folder of the set's name: the unpacked pickles, the unpacked
    binary files, the archive of the one, the archive of the other.

    Raises:
        BadInput: A file is damaged, incomplete, or would run code.
    """
    places = [data_root() / layout.name, data_root()]
    names = layout.files[split]
    for folder, suffix, read in ((layout.python, "", _pickled), (layout.binary, ".bin", _binary)):
        for place in places:
            files = [place / folder / f"{name}{suffix}" for name in names]
            if all(file.is_file() for file in files):
                return _joined(layout, ((str(file), file.read_bytes()) for file in files), read)
    for archive, folder, suffix, read in zip(
        layout.archives, (layout.python, layout.binary), ("", ".bin"), (_pickled, _binary), strict=True
    ):
        for place in places:
            if (place / archive).is_file():
                wanted = [f"{folder}/{name}{suffix}" for name in names]
                return _joined(layout, _members(place / archive, wanted), read)
    return None


def class_names(layout: Layout) -> tuple[str, ...] | None:
    """The names of the classes as they stand beside the published files, where such are unpacked.

    Raises:
        BadInput: The file is damaged.
    """
    for place in (data_root() / layout.name, data_root()):
        pickled, listed = place / layout.python / "meta", place / layout.binary / "fine_label_names.txt"
        if pickled.is_file():
            names = list(read_pickle(pickled.read_bytes(), path=str(pickled)).get("fine_label_names", ()))
        elif listed.is_file():
            names = listed.read_text(encoding="utf8").split()
        else:
            continue
        if len(names) != layout.classes:
            file = pickled if pickled.is_file() else listed
            raise BadInput(f"names {len(names)} classes, not {layout.classes}", _again(layout), path=str(file))
        return tuple(map(str, names))
    return None


Reader = Callable[[Layout, str, bytes], Images]


def _joined(layout: Layout, contents: Iterator[tuple[str, bytes]], read: Reader) -> Images:
    parts = [read(layout, path, content) for path, content in contents]
    images, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    return images, labels


def _members(archive: Path, wanted: list[str]) -> Iterator[tuple[str, bytes]]:
    """The members in the order asked for; read in one pass, since a compressed archive has no other order."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for member in packed:
                name = member.name.removeprefix("./")
                stream = packed.extractfile(member) if name in wanted and member.isfile() else None
                if stream is not None:
                    found[name] = stream.read()
                if len(found) == len(wanted):
                    break
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadInput(f"is no whole archive ({error})", "delete it and fetch it again", path=str(archive)) from error
    for name in wanted:
        if name not in found:
            raise BadInput(f"holds no '{name}'", "delete it and fetch it again", path=str(archive))
        yield f"{archive}: {name}", found[name]


def _pickled(layout: Layout, path: str, content: bytes) -> Images:
    stored = read_pickle(content, path=path)
    pixels: Any = stored.get("data")
    labels: Any = stored.get(layout.labels)
    numbers = isinstance(labels, list) and all(type(label) is int for label in labels)
    shape = (len(labels), PIXELS) if numbers and labels else None
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape == shape:
        return _checked(layout, path, torch.from_numpy(pixels.copy()), np.asarray(labels))
    raise BadInput(f"holds no 'data' of bytes (N, {PIXELS}) with as many '{layout.labels}'", _again(layout), path=path)


def _binary(layout: Layout, path: str, content: bytes) -> Images:
    record = layout.label_bytes + PIXELS
    if not content or len(content) % record:
        raise BadInput(f"{len(content)} bytes are no records of {record} bytes", _again(layout), path=path)
    rows = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, record)
    return _checked(layout, path, rows[:, layout.label_bytes :], rows[:, layout.label_bytes - 1].numpy())


def _checked(layout: Layout, path: str, pixels: Tensor, labels: np.ndarray) -> Images:
    if labels.min() < 0 or labels.max() >= layout.classes:
        raise BadInput(f"holds labels outside 0 … {layout.classes - 1}", _again(layout), path=path)
    return pixels.reshape(-1, 3, SIDE, SIDE), torch.from_numpy(labels.astype(np.int64))


def _again(layout: Layout) -> str:
    return f"delete it and fetch it again: mho data fetch {layout.name}"
