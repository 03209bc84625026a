"""The order of the samples: a permutation with an address for every epoch, cut into steps, parts and ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mho.errors import BadInput
from mho.rng import key
from mho.training.loop.losses import IGNORED

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""From a batch of inputs and a generator to a batch of inputs."""


@dataclass(frozen=True, eq=False)
class Samples:
    """All samples in memory.

    Attributes:
        inputs: (N, …).
        labels: (N, …), or None.
        name: Of the data, for messages.
    """

    inputs: Tensor
    labels: Tensor | None
    name: str = "data"

    def __len__(self) -> int:
        return len(self.inputs)


class Part(NamedTuple):
    """What one process computes at a time.

    Attributes:
        inputs: (n, …).
        labels: (n, …), or None.
        weight: Factor of its mean loss, so that the mean over processes and accumulated parts is the mean over the step.
        counted: Samples, or labels that count, in it.
        place: Number of the part within its epoch.
    """

    inputs: Tensor
    labels: Tensor | None
    weight: float
    counted: int
    place: int


def hold(data: Iterable[Any], *, path: str = "data") -> Samples:
    """All samples of a data set, or of any iterable of batches, together in memory.

    Args:
        data: Has `inputs` and `labels`, or gives batches of inputs, or of (inputs, labels). Where the tensors lie they
            stay: data on the GPU is cut into batches there.
        path: What to call it in messages.

    Raises:
        BadInput: No sample, or batches that are neither.
    """
    inputs, labels = getattr(data, "inputs", None), getattr(data, "labels", None)
    name = str(getattr(data, "name", path))
    if isinstance(inputs, Tensor) and isinstance(labels, Tensor):
        return Samples(inputs, labels, name)
    xs: list[Tensor] = []
    ys: list[Tensor] = []
    for i, batch in enumerate(data):
        x, y = (batch[0], batch[1]) if isinstance(batch, (tuple, list)) and len(batch) == 2 else (batch, None)
        if not isinstance(x, Tensor):
            raise BadInput(
                f"batch {i} is a {type(batch).__name__}", "give tensors, or pairs (inputs, labels)", path=path
            )
        y = None if y is None else torch.as_tensor(y)
        if y is not None and (not y.dim() or len(x) != len(y)):
            raise BadInput(
                f"batch {i} has {len(x)} inputs and labels {tuple(y.shape)}", "one label an input", path=path
            )
        if i and (y is None) != (not ys):
            raise BadInput("some batches have labels and some have none", "give all of them or none", path=path)
        if xs and x.shape[1:] != xs[0].shape[1:]:
            raise BadInput(
                f"batch {i} has inputs {tuple(x.shape)}, the first {tuple(xs[0].shape)}",
                "inputs have one shape; for a pair of tensors (inputs, labels) give [(inputs, labels)]",
                path=path,
            )
        xs.append(x)
        ys += [] if y is None else [y]
    if not sum(map(len, xs)):
        raise BadInput("there is no sample", "give at least one batch of (inputs, labels)", path=path)
    return Samples(torch.cat(xs), torch.cat(ys) if ys else None, name)


def order(samples: int, *, seed: int, epoch: int) -> Tensor:
    """The permutation of an epoch, (samples,); it depends on its arguments alone."""
    generator = torch.Generator().manual_seed(key("fit", "order", seed, epoch))
    return torch.randperm(samples, generator=generator)


def shuffled(data: Iterable[Any], *, batch: int, epoch: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The batches (inputs, labels) of an epoch, in the order in which `fit` takes them: for loops of one's own."""
    samples = data if isinstance(data, Samples) else hold(data)
    for rows in order(len(samples), seed=seed, epoch=epoch).split(batch):
        yield samples.inputs[rows], None if samples.labels is None else samples.labels[rows]


class Loader:
    """The parts of one epoch that are still to do, for one process.

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
        self.epoch, self.first = 0, 0
        self._counted: Tensor | None = None
        labels = samples.labels
        if labels is not None and bool((labels == IGNORED).any()):
            self._counted = (labels != IGNORED).flatten(1 if labels.dim() > 1 else 0).cpu()
            self._counted = self._counted.sum(1) if labels.dim() > 1 else self._counted.long()

    @property
    def parts(self) -> int:
        """Parts in a whole epoch."""
        return -(-len(self.samples) // (self.batch * self.world))

    @property
    def steps(self) -> int:
        """Optimiser steps in a whole epoch."""
        return -(-self.parts // self.accumulate)

    @property
    def total(self) -> int:
        """Samples, or labels that count, in a whole epoch."""
        return len(self.samples) if self._counted is None else int(self._counted.sum())

    def start(self, epoch: int, first: int = 0) -> Loader:
        """Go to part `first` of an epoch; returns itself."""
        self.epoch, self.first = epoch, first
        return self

    def __len__(self) -> int:
        return self.parts - self.first

    def __iter__(self) -> Iterator[Part]:
        epoch = self.epoch
        permutation = order(len(self.samples), seed=self.seed, epoch=epoch)
        together = permutation.split(self.batch * self.world)
        for index in range(self.first, len(together)):
            begin = index - index % self.accumulate
            step = torch.cat(together[begin : begin + self.accumulate])
            rows = together[index][self.rank :: self.world]
            count, of = self._count(rows), self._count(step)
            weight = self.world * self.accumulate * count / of if of else 0.0
            rows = rows if len(rows) else together[index][:1]
            inputs = self.samples.inputs[rows]
            if self.augment is not None:
                address = key("fit", "augment", self.seed, epoch, index, self.rank)
                inputs = self.augment(inputs, torch.Generator().manual_seed(address))
            labels = None if self.samples.labels is None else self.samples.labels[rows]
            yield Part(inputs, labels, weight, count, index)

    def _count(self, rows: Tensor) -> int:
        return len(rows) if self._counted is None else int(self._counted[rows].sum())


class InOrder:
    """The batches of one process of a validation set, never shuffled."""

    def __init__(self, samples: Samples, *, batch: int, world: int = 1, rank: int = 0) -> None:
        self.samples, self.batch, self.world, self.rank = samples, batch, world, rank

    def __len__(self) -> int:
        return len(range(self.rank, -(-len(self.samples) // self.batch), self.world))

    def __iter__(self) -> Iterator[Part]:
        total = -(-len(self.samples) // self.batch)
        for index in range(self.rank, total, self.world):
            rows = slice(index * self.batch, (index + 1) * self.batch)
            labels = None if self.samples.labels is None else self.samples.labels[rows]
            inputs = self.samples.inputs[rows]
            yield Part(inputs, labels, 1.0, len(inputs), index)
