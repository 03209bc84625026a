"""`Learner`: the policies of an arm, and the fixed blocks that they are held against."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

import mho
from mho.blocks import RandomChips, Reward, best_subset, every_choice, learn
from mho.data import Dataset
from mho.data.augment import crop_and_flip
from mho.hardware import Hardware
from mho.models import block_drop, cifar_resnet
from mho.models.block_drop import BlockDrop
from mho.studies.definitions import DEFINITIONS
from mho.studies.dropping.arm import BlockArm, Effort
from mho.studies.dropping.exact import taught
from mho.studies.on_arrays import with_ranges
from mho.studies.study import Job, Scale

TRAINED_AT = 0.05
"""σ under which the noise-aware policy is rewarded."""
AGES: Mapping[Scale, tuple[str, ...]] = {
    "smoke": ("1 month",), "cpu": ("1 h", "1 year"), "full": ("1 h", "1 day", "1 month", "1 year"),
}  # fmt: skip
_ANEW: Mapping[str, Any] = {"curriculum": 0, "bound": 0.95, "entropy": 0.02}
"""How policies learn anew on a network that bears it: fewer blocks are drawn against the policy's wish."""


@dataclass(frozen=True)
class Learner:
    """Teaches policies.

    Attributes:
        arm: Network and penalty.
        effort: How long.
        job: Told what is being done.
        training: Images to learn from.
        choice: Images that set ranges and choose fixed blocks.
    """

    arm: BlockArm
    effort: Effort
    job: Job
    training: Dataset
    choice: Dataset

    def policies(self, backbone: nn.Module) -> dict[str, BlockDrop]:
        """Networks of the same backbone, which learned together with the first policy, "joint"; on it policies learn anew: the
        clean one, those for chips, and the exact one where the arm has it."""
        effort, x = self.effort, self.training.inputs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.job.seed)
            first = block_drop(backbone, example=x[:2])
            policy = cifar_resnet(depth=8, width=self.arm.width, num_classes=len(first.droppable), channels=x.shape[1])
            net = block_drop(backbone, example=x[:2], policy=policy)
        untaught = copy.deepcopy(net.policy)
        self._learn(net, "policy", effort.alone, reward=Reward(1))
        augment = None if self.arm.network == "digits" else crop_and_flip
        for what, epochs, rate in (("both", effort.joint, effort.lr), ("both slower", effort.settle, effort.lr / 10)):
            self._learn(net, what, epochs, joint=True, lr=rate, augment=augment)
        found = {"joint": copy.deepcopy(net)}
        net.policy = untaught
        found["clean"] = copy.deepcopy(net)
        self._learn(found["clean"], "clean policy", effort.last, **_ANEW)
        of_chips = {
            "sigma": (DEFINITIONS["ideal"].hardware(TRAINED_AT), ("0 s",)),
            "aged": (Hardware.preset("pcm"), AGES[self.job.scale]),
        }
        for name, (hw, aged) in of_chips.items():
            analog = self.analog(net, hw)
            chips = RandomChips(aged, seed=self.job.seed)
            self._learn(analog, f"policy for {name}", effort.last, chips=chips, **_ANEW)
            found[name] = copy.deepcopy(net)
            found[name].policy.load_state_dict(analog.policy.state_dict())
        if self.arm.exact:
            self.job.progress("every choice of blocks")
            choices = every_choice(net, self.training)
            self.job.progress("exact policy")
            rewards, rest = choices.rewards(Reward(self.arm.penalty)), {"batch": effort.batch, "seed": self.job.seed}
            found["exact"] = copy.deepcopy(net)
            found["exact"].policy = taught(untaught, x, choices, rewards, epochs=effort.exact, **rest)
        return found

    def _learn(self, net: BlockDrop, what: str, epochs: int, **more: Any) -> None:
        self.job.progress(what)
        told = {
            "reward": Reward(self.arm.penalty),
            "batch": self.effort.batch,
            "seed": self.job.seed,
            "progress": self.job.steps,
        }
        learn(net, self.training, epochs=epochs, out=self.job.checkpoints / what.replace(" ", "-"), **{**told, **more})

    def analog(
        self, net: BlockDrop, hw: Hardware, *, digital: bool = True, ranged: BlockDrop | None = None
    ) -> BlockDrop:
        """The network on arrays, its policy digital or not; ranges with all blocks and with those that it keeps.

        Args:
            net: Digital.
            hw: The chip.
            digital: The policy is.
            ranged: A network on arrays whose ranges it takes over.
        """
        hw = hw.replace(digital=["policy"]) if digital else hw
        if ranged is not None:
            return cast("BlockDrop", with_ranges(net, hw, ranged, self.choice))
        analog = mho.to_analog(net, hw, example=self.choice.inputs[:2])
        return cast("BlockDrop", mho.calibrate(analog, self.choice))

    def fixed(self, net: BlockDrop, keep: Tensor) -> dict[str, Tensor]:
        """The best blocks for all images: "fewer" and "more", of the number next below and above the policy's mean; "best", of
        any number, by their reward."""
        self.job.progress("fixed blocks")
        count, reward = len(net.droppable), Reward(self.arm.penalty)
        found = [best_subset(net, self.choice, n).seen for n in range(count + 1)]
        earned = [float(reward(each.keep, each.right).mean()) for each in found]
        fewer = math.floor(float(keep.sum(1).double().mean()))
        numbers = {"fewer": fewer, "more": min(count, fewer + 1), "best": earned.index(max(earned))}
        return {name: found[n].keep[0] for name, n in numbers.items()}
