"""`Reward`: what a choice of blocks is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mho.arguments import number
from mho.errors import WrongSetting


@dataclass(frozen=True)
class Reward:
    """R = 1 - (|u| / K)² for a right answer with |u| of K blocks, -γ for a wrong one (BlockDrop, arXiv:1711.08393).

    It lies in [-γ, 1].

    Attributes:
        penalty: γ, none negative. Published: 1 while the policy learns alone, 10 (CIFAR-10) and 5 (ImageNet) with the network.

    Raises:
        WrongSetting: A penalty that is negative or no number.
    """

    penalty: float = 1.0

    def __post_init__(self) -> None:
        remedy = "give what a wrong answer costs, a number from 0 on"
        object.__setattr__(self, "penalty", number(self.penalty, "penalty", remedy, least=0))

    def __call__(self, keep: Tensor, right: Tensor) -> Tensor:
        """Of each sample, float32 (N,).

        Args:
            keep: Which blocks were computed, bool (N, K).
            right: Whether the answer is right, bool (N,).
        """
        return (1 - keep.float().mean(1) ** 2).where(right, -self.penalty)


def checked(reward: Any) -> Reward:
    """A reward, or a callable of one's own in its place, from (keep, right) to the reward of each sample.

    Raises:
        WrongSetting: Something else, such as the penalty alone.
    """
    if not callable(reward) or isinstance(reward, type):
        raise WrongSetting(f"reward = {reward!r}", "give Reward(penalty), such as Reward(1)", path="reward")
    return reward  # type: ignore[no-any-return]
