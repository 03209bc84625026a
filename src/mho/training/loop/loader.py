"""The order of the samples: a permutation with an address for every epoch, cut into steps, parts and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mho.arguments import whole
from mho.errors import BadInput
from mho.rng import key
from mho.tasks import Task
from mho.tasks.batches import LABELS, batches_of
from mho.tasks.items import check_batched, joined, length, take, tensors_of
from mho.tasks.parts import inputs_of, split

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""From a batch of inputs and a generator to a batch of inputs."""


@dataclass(frozen=True, eq=False)
class Samples:
    """All samples in memory.

    Attributes:
        inputs: What the network takes for N items: a tensor (N, …), or a dict or tuple of such.
        targets: As the task has them, or None.
        counts: How many values of each score an item gives, (N,): 1, or the tokens of a text that count.
    """

    inputs: Any
    targets: Any
    counts: Tensor

    def __len__(self) -> int:
        return len(self.counts)


class Part(NamedTuple):
    """What one process computes at a time.

    Attributes:
        inputs: Of n items.
        targets: Of the same, or None.
        weight: Factor of its mean loss, so that the mean over processes and accumulated parts is the mean over the step.
        counted: The items' counts together.
        place: Number of the part within its epoch.
    """

    inputs: Any
    targets: Any
    weight: float
    counted: int
    place: int


def hold(data: Iterable[Any], task: Task | None = None, *, path: str = "data", training: bool = True) -> Samples:
    """All samples of a data set, or of any iterable of batches, together in memory.

    Args:
        data: Has `inputs` and `labels`, or gives batches of inputs, or of (inputs, targets). Where the tensors lie they
            stay: data on the GPU is cut into batches there.
        task: Checks the targets; without it they are taken as they are.
        path: What to call the data in messages.
        training: Whether soft targets are allowed, where the task knows such.

    Raises:
        BadInput: No sample, batches that are neither, or targets that are none for the task.
    """
    whole = (getattr(data, "inputs", None), getattr(data, "labels", None))
    xs: list[Any] = []
    ys: list[Any] = []
    given = [whole] if all(isinstance(part, Tensor) for part in whole) else batches_of(data, path=path)
    for i, batch in enumerate(given):
        check_batched(batch, i, path)
        x, y = _parts(batch, task)
        if not any(True for _ in tensors_of(x)):
            found, remedy = f"batch {i} is a {type(batch).__name__}", "give tensors, or pairs (inputs, labels)"
            raise BadInput(found, remedy, path=path)
        if xs and isinstance(x, Tensor) and x.shape[1:] != xs[0].shape[1:]:
            found = f"batch {i} has inputs {tuple(x.shape)}, the first {tuple(xs[0].shape)}"
            remedy = "inputs have one shape; for a pair of tensors (inputs, labels) give [(inputs, labels)]"
            raise BadInput(found, remedy, path=path)
        if i and (y is None) != (ys[0] is None):
            raise BadInput("some batches have labels and some have none", "give all of them or none", path=path)
        if y is not None:
            y = torch.as_tensor(y) if task is None else task.targets(y, path=path, training=training)
            if any(len(part) != length(x) if part.dim() else True for part in tensors_of(y)):
                shapes = ", ".join(str(tuple(part.shape)) for part in tensors_of(y))
                raise BadInput(f"batch {i} has {length(x)} inputs and labels {shapes}", "one label an input", path=path)
        xs.append(x)
        ys.append(y)
    if not sum(map(length, xs)):
        raise BadInput("there is no sample", "give at least one batch of (inputs, labels)", path=path)
    # What is whole already is not copied.
    x, y = (xs[0], ys[0]) if len(xs) == 1 else (joined(xs), None if ys[0] is None else joined(ys))
    counts = torch.ones(length(x), dtype=torch.long) if y is None or task is None else task.counts(y).cpu()
    if not int(counts.sum()):
        raise BadInput("no label counts", "give labels that are not all to be ignored", path=path)
    return Samples(x, y, counts)


