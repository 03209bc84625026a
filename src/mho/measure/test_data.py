"""`TestData`: what every chip is tested on, and what is scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from mho.errors import BadInput
from mho.measure.names import name_of_data
from mho.store import DataInfo
from mho.store.digest import Digest
from mho.tasks import Named, Task
from mho.tasks.batches import batches_of
from mho.tasks.items import check_batched, check_finite, length, take, tensors_of
from mho.tasks.parts import split

MAX_LISTED_CLASSES = 1000
"""With more classes than this (a vocabulary), counts by class are not kept."""


@dataclass(frozen=True)
class TestData:
    """Batches held in memory in a fixed order, so that every chip sees the same samples.

    Attributes:
        batches: (inputs, targets) pairs; targets as `Task.targets` returns them.
        info: Name, digest and label counts.
        task: What is scored.
    """

    __test__ = False
    batches: tuple[tuple[Any, Any], ...]
    info: DataInfo
    task: Task

    @classmethod
    def of(cls, batches: Iterable[Any], *, task: Named | None = None, name: str | None = None) -> TestData:
        """Hold the batches of anything that `batches_of` takes (a list, a `mho.data` set, a torch or Hugging Face dataset).

        Args:
            batches: Pairs (inputs, targets), or samples of a dataset.
            task: What is scored: a name of `mho.tasks.TASKS` or a `Task`; by default that of `TestData`, else "classes".
            name: Of the data, in reports.

        Raises:
            BadInput: No samples, samples without batches, a batch without targets, targets that the task refuses, inputs
                that are not finite, or inputs and targets of different lengths.
        """
        if isinstance(batches, TestData):
            if task is None or Task.of(task) == batches.task:
                return batches
            return cls.of(NamedBatches(batches.batches, batches.info), task=task)
        batches = batches_of(batches)
        scored = Task.of("classes" if task is None else task)
        held: list[tuple[Any, Any]] = []
        parts: list[torch.Tensor] = []
        labels: list[torch.Tensor] = []
        samples = items = 0
        for i, batch in enumerate(batches):
            check_batched(batch, i, "data")
            x, y = split(batch, shifted=scored.kind == "tokens", path=f"data, batch {i}")
            y = scored.targets(y, path=f"data, batch {i}")
            counts, known = scored.counts(y), scored.labels(y)
            if isinstance(x, torch.Tensor) and len(x) != len(counts):
                raise BadInput(
                    f"batch {i} has {len(x)} inputs and {len(counts)} labels", "one label an input", path="data"
                )
            if not any(True for _ in tensors_of(x)):
                found = f"the inputs of batch {i} are a {type(x).__name__} without a tensor"
                raise BadInput(found, "give tensors: torch.as_tensor(...)", path="data")
            check_finite(x, items, "data")
            items += len(counts)
            parts += [*tensors_of(x), *tensors_of(y)]
            labels += [] if known is None else [known]
            samples += int(counts.sum())
            held.append((x, y))
        if not samples:
            raise BadInput(
                "the data holds no labelled sample", "give at least one batch of (inputs, labels)", path="data"
            )
        classes, listed = _by_class(labels, getattr(batches, "classes", ()))
        given = str(name or name_of_data(batches, samples))
        return cls(tuple(held), DataInfo(given, samples, Digest().values(*parts).value(), classes, listed), scored)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.batches)

    @property
    def items(self) -> int:
        """What has an index in a batch: images, recordings, sequences."""
        return sum(length(y) for _, y in self.batches)


def first_of(data: TestData) -> Any:
    """The inputs of the first sample, (1, …); batches may be empty."""
    return next(take(x, slice(1)) for x, y in data.batches if length(y))


def _by_class(labels: list[torch.Tensor], given: Iterable[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of the classes, and samples of each; nothing where there are no classes, or too many to list."""
    if not labels:
        return (), ()
    counts, names = torch.bincount(torch.cat(labels)), tuple(given)
    if len(names) < len(counts):
        names = tuple(map(str, range(len(counts))))
    if len(names) > MAX_LISTED_CLASSES:
        return (), ()
    return names, tuple(counts.tolist()) + (0,) * (len(names) - len(counts))


class NamedBatches(list[Any]):
    """Batches with the name and the classes of others."""

    def __init__(self, batches: Iterable[Any], info: DataInfo, suffix: str = "") -> None:
        super().__init__(batches)
        self.name, self.classes = info.name + suffix, info.classes
