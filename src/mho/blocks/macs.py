"""`block_macs`: multiply-accumulates of a network with a policy, block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mho.convert.counting import MacCounter
from mho.errors import NotYet
from mho.models.block_drop import BlockDrop
from mho.nn.matrix import digitally
from mho.nn.modes import evaluating


@dataclass(frozen=True)
class BlockMacs:
    """Multiply-accumulates of one sample.

    Attributes:
        policy: Of the policy.
        base: Of the network without its blocks.
        kept: Of each block.
        dropped: Of the shortcut that stands for it.
    """

    policy: int
    base: int
    kept: tuple[int, ...]
    dropped: tuple[int, ...]

    @property
    def full(self) -> int:
        """Of the network with all blocks and without a policy."""
        return self.base + sum(self.kept)

    def of(self, keep: Tensor, *, policy: bool = True) -> Tensor:
        """What samples take, float64 (N,).

        Args:
            keep: Which blocks are computed, bool (N, K).
            policy: Whether a policy decides it, and counts.
        """
        kept, dropped = (torch.tensor(each, dtype=torch.float64) for each in (self.kept, self.dropped))
        return torch.where(keep.cpu(), kept, dropped).sum(1) + self.base + policy * self.policy


@torch.no_grad()
def block_macs(net: BlockDrop, example: Tensor) -> BlockMacs:
    """Count what is computed, in one pass.

    Args:
        net: With a policy: digital, converted or programmed.
        example: Inputs (N, …).

    Raises:
        NotYet: An operator whose multiply-accumulates nobody can count.
    """
    kept: list[int] = []
    dropped: list[int] = []

    def counted(call: Callable[[Tensor], Tensor], x: Tensor, into: list[int]) -> Tensor:
        before = counter.macs
        y = call(x)
        into.append(counter.macs - before)
        return y

    def at_block(
        number: int, block: Callable[[Tensor], Tensor], shortcut: Callable[[Tensor], Tensor], x: Tensor
    ) -> Tensor:
        counted(shortcut, x, dropped)
        return counted(block, x, kept)

    with evaluating(net), digitally(net), MacCounter() as counter:
        net.policy(example)
        policy = counter.macs
        net.walk(example, at_block)
    if counter.not_counted:
        names = ", ".join(counter.not_counted)
        raise NotYet(f"the products of {names} cannot be counted", "write them with torch's own layers", path="net")
    n = len(example)
    base = counter.macs - policy - sum(kept) - sum(dropped)
    return BlockMacs(policy // n, base // n, tuple(k // n for k in kept), tuple(d // n for d in dropped))
