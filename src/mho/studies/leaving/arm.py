"""Arms of the study: networks with exits, how they are trained, and their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from mho.data import Dataset, load
from mho.models import b_lenet, digits_cnn, multi_exit
from mho.models.early_exits import resnet20_exits, resnet32_exits, resnet56_exits
from mho.models.multi_exit import MultiExit
from mho.studies.study import Arm, Job, Scale
from mho.tasks import Exits
from mho.training import fit

_CHOICE = 500
"""Images at most on which exits and thresholds are chosen: training images that no training saw."""


@dataclass(frozen=True)
class ExitsArm(Arm):
    """A network with exits.

    Attributes:
        network: Name in `NETWORKS`.
        data: As `mho.data.load` takes it, without a split.
        weights: Of the joint loss.
        train: Images to train on.
        test: Test images; None: all.
        epochs: Passes over them.
        lr: Largest learning rate.
        frozen: The backbone is the published one and stays as it is.
    """

    network: str = "digits"
    data: str = "digits?"
    weights: str = "equal"
    train: int = 900
    test: int | None = None
    epochs: int = 4
    lr: float = 0.05
    frozen: bool = False

    def images(self) -> tuple[Dataset, Dataset, Dataset]:
        """Images to train on, to choose on and to test on."""
        sep = "" if self.data.endswith("?") else "&"
        training = load(f"{self.data}{sep}split=train")
        choice = slice(self.train, self.train + _CHOICE)
        left = replace(training, inputs=training.inputs[choice], labels=training.labels[choice])
        test = load(self.data.removesuffix("?")) if self.test is None else load(f"{self.data}{sep}n={self.test}")
        return training.subset(self.train), left, test

    def trained(self, training: Dataset, job: Job) -> MultiExit:
        """The network, its exits trained: on top, or with it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = NETWORKS[self.network]()
        job.progress("training")
        fit(net.freeze(self.frozen), training, epochs=self.epochs, lr=self.lr, schedule="onecycle",
            task=Exits(weights=self.weights), progress=job.steps)  # fmt: skip
        return net.freeze(False)


def _digits() -> MultiExit:
    return multi_exit(digits_cnn(), ["2", "8"], example=torch.zeros(2, 1, 8, 8))


NETWORKS: dict[str, Callable[[], MultiExit]] = {
    "digits": _digits, "b_lenet": b_lenet, "resnet20": lambda: resnet20_exits(trained=True),
    "resnet20-branches": lambda: resnet20_exits(trained=True, head="conv"),
    "resnet32": lambda: resnet32_exits(trained=True), "resnet56": lambda: resnet56_exits(trained=True),
}  # fmt: skip


def arms(scale: Scale) -> list[ExitsArm]:
    """The quickest first."""
    if scale == "smoke":
        return [ExitsArm("digits-equal", "digits CNN, equal weights", group="digits")]
    full, test = scale == "full", None if scale == "full" else 1000
    lenet = ExitsArm("", "", "mnist", network="b_lenet", data="mnist?", train=6000, test=test, epochs=8)
    found = [
        replace(lenet, name=f"b-lenet-{w}", label=f"B-LeNet, {w} weights", weights=w)
        for w in ("equal", "falling", "rising")
    ]
    cifar = ExitsArm(
        "", "", "cifar10", data="cifar10?prep=imagenet", train=40_000 if full else 5000, test=test, epochs=3
    )
    for depth in (20, 56) if not full else (20, 32, 56):
        name = f"resnet{depth}"
        found.append(replace(cifar, name=name, label=f"ResNet-{depth}, published", network=name, frozen=True))
    twenty = replace(cifar, network="resnet20", lr=0.02)
    found.append(
        replace(twenty, name="resnet20-branches", label="ResNet-20, branches of a convolution", network="resnet20-branches",
                frozen=True)
    )  # fmt: skip
    return found + [
        replace(twenty, name=f"resnet20-joint-{w}", label=f"ResNet-20, trained jointly, {w} weights", weights=w)
        for w in ("equal", "falling")
    ]
