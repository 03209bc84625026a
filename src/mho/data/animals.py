"""Animals against vehicles: a binary task out of CIFAR-10, with the share of positives of Visual Wake Words."""

from __future__ import annotations

from dataclasses import replace

import torch

from mho.arguments import one_of
from mho.data.cifar10 import cifar10
from mho.data.dataset import Dataset

CLASSES = ("vehicle", "animal")
_ANIMALS = torch.tensor([False, False, True, True, True, True, True, True, False, False])
_POSITIVE = 47 / 53
"""Animals for each vehicle."""
_CALIBRATION = 2000
"""Images at the end of the training part that nothing is trained on."""


def animals(*, split: str = "test", prep: str = "imagenet", n: int | None = None, batch: int = 250) -> Dataset:
    """Is there an animal? Images (N, 3, 32, 32) of CIFAR-10, 47 % with one, 53 % with a vehicle, in the original order.

    Every vehicle is taken and of the animals as many as give that share, evenly spread, so that the first n have it, too.

    Args:
        split: ``"test"`` (7,547 images), ``"train"`` (35,736), or ``"calibration"``: the last 2,000 of the training part.
        prep: Name of a preparation, see `mho.data.preparation.IMAGES`.
        n: Only the first n.
        batch: Samples in a batch.

    Raises:
        BadInput: A file of CIFAR-10 is missing or damaged.
    """
    one_of(split, "split", ("train", "calibration", "test"), of="animals")
    of = cifar10(split="test" if split == "test" else "train", prep=prep, batch=batch)
    animal = _ANIMALS[of.labels]
    wanted = round(_POSITIVE * int((~animal).sum()))
    turn = animal.cumsum(0) * wanted // int(animal.sum())
    taken = ~animal | (turn.diff(prepend=turn.new_zeros(1)) > 0)
    where = taken.nonzero().flatten()
    if split != "test":
        where = where[-_CALIBRATION:] if split == "calibration" else where[:-_CALIBRATION]
    data = replace(of, name=f"animals/{split}", inputs=of.inputs[where], labels=animal[where].long(), classes=CLASSES)
    return data if n is None else data.subset(n)
