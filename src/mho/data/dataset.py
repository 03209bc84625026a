"""`Dataset`: labelled samples in memory, handed out in batches, always in the same order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mho.errors import BadInput, WrongSetting
from mho.store.digest import Digest
from mho.tasks.batches import batches_of
from mho.tasks.items import check_batched, joined, length, take, tensors_of
from mho.tasks.parts import split

IGNORED = -100
"""Label of positions that do not count (padding of language data)."""


def check_count(n: int, available: int, *, name: str) -> None:
    """Refuse a number of samples that cannot be taken.

    Raises:
        WrongSetting: `n` is not a whole number from 1 to `available`.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= available:
        raise WrongSetting(f"{n!r} of {available} samples", f"ask for 1 to {available} of them", path=f"{name}: n")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and labels; iterating gives (inputs, labels) batches.

    Attributes:
        name: For reports.
        inputs: (N, …), ready for the network; or a dict or tuple of such.
        labels: int64 class numbers (N,), or next tokens (N, T) with `IGNORED` where there is none; without classes, whatever
            the task takes.
        classes: Names of the classes; empty where there are none or they are not known.
        batch: Samples in a batch; the last one may have fewer.

    Raises:
        BadInput: No samples, inputs and labels of different lengths, labels that are no class numbers, or
            inputs that are not finite.
        WrongSetting: `batch` is no positive whole number.
    """

    name: str
    inputs: Any
    labels: Any
    classes: tuple[str, ...] = ()
    batch: int = 250

    def __post_init__(self) -> None:
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise WrongSetting(
                f"batch is {self.batch!r}", "give the number of samples in a batch, at least 1", path="batch"
            )
        if length(self.inputs) != length(self.labels):
            raise BadInput(
                f"{length(self.inputs)} inputs but {length(self.labels)} labels",
                "give one label an input",
                path=self.name,
            )
        if not length(self.labels):
            raise BadInput("no labelled sample", "give at least one", path=self.name)
        if self.classes:
            self._check_classes()
        for part in tensors_of(self.inputs):
            if part.is_floating_point() and not bool(torch.isfinite(part).all()):
                raise BadInput("inputs have values that are not finite", "mend the data", path=self.name)

    def _check_classes(self) -> None:
        if not isinstance(self.labels, Tensor) or self.labels.dtype != torch.int64:
            kind = getattr(self.labels, "dtype", type(self.labels).__name__)
            raise BadInput(f"labels are {kind}", "give class numbers as int64", path=self.name)
        counted = self.labels[self.labels != IGNORED]
        if not counted.numel():
            raise BadInput("no labelled sample", "give at least one", path=self.name)
        low, high = int(counted.min()), int(counted.max())
        if low < 0 or high >= len(self.classes):
            raise BadInput(
                f"labels run from {low} to {high}, but there are {len(self.classes)} classes",
                f"labels are 0 … {len(self.classes) - 1}, or {IGNORED} to skip",
                path=self.name,
            )

    @classmethod
    def of(cls, data: Any, *, name: str | None = None, batch: int = 250) -> Dataset:
        """Hold anything that `mho.tasks.batches.batches_of` takes.

        Args:
            data: Batches of (inputs, labels) or dicts with labels, a torch `Dataset` or `DataLoader`, or a Hugging Face dataset.
            name: For reports.
            batch: Samples in a batch.

        Raises:
            BadInput: It gives no batches of (inputs, labels), or they do not fit together.
        """
        if isinstance(data, Dataset):
            return data
        given = batches_of(data, path=name or "data", batch=batch)
        held = list(given)
        for i, each in enumerate(held):
            check_batched(each, i, name or "data")
            if isinstance(each, Mapping):
                held[i] = split(each, path=f"{name or 'data'}, batch {i}")
            elif not isinstance(each, (tuple, list)) or len(each) != 2:
                raise BadInput(
                    f"batch {i} is no pair",
                    "give batches of (inputs, labels), or dicts with 'labels'",
                    path=name or "data",
                )
        if not held:
            raise BadInput("gives no batch", "give at least one batch of (inputs, labels)", path=name or "data")
        inputs, labels = joined([x for x, _ in held]), joined([y for _, y in held])
        title = name or str(getattr(given, "name", type(data).__name__))
        return cls(title, inputs, labels, tuple(getattr(given, "classes", ())), batch)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for begin in range(0, length(self.labels), self.batch):
            rows = slice(begin, begin + self.batch)
            yield take(self.inputs, rows), take(self.labels, rows)

    def __len__(self) -> int:
        """Number of batches."""
        return math.ceil(length(self.labels) / self.batch)

    def subset(self, n: int) -> Dataset:
        """The first `n` samples.

        Raises:
            WrongSetting: There are not so many.
        """
        check_count(n, length(self.labels), name=self.name)
        return replace(self, inputs=take(self.inputs, slice(n)), labels=take(self.labels, slice(n)))

    def digest(self) -> str:
        """12 hexadecimal digits that change with any input or label."""
        found = Digest()
        for part in (*tensors_of(self.inputs), *tensors_of(self.labels)):
            found.add(part)
        return found.value()