def _parts(batch: Any, task: Task | None) -> tuple[Any, Any]:
    """Inputs and targets of a batch, or inputs alone."""
    if isinstance(batch, Mapping) and any(name in batch for name in LABELS):
        return split(batch, shifted=task is not None and task.kind == "tokens")
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return split(batch)
    return inputs_of(batch) if isinstance(batch, Mapping) else batch, None


def moved(batch: Any, device: torch.device) -> Any:
    """A tensor, or dicts and tuples of such, on a device."""
    if isinstance(batch, dict):
        return {name: moved(part, device) for name, part in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(moved(part, device) for part in batch)
    return batch.to(device) if isinstance(batch, Tensor) else batch


def order(samples: int, *, seed: int, epoch: int) -> Tensor:
    """The permutation of an epoch, (samples,); it depends on its arguments alone."""
    generator = torch.Generator().manual_seed(key("fit", "order", seed, epoch))
    return torch.randperm(samples, generator=generator)


def shuffled(data: Iterable[Any], *, batch: int, epoch: int, seed: int = 0) -> Iterator[tuple[Any, Any]]:
    """The batches (inputs, targets) of an epoch, in the order in which `fit` takes them: for loops of one's own."""
    batch = whole(batch, "batch")
    samples = data if isinstance(data, Samples) else hold(data)
    for rows in order(len(samples), seed=seed, epoch=epoch).split(batch):
        yield take(samples.inputs, rows), take(samples.targets, rows)


class Loader:
    """The parts of each epoch, for one process.

    A step takes `batch · world · accumulate` samples; its parts follow one another, and of each part every process
    takes every world-th sample. The last step of an epoch may be smaller.

    Args:
        samples: The data.
        batch: Samples that a process computes at a time.
        seed: Root of the order's address.
        world: Processes.
        rank: Which of them this is.
        accumulate: Parts in an optimiser step.
        augment: Applied to every batch; its generator's address is (seed, epoch, part, rank).
    """

    def __init__(
        self, samples: Samples, *, batch: int, seed: int = 0, world: int = 1, rank: int = 0, accumulate: int = 1,
        augment: Augment | None = None,
    ) -> None:  # fmt: skip
        self.samples, self.batch, self.seed, self.augment = samples, batch, seed, augment
        self.world, self.rank, self.accumulate = world, rank, accumulate
        self.parts = -(-len(samples) // (batch * world))
        """Parts in a whole epoch."""
        self.steps = -(-self.parts // accumulate)
        """Optimiser steps in a whole epoch."""
        self.total = int(samples.counts.sum())
        """Counts of a whole epoch."""

    def sizes(self) -> set[int]:
        """How many samples a process computes at a time, over all processes and parts."""
        last = len(self.samples) - (self.parts - 1) * self.batch * self.world
        wholes = {self.batch} if self.parts > 1 else set()
        return wholes | {max(1, len(range(rank, last, self.world))) for rank in range(self.world)}

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Part]:
        """The parts of an epoch, from part `first` on."""
        together = order(len(self.samples), seed=self.seed, epoch=epoch).split(self.batch * self.world)
        for index in range(first, self.parts):
            begin = index - index % self.accumulate
            step = torch.cat(together[begin : begin + self.accumulate])
            rows = together[index][self.rank :: self.world]
            count, of = int(self.samples.counts[rows].sum()), int(self.samples.counts[step].sum())
            weight = self.world * self.accumulate * count / of if of else 0.0
            # A process that is left without a sample computes one that does not count: the others wait for it.
            rows = rows if len(rows) else together[index][:1]
            inputs, targets = take(self.samples.inputs, rows), take(self.samples.targets, rows)
            if self.augment is not None:
                address = key("fit", "augment", self.seed, epoch, index, self.rank)
                inputs = self.augment(inputs, torch.Generator().manual_seed(address))
            yield Part(inputs, targets, weight, count, index)
