"""`drop`: what a choice of blocks gives and costs on data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mho.arguments import whole
from mho.blocks.macs import BlockMacs, block_macs
from mho.blocks.step import right_of
from mho.errors import BadInput
from mho.measure.test_data import TestData, first_of
from mho.models.block_drop import BlockDrop, check_policy
from mho.nn.modes import evaluating
from mho.rng import reads
from mho.statistics.intervals import Interval, wilson_interval


@dataclass(frozen=True, eq=False)
class Dropped:
    """What a choice of blocks makes of samples.

    Attributes:
        blocks: Paths of the K blocks.
        keep: Which were computed for each sample, bool (N, K).
        right: Whether its answer is right, bool (N,).
        labels: (N,).
        classes: Names of the classes; empty where there are none.
        macs: What blocks cost.
        decided: A policy decided, and counts.
    """

    blocks: tuple[str, ...]
    keep: Tensor
    right: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    macs: BlockMacs
    decided: bool

    @property
    def accuracy(self) -> Interval:
        """Share of right answers with Wilson's interval over samples."""
        return wilson_interval(int(self.right.sum()), len(self.right))

    @property
    def counts(self) -> Tensor:
        """Blocks that were computed for each sample, (N,)."""
        return self.keep.sum(1)

    @property
    def policies(self) -> int:
        """Number of distinct choices of blocks among the samples."""
        return len(self.keep.unique(dim=0))

    @property
    def shares(self) -> dict[str, float]:
        """Share of the samples that keep each block."""
        return dict(zip(self.blocks, self.keep.double().mean(0).tolist(), strict=True))

    @property
    def mean_macs(self) -> float:
        """Multiply-accumulates of a sample, the policy's included: mean over the samples, exact for these."""
        return float(self.macs.of(self.keep, policy=self.decided).mean())

    @property
    def macs_share(self) -> float:
        """`mean_macs` as a share of the network's with all blocks and without a policy."""
        return self.mean_macs / self.macs.full

    def per_class(self) -> dict[str, tuple[Interval, float]]:
        """For each class that has samples its recall with Wilson's interval, and the mean number of its samples' blocks."""
        found = {}
        for c, name in enumerate(self.classes):
            of = self.labels == c
            if n := int(of.sum()):
                found[name] = (wilson_interval(int(self.right[of].sum()), n), float(self.counts[of].double().mean()))
        return found

    def __str__(self) -> str:
        a, counts = self.accuracy, self.counts.double()
        return (
            f"accuracy {100 * a.value:.1f} % [{100 * a.low:.1f}, {100 * a.high:.1f}] with {counts.mean():.2f} ± "
            f"{counts.std(correction=0):.2f} of {len(self.blocks)} blocks in {self.policies} policies, "
            f"{100 * self.macs_share:.1f} % of the multiply-accumulates"
        )


@torch.no_grad()
def drop(net: BlockDrop, data: Iterable[Any], keep: Tensor | None = None, *, seed: int = 0) -> Dropped:
    """Compute samples with the blocks that they keep, and with no others.

    Args:
        net: With a policy: digital, converted, or a chip's (``chip.at(t)``).
        data: Batches (inputs, labels).
        keep: Which blocks, bool (N, K) for all samples in their order, or (K,) for each of them alike; None: the policy
            decides.
        seed: Root of the address of products' noise; batch i reads from it and i.

    Raises:
        WrongSetting: `net` has no policy.
        BadInput: `keep` is not of that shape, labels are no class numbers, or data as `mho.accuracy` refuses it.
    """
    check_policy(net)
    seed = whole(seed, "seed", least=0)
    held = TestData.of(data)
    labels = torch.cat([y for _, y in held.batches]).cpu()
    if labels.dim() != 1:
        raise BadInput(f"labels {tuple(labels.shape)}", "one class number a sample", path="data")
    if keep is not None and (not isinstance(keep, Tensor) or keep.dim() not in (1, 2)):
        found = f"keep {tuple(keep.shape)}" if isinstance(keep, Tensor) else f"keep is a {type(keep).__name__}"
        raise BadInput(found, "give a tensor of truth values: torch.tensor([True, …])", path="keep")
    given = keep
    if keep is not None and keep.dim() == 2 and len(keep) != len(labels):
        raise BadInput(f"{len(keep)} choices for {len(labels)} samples", "give one a sample", path="keep")
    chosen, right, done = [], [], 0
    with evaluating(net):
        for i, (x, y) in enumerate(held.batches):
            with reads("blocks", seed, i):
                mine = net.keeps(x) if given is None else given if given.dim() == 1 else given[done : done + len(x)]
                right.append(right_of(net.under(x, mine), y.to(x.device)).cpu())
            chosen.append(mine.cpu().expand(len(x), -1))
            done += len(x)
    macs = block_macs(net, first_of(held))
    return Dropped(net.droppable, torch.cat(chosen), torch.cat(right), labels, held.info.classes, macs, given is None)
