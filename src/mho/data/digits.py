"""scikit-learn's digits: 1,797 images of 8 × 8 pixels with 17 grey levels, part of the package."""

from __future__ import annotations

import torch

from mho._optional import require
from mho.arguments import one_of
from mho.data.dataset import Dataset
from mho.rng import Stream

_TEST_IMAGES = 540
_WHITE = 16


def digits(*, split: str = "test", n: int | None = None, batch: int = 128) -> Dataset:
    """Handwritten digits, scaled to 0 … 1, in a fixed random order.

    Args:
        split: ``"train"`` (1,257 images) or ``"test"`` (540); each class is split in the same proportion.
        n: Only the first n.
        batch: Samples in a batch.
    """
    one_of(split, "split", ("train", "test"), of="digits")
    bunch = require("sklearn.datasets", extra="demo", for_what="the data set 'digits'").load_digits()
    images = torch.as_tensor(bunch.images, dtype=torch.float32)[:, None] / _WHITE
    labels = torch.as_tensor(bunch.target, dtype=torch.int64)
    order = torch.argsort(Stream(("digits",)).uniform("split", (len(labels),)), stable=True)
    images, labels = images[order], labels[order]
    rows = torch.full(labels.shape, split == "train")
    rows[_spread(labels)] = split == "test"
    data = Dataset(f"digits/{split}", images[rows], labels[rows], tuple("0123456789"), batch)
    return data if n is None else data.subset(n)


def _spread(labels: torch.Tensor) -> torch.Tensor:
    """Places of the test images: every so many along the images sorted by class."""
    ranks = torch.arange(len(labels) + 1) * _TEST_IMAGES // len(labels)
    return torch.argsort(labels, stable=True)[ranks[1:] > ranks[:-1]]
