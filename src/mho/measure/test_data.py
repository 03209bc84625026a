"""`TestData`: what every chip is tested on, and what is scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from mho.errors import BadInput
from mho.given import batches as given_batches
from mho.store import DataInfo
from mho.store.digest import Digest
from mho.tasks import Named, Task
from mho.tasks.items import length, tensors_of

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
        """Hold the batches of any iterable (a DataLoader, a `mho.data` set, a list).

        Args:
            batches: Pairs (inputs, targets).
            task: What is scored: a name of `mho.tasks.TASKS` or a `Task`; by default that of `TestData`, else "classes".
            name: Of the data, in reports.

        Raises:
            BadInput: No samples, a batch without targets, targets that the task refuses, or inputs and targets of different
                lengths.
        """
        if isinstance(batches, TestData):
            if task is None or Task.of(task) == batches.task:
                return batches
            return cls.of(NamedBatches(batches.batches, batches.info), task=task)
        scored = Task.of("classes" if task is None else task)
        given_batches(batches)
        held: list[tuple[Any, Any]] = []
        parts: list[torch.Tensor] = []
        labels: list[torch.Tensor] = []
        samples = 0
        for i, batch in enumerate(batches):
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise BadInput(f"batch {i} is not a pair", "give batches of (inputs, labels)", path="data")
            x, y = batch[0], scored.targets(batch[1], path=f"data, batch {i}")
            counts, known = scored.counts(y), scored.labels(y)
            if isinstance(x, torch.Tensor) and len(x) != len(counts):
                raise BadInput(
                    f"batch {i} has {len(x)} inputs and {len(counts)} labels", "one label an input", path="data"
                )
            if not any(True for _ in tensors_of(x)):
                found = f"the inputs of batch {i} are a {type(x).__name__} without a tensor"
                raise BadInput(found, "give tensors: torch.as_tensor(...)", path="data")
            parts += [*tensors_of(x), *tensors_of(y)]
            labels += [] if known is None else [known]
            samples += int(counts.sum())
            held.append((x, y))
        if not samples:
            raise BadInput(
                "the data holds no labelled sample", "give at least one batch of (inputs, labels)", path="data"
            )
        classes, listed = _by_class(labels, getattr(batches, "classes", ()))
        given = str(name or getattr(batches, "name", type(batches).__name__))
        return cls(tuple(held), DataInfo(given, samples, Digest().values(*parts).value(), classes, listed), scored)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.batches)

    @property
    def items(self) -> int:
        """What has an index in a batch: images, recordings, sequences."""
        return sum(length(y) for _, y in self.batches)


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
