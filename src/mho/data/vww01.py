"""Visual wake words of MLPerf Tiny: the 1,000 photographs of its accuracy test."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch

from mho.arguments import one_of
from mho.data.dataset import Dataset
from mho.data.preparation import IMAGES
from mho.data.root import data_file
from mho.errors import BadInput

CLASSES = ("no person", "person")
SIDE = 96
_BYTES = 3 * SIDE * SIDE
_AGAIN = "copy datasets/vww01 of github eembc/energyrunner again"


def vww01(
    *, split: str = "test", prep: str = "unit", folder: str | None = None, n: int | None = None, batch: int = 250
) -> Dataset:
    """Is a person there? Photographs (N, 3, 96, 96), 500 of each class, in the order of their names, which mixes the classes.

    Args:
        split: Only ``"test"``.
        prep: Name of a preparation; ``"unit"`` is what the published network takes.
        folder: Where ``y_labels.csv`` and the raw images lie; by default ``vww01`` below `data_root`.
        n: Only the first n.
        batch: Samples in a batch.

    Raises:
        BadInput: A file is missing or damaged.
    """
    one_of(split, "split", ("test",), of="vww01")
    one_of(prep, "prep", IMAGES, of="vww01")
    table = data_file("vww01", "y_labels.csv", name="vww01") if folder is None else Path(folder) / "y_labels.csv"
    listed = sorted(_listed(table))
    images = torch.from_numpy(np.stack([_read(table.parent / name) for name, _ in listed])).permute(0, 3, 1, 2)
    labels = torch.tensor([label for _, label in listed])
    data = Dataset("vww01/test", IMAGES[prep](images), labels, CLASSES, batch)
    return data if n is None else data.subset(n)


def _listed(table: Path) -> list[tuple[str, int]]:
    """Names of the files and their classes."""
    try:
        with table.open(newline="", encoding="utf8") as lines:
            return [(name, {"0": 0, "1": 1}[label.strip()]) for name, _, label in csv.reader(lines)]
    except (OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        found = f"no lines of name, number of classes, 0 or 1 ({type(error).__name__}: {error})"
        raise BadInput(found, _AGAIN, path=str(table)) from error


def _read(file: Path) -> np.ndarray:
    try:
        pixels = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", _AGAIN, path=str(file)) from error
    if pixels.size != _BYTES:
        raise BadInput(f"has {pixels.size} bytes, not {SIDE} × {SIDE} × 3", _AGAIN, path=str(file))
    return pixels.reshape(SIDE, SIDE, 3)
