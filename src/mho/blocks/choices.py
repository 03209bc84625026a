"""`every_choice`: what each of all choices of blocks gives, by which policies can be judged and taught without drawing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.blocks.dropped import drop
from mho.blocks.reward import Reward, checked
from mho.errors import BadInput, WrongSetting
from mho.measure.test_data import TestData
from mho.models.block_drop import BlockDrop, check_policy
from mho.progress import Progress, telling

_MOST = 12
"""Blocks whose choices are all computed: 4,096."""


@dataclass(frozen=True, eq=False)
class Choices:
    """What every choice of blocks gives on each of N samples.

    Attributes:
        keep: The 2^K choices, bool (2^K, K); the last keeps all blocks.
        right: Whether each sample's answer is right with each of them, bool (N, 2^K).
    """

    keep: Tensor
    right: Tensor

    def rewards(self, reward: Reward | None = None) -> Tensor:
        """Of every sample with every choice, float32 (N, 2^K)."""
        worth = checked(Reward() if reward is None else reward)
        count = len(self.right)
        return torch.stack([worth(k.expand(count, -1), r) for k, r in zip(self.keep, self.right.T, strict=True)], 1)

    def fixed(self, reward: Reward | None = None) -> Tensor:
        """The blocks that earn most where all samples keep the same, bool (K,)."""
        return self.keep[int(self.rewards(reward).mean(0).argmax())]

    def oracle(self, reward: Reward | None = None) -> float:
        """Mean reward of each sample's best choice: it knows the labels, so that no policy earns more."""
        return float(self.rewards(reward).amax(1).mean())

    def expected(self, logits: Tensor, rewards: Tensor) -> Tensor:
        """Reward of each sample, mean over what a policy draws: Σ_u π(u) R(u), (N,), of which `surrogate` draws the gradient.

        Args:
            logits: Of its policy, (N, K).
            rewards: Of all choices, (N, 2^K).

        Raises:
            BadInput: Other shapes.
        """
        if logits.dim() != 2 or logits.shape[1] != self.keep.shape[1] or rewards.shape != (len(logits), len(self.keep)):
            found = f"logits {tuple(logits.shape)} and rewards {tuple(rewards.shape)}"
            raise BadInput(found, f"give (N, {self.keep.shape[1]}) and (N, {len(self.keep)})", path="logits")
        kept = self.keep.to(logits)
        log_pi = F.logsigmoid(logits) @ kept.T + F.logsigmoid(-logits) @ (1 - kept).T
        return (log_pi.exp() * rewards).sum(1)


def every_choice(net: BlockDrop, data: Iterable[Any], *, seed: int = 0, progress: Progress = None) -> Choices:
    """Compute samples with every choice of blocks: 2^K times, for networks of few blocks.

    Args:
        net: With a policy, which is not asked: digital, converted, or a chip's.
        data: Batches (inputs, labels).
        seed: See `drop`.
        progress: True for a bar, or told of the choices (`mho.progress.Step`).

    Raises:
        WrongSetting: More than 12 blocks.
    """
    check_policy(net)
    count = len(net.droppable)
    if count > _MOST:
        raise WrongSetting(
            f"{count} blocks have {2**count:,} choices", f"let {_MOST} at most be dropped, or use best_subset"
        )
    held = TestData.of(data)
    keep = torch.tensor(list(product((False, True), repeat=count)))
    right = []
    with telling(progress, "blocks", "choices") as told:
        for number, one in enumerate(keep):
            right.append(drop(net, held, one, seed=seed).right)
            told(number + 1)
    return Choices(keep, torch.stack(right, 1))
