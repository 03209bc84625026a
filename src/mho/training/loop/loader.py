"""The order of the samples: a permutation with an address for every epoch, cut into steps, parts and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mho.errors import BadInput
from mho.rng import key
from mho.tasks import Task

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""From a batch of inputs and a generator to a batch of inputs."""


@dataclass(frozen=True, eq=False)
class Samples:
    """All samples in memory.

    Attributes:
        inputs: (N, …).
        targets: (N, …), or a dict of such, as the task has them; or None.
        counts: How many values of each score a sample gives, (N,): 1, or the tokens of a text that count.
    """

    inputs: Tensor
    targets: Any
    counts: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Tensor | slice) -> tuple[Tensor, Any]:
        """Inputs and targets of some samples."""
        return self.inputs[rows], each(self.targets, lambda target: target[rows])


class Part(NamedTuple):
    """What one process computes at a time.

    Attributes:
        inputs: (n, …).
        targets: (n, …), a dict of such, or None.
        weight: Factor of its mean loss, so that the mean over processes and accumulated parts is the mean over the step.
        counted: The samples' counts together.
        place: Number of the part within its epoch.
    """

    inputs: Tensor
    targets: Any
    weight: float
    counted: int
    place: int


def each(targets: Any, do: Callable[[Tensor], Any]) -> Any:
    """The same with every tensor of some targets; None stays None."""
    if isinstance(targets, dict):
        return {name: each(target, do) for name, target in targets.items()}
    return None if targets is None else do(targets)


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
    inputs, labels = getattr(data, "inputs", None), getattr(data, "labels", None)
    xs: list[Tensor] = []
    ys: list[Any] = []
    for i, batch in enumerate([(inputs, labels)] if isinstance(inputs, Tensor) and labels is not None else data):
        x, y = (batch[0], batch[1]) if isinstance(batch, (tuple, list)) and len(batch) == 2 else (batch, None)
        if not isinstance(x, Tensor):
            found, remedy = f"batch {i} is a {type(batch).__name__}", "give tensors, or pairs (inputs, labels)"
            raise BadInput(found, remedy, path=path)
        if xs and x.shape[1:] != xs[0].shape[1:]:
            found = f"batch {i} has inputs {tuple(x.shape)}, the first {tuple(xs[0].shape)}"
            remedy = "inputs have one shape; for a pair of tensors (inputs, labels) give [(inputs, labels)]"
            raise BadInput(found, remedy, path=path)
        if i and (y is None) != (ys[0] is None):
            raise BadInput("some batches have labels and some have none", "give all of them or none", path=path)
        if y is not None:
            y = each(y, torch.as_tensor) if task is None else task.targets(y, path=path, training=training)
        shapes: list[tuple[int, ...]] = []
        each(y, lambda target, shapes=shapes: shapes.append(tuple(target.shape)))  # type: ignore[misc]
        if any(shape[:1] != x.shape[:1] for shape in shapes):
            raise BadInput(f"batch {i} has {len(x)} inputs and labels {shapes[0]}", "one label an input", path=path)
        xs.append(x)
        ys.append(y)
    if not sum(map(len, xs)):
        raise BadInput("there is no sample", "give at least one batch of (inputs, labels)", path=path)
    x, y = _joined(xs), _joined(ys)
    counts = torch.ones(len(x), dtype=torch.long) if y is None or task is None else task.counts(y).cpu()
    if not int(counts.sum()):
        raise BadInput("no label counts", "give labels that are not all to be ignored", path=path)
    return Samples(x, y, counts)


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}
    return parts[0] if len(parts) == 1 or parts[0] is None else torch.cat(parts)


def order(samples: int, *, seed: int, epoch: int) -> Tensor:
    """The permutation of an epoch, (samples,); it depends on its arguments alone."""
    generator = torch.Generator().manual_seed(key("fit", "order", seed, epoch))
    return torch.randperm(samples, generator=generator)


def shuffled(data: Iterable[Any], *, batch: int, epoch: int, seed: int = 0) -> Iterator[tuple[Tensor, Any]]:
    """The batches (inputs, targets) of an epoch, in the order in which `fit` takes them: for loops of one's own."""
    samples = data if isinstance(data, Samples) else hold(data)
    for rows in order(len(samples), seed=seed, epoch=epoch).split(batch):
        yield samples.take(rows)


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
            inputs, targets = self.samples.take(rows if len(rows) else together[index][:1])
            if self.augment is not None:
                address = key("fit", "augment", self.seed, epoch, index, self.rank)
                inputs = self.augment(inputs, torch.Generator().manual_seed(address))
            yield Part(inputs, targets, weight, count, index)
