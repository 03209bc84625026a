"""`RandomChips`: chips of random seed and age, under which a policy is rewarded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch

from mho.arguments import many, whole
from mho.chip import fuse, program
from mho.errors import WrongSetting
from mho.models.block_drop import BlockDrop
from mho.nn.matrix import matrices
from mho.rng import Stream
from mho.units import seconds


@dataclass(frozen=True)
class RandomChips:
    """A new chip every so many steps, each at another age: what a noise-aware policy is rewarded under.

    Attributes:
        ages: Each chip has one of them; their order is drawn anew whenever all have had their turn.
        every: Steps with one chip.
        seed: Root of the chips' seeds and ages; no chip of a measurement has it.

    Raises:
        WrongSetting: No age, one that is no time, or fewer than one step.
    """

    ages: str | Sequence[str | float] = ("0 s",)
    every: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        ages = many(self.ages, "ages")
        if not ages:
            raise WrongSetting("no age", "give one at least, such as '1 day'", path="ages")
        for age in ages:
            seconds(age, "ages")
        whole(self.every, "every")
        whole(self.seed, "seed", least=0)
        object.__setattr__(self, "ages", ages)

    def check(self, net: BlockDrop) -> None:
        """Refuse a network of which there are no chips.

        Raises:
            WrongSetting: It was not converted.
        """
        if not matrices(net):
            remedy = "convert it first: analog = mho.to_analog(net, hw, example=x), and let its policy learn"
            raise WrongSetting("chips need a network on arrays", remedy, path="chips")

    def at(self, net: BlockDrop, step: int) -> BlockDrop:
        """The network as the chip of a step computes it."""
        number = step // self.every
        turn, place = divmod(number, len(self.ages))
        order = Stream(("chips of a policy", self.seed, turn)).uniform("ages", (len(self.ages),)).argsort()
        age = self.ages[int(order[place])]
        with torch.no_grad():
            chip = program(net, seed=_ROOT + self.seed, chip=number)
            return cast("BlockDrop", fuse(chip.at(age), inplace=True))


_ROOT = 7_000_000
"""Added to the seed, so that chips of a training are no chips of a measurement with seed 0, 1, …"""
