"""`observe`: what every exit answers to every sample, from which any rule can be judged without computing again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mho.arguments import whole
from mho.errors import BadInput, WrongSetting
from mho.exits.macs import ExitMacs, exit_macs
from mho.measure.test_data import TestData, first_of
from mho.models.multi_exit import MultiExit
from mho.nn.modes import evaluating
from mho.rng import reads
from mho.tasks.exits import by_exit
from mho.tasks.items import digests_of


@dataclass(frozen=True, eq=False)
class Answers:
    """Scores of every exit for every sample.

    Attributes:
        names: Of the exits.
        scores: (N, K, C), on the CPU.
        labels: (N,).
        classes: Names of the classes; empty where there are none.
        macs: Multiply-accumulates until each exit.
        inputs: Batches of inputs, by which samples are told apart.
    """

    names: tuple[str, ...]
    scores: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    macs: ExitMacs
    inputs: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def right(self) -> Tensor:
        """Whether each exit is right, bool (N, K); scores that are not finite are wrong."""
        good = ~self.scores.isnan().any(-1)
        return (self.scores.argmax(-1) == self.labels[:, None]) & good

    def accuracy(self, name: str | None = None) -> float:
        """Share of right answers of an exit; of the last by default.

        Raises:
            WrongSetting: There is no such exit.
        """
        if name is not None and name not in self.names:
            raise WrongSetting(f"there is no exit '{name}'", f"exits are {', '.join(self.names)}", path="name")
        return float(self.right[:, -1 if name is None else self.names.index(name)].double().mean())

    def per_class(self) -> dict[str, tuple[float, ...]]:
        """Recall of each class at every exit; NaN for a class without samples."""
        right = self.right.double()
        return {name: tuple(right[self.labels == c].mean(0).tolist()) for c, name in enumerate(self.classes)}

    def part(self, rows: slice) -> Answers:
        """The answers to some of the samples, as ``answers.part(slice(200))``: to learn a gate from, or to choose on.

        Raises:
            WrongSetting: `rows` is no slice that goes forward.
            BadInput: There are none.
        """
        if not isinstance(rows, slice) or (rows.step is not None and rows.step < 1):
            raise WrongSetting(f"rows = {rows!r}", "give a slice: slice(200) is the first 200", path="rows")
        kept = self.labels[rows]
        if not len(kept):
            raise BadInput(f"no sample of {len(self)} in {rows}", "give others", path="rows")
        return replace(self, scores=self.scores[rows], labels=kept, inputs=(torch.cat(self.inputs)[rows],))

    @cached_property
    def samples(self) -> frozenset[bytes]:
        """A digest of each sample's input."""
        return digests(self.inputs)


@torch.no_grad()
def observe(net: MultiExit, data: Iterable[Any], *, seed: int = 0) -> Answers:
    """Compute all exits on data, once.

    Args:
        net: With exits: digital, converted, or a chip's (``chip.at(t)``).
        data: Batches (inputs, labels).
        seed: Root of the address of products' noise; batch i reads from it and i.

    Raises:
        WrongSetting: `net` has no exits.
        BadInput: Labels that the network has no score for, or data as `mho.accuracy` refuses it.
    """
    check_exits(net)
    seed = whole(seed, "seed", least=0)
    held = TestData.of(data)
    scores: list[Tensor] = []
    with evaluating(net):
        for i, (x, _) in enumerate(held.batches):
            with reads("exits", seed, i):
                scores.append(torch.stack(list(by_exit(net(x)).values()), 1).float().cpu())
    labels = torch.cat([y for _, y in held.batches]).cpu()
    found = torch.cat(scores)
    if labels.dim() != 1 or int(labels.min()) < 0 or int(labels.max()) >= found.shape[-1]:
        problem = f"labels {tuple(labels.shape)} from {int(labels.min())} to {int(labels.max())}"
        remedy = f"one class number in 0 … {found.shape[-1] - 1} a sample; leave out those without, which nobody decides about"
        raise BadInput(problem, remedy, path="data")
    inputs = tuple(x for x, _ in held.batches)
    return Answers(net.names, found, labels, held.info.classes, exit_macs(net, first_of(held)), inputs)


def digests(batches: Iterable[Tensor]) -> frozenset[bytes]:
    """A digest of each sample in batches of inputs."""
    return frozenset(found for batch in batches for found in digests_of(batch))


def check_answers(answers: Any) -> None:
    """Raises WrongSetting for anything else than answers."""
    if not isinstance(answers, Answers):
        raise WrongSetting(
            f"a {type(answers).__name__} is no answers", "give mho.exits.observe(net, data)", path="answers"
        )


def check_exits(net: Any) -> None:
    """Raises WrongSetting for a network without exits."""
    if not isinstance(net, MultiExit):
        remedy = "give it exits: mho.models.multi_exit(net, [...], example=x)"
        raise WrongSetting(f"a {type(net).__name__} has no exits", remedy, path="net")
