"""`Dataset`: labelled samples in memory, handed out in batches, always in the same order."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mho.errors import BadInput, WrongSetting

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
        inputs: (N, …), ready for the network.
        labels: int64 class numbers (N,), or next tokens (N, T) with `IGNORED` where there is none.
        classes: Names of the classes.
        batch: Samples in a batch; the last one may have fewer.

    Raises:
        BadInput: No samples, inputs and labels of different lengths, labels that are no class numbers, or
            inputs that are not finite.
        WrongSetting: `batch` is no positive whole number.
    """

    name: str
    inputs: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    batch: int = 250

    def __post_init__(self) -> None:
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise WrongSetting(
                f"batch is {self.batch!r}", "give the number of samples in a batch, at least 1", path="batch"
            )
        if len(self.inputs) != len(self.labels):
            raise BadInput(
                f"{len(self.inputs)} inputs but {len(self.labels)} labels",
                "give one label an input",
                path=self.name,
            )
        if self.labels.dtype != torch.int64:
            raise BadInput(f"labels are {self.labels.dtype}", "give class numbers as int64", path=self.name)
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
        if self.inputs.is_floating_point() and not bool(torch.isfinite(self.inputs).all()):
            raise BadInput("inputs have values that are not finite", "mend the data", path=self.name)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.inputs.split(self.batch), self.labels.split(self.batch), strict=True)

    def __len__(self) -> int:
        """Number of batches."""
        return math.ceil(len(self.labels) / self.batch)

    def subset(self, n: int) -> Dataset:
        """The first `n` samples.

        Raises:
            WrongSetting: There are not so many.
        """
        check_count(n, len(self.labels), name=self.name)
        return replace(self, inputs=self.inputs[:n], labels=self.labels[:n])

    def digest(self) -> str:
        """12 hexadecimal digits that change with any input or label."""
        sha = hashlib.sha256()
        for part in (self.inputs, self.labels):
            sha.update(f"{part.dtype}{tuple(part.shape)}".encode())
            sha.update(part.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return sha.hexdigest()[:12]
