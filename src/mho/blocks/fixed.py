"""What a policy is held against: the best blocks for all samples alike, and blocks drawn at random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import torch
from torch import Tensor

from mho.arguments import whole
from mho.blocks.dropped import Dropped, drop
from mho.errors import BadInput, WrongSetting
from mho.exits.answers import digests
from mho.measure.test_data import TestData
from mho.models.block_drop import BlockDrop, check_policy
from mho.progress import Progress, telling
from mho.rng import Stream
from mho.tasks.items import shared


@dataclass(frozen=True, eq=False)
class Subset:
    """Blocks for all samples, and the samples on which they were chosen.

    Attributes:
        keep: bool (K,).
        seen: What they give on those samples: too good, for they were chosen there.
        samples: Digests of those samples.
    """

    keep: Tensor
    seen: Dropped
    samples: frozenset[bytes]

    def report(self, net: BlockDrop, data: Iterable[Any], *, seed: int = 0) -> Dropped:
        """What they give on other samples, such as those of the test; arguments as of `drop`.

        Raises:
            BadInput: Some of the samples are those that they were chosen on, or they have another dtype, which hides it.
        """
        held = TestData.of(data)
        others = digests(x for x, _ in held.batches)
        if count := shared(self.samples, others, "data"):
            raise BadInput(
                f"{count} of {len(others)} samples are among those on which the blocks were chosen",
                "report on samples that took no part in the choice", path="data",
            )  # fmt: skip
        return drop(net, held, self.keep, seed=seed)


def best_subset(
    net: BlockDrop, data: Iterable[Any], blocks: int, *, tries: int = 150, progress: Progress = None
) -> Subset:
    """The blocks that, kept for all samples, give the most right answers.

    All choices are tried where there are at most `tries`; else blocks are dropped one by one, each time the one that costs
    least.

    Args:
        net: With a policy, which is not asked: digital, converted, or a chip's.
        data: Batches (inputs, labels) to choose on.
        blocks: How many are kept, 0 … K.
        tries: Most choices that are tried together.
        progress: True for a bar, or told of the choices (`mho.progress.Step`).

    Raises:
        WrongSetting: More blocks than there are.
    """
    check_policy(net)
    count = len(net.droppable)
    if whole(blocks, "blocks", least=0) > count:
        raise WrongSetting(f"blocks = {blocks}", f"there are {count}", path="blocks")
    held = TestData.of(data)
    with telling(progress, "blocks", "choices") as told:
        if comb(count, blocks) <= tries:
            best = _best(net, held, (_mask(count, kept) for kept in combinations(range(count), blocks)), told)
        else:
            best = drop(net, held, torch.ones(count, dtype=torch.bool))
            for _ in range(count - blocks):
                now = best.keep[0]
                best = _best(net, held, (now & ~_mask(count, (k,)) for k in range(count) if now[k]), told)
    return Subset(best.keep[0], best, digests(x for x, _ in held.batches))


def _best(net: BlockDrop, data: TestData, choices: Iterator[Tensor], told: Any) -> Dropped:
    found = None
    for number, keep in enumerate(choices):
        tried = drop(net, data, keep)
        if found is None or int(tried.right.sum()) > int(found.right.sum()):
            found = tried
        told(number + 1, known=f"{100 * found.accuracy.value:.1f} %")
    assert found is not None
    return found


def _mask(count: int, kept: Iterable[int]) -> Tensor:
    found = torch.zeros(count, dtype=torch.bool)
    found[list(kept)] = True
    return found


def random_keep(counts: Tensor | Sequence[int], blocks: int, *, seed: int = 0) -> Tensor:
    """Blocks drawn at random, as many for each sample as are asked for: bool (N, K).

    Args:
        counts: How many, (N,), such as `Dropped.counts` of a policy.
        blocks: K.
        seed: Address of the draw.

    Raises:
        WrongSetting: More than there are.
    """
    counts = torch.as_tensor(counts)
    if len(counts) and (int(counts.max()) > blocks or int(counts.min()) < 0):
        raise WrongSetting(f"counts up to {int(counts.max())}", f"there are {blocks} blocks", path="counts")
    order = Stream(("random blocks", seed)).uniform("order", (len(counts), blocks)).argsort(1).argsort(1)
    return order < counts.cpu()[:, None]
