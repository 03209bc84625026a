"""Arms of the study, and what they learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from mho.data import Dataset, load
from mho.models import cifar_resnet, published
from mho.studies.placed import apart
from mho.studies.study import Arm, Scale
from mho.training import fit


@dataclass(frozen=True)
class Effort:
    """How long policies learn.

    Attributes:
        train: Training images.
        alone: Epochs of the policy alone, with its curriculum.
        joint: Epochs with the network.
        lr: Rate of both there.
        settle: Further epochs with the network, at a tenth of that rate.
        last: Epochs of each policy that learns anew afterwards: clean, for σ, and for aged chips.
        exact: Epochs of the policy that is taught by the rewards of all choices.
        batch: Samples in a step.
        test: Images that are reported; None: all but those that are chosen on.
    """

    train: int
    alone: int
    joint: int
    lr: float
    settle: int
    last: int
    exact: int
    batch: int
    test: int | None


EFFORTS: Mapping[Scale, Effort] = {
    "smoke": Effort(600, 2, 1, 5e-4, 1, 1, 2, 100, 200), "cpu": Effort(10_000, 6, 4, 1e-3, 2, 6, 10, 64, 1000),
    "full": Effort(45_000, 5000, 1500, 5e-4, 500, 200, 200, 256, None),
}  # fmt: skip


@dataclass(frozen=True)
class BlockArm(Arm):
    """A network and a penalty.

    Attributes:
        network: A published one, or ``"digits"``.
        penalty: γ, of the reward.
        width: Of the policy, a ResNet-8.
        exact: All choices of blocks are computed for every training image, and teach a further policy.
    """

    network: str = "digits"
    penalty: float = 5.0
    width: int = 4
    exact: bool = False


def subject(arm: BlockArm, effort: Effort) -> tuple[nn.Module, Dataset, Dataset, Dataset]:
    """A network; images to learn from, to choose on and to test on. The last two are of the test set, for published networks have
    seen every training image."""
    data = "digits?" if arm.network == "digits" else "cifar10?prep=imagenet&"
    learnt = load(f"{data}split=train").subset(effort.train)
    choice, test = apart(load(data.rstrip("?&")), effort.test)
    if arm.network != "digits":
        return published(arm.network)[0], learnt, choice, test
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = cifar_resnet(depth=14, width=4, channels=1)
    fit(net, learnt, epochs=6, lr=0.1, schedule="onecycle", progress=None)
    return net, learnt, choice, test
