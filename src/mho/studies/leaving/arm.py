"""Arms of the study: networks with exits, how they are trained, and their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from mho.data import Dataset, load
from mho.data.augment import crop_and_flip
from mho.models import b_alexnet, b_lenet, digits_cnn, multi_exit, resnet_exits
from mho.models.multi_exit import MultiExit
from mho.studies.placed import apart
from mho.studies.study import PRECISION, Arm, Job, Scale
from mho.tasks import Exits
from mho.training import fit


@dataclass(frozen=True)
class ExitsArm(Arm):
    """A network with exits.

    Attributes:
        network: Name in `NETWORKS`.
        data: As `mho.data.load` takes it, without a split.
        weights: Of the joint loss; not used where one exit is trained alone.
        alone: Number of the one exit that is trained, from 1: a network of its depth; 0: all are.
        train: Images to train on.
        test: Images that are reported; None: all but those that are chosen on.
        epochs: Passes over them.
        lr: Largest learning rate.
        batch: Images a step.
        frozen: The backbone is the published one and stays as it is.
        augment: Images are shifted and mirrored.
        precision: Of training, as `mho.fit` takes it.
        redrawn: Also measured with noise that is drawn for every batch and bit of the input, which takes 17 times as long.
        digital_exits: Side classifiers stay digital.
    """

    network: str = "digits"
    data: str = "digits?"
    weights: str = "equal"
    alone: int = 0
    train: int = 900
    test: int | None = None
    epochs: int = 4
    lr: float = 0.05
    batch: int = 128
    frozen: bool = False
    augment: bool = False
    precision: str = "32"
    redrawn: bool = False
    digital_exits: bool = False

    def images(self) -> tuple[Dataset, Dataset, Dataset]:
        """Images to train on, to choose on and to test on; the last two of the test set, for published backbones have seen every
        training image."""
        sep = "" if self.data.endswith("?") else "&"
        training = load(f"{self.data}{sep}split=train")
        choice, test = apart(load(self.data.removesuffix("?")), self.test)
        return training.subset(self.train), choice, test

    def trained(self, training: Dataset, job: Job) -> MultiExit:
        """The network, its exits trained: on top, or with it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.seed)
            net = NETWORKS[self.network]().to(job.device)
        job.progress("training")
        one = tuple(float(number + 1 == self.alone) for number in range(len(net.names)))
        fit(net.freeze(self.frozen), training, epochs=self.epochs, lr=self.lr, batch=self.batch, schedule="onecycle",
            augment=crop_and_flip if self.augment else None, task=Exits(weights=one if self.alone else self.weights),
            precision=self.precision, seed=job.seed, out=job.checkpoints, progress=job.steps)  # fmt: skip
        return net.cpu().freeze(False)


def _digits() -> MultiExit:
    def head(features: torch.Tensor) -> nn.Module:
        return nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(features[0].numel() // 4, 10))

    return multi_exit(digits_cnn(), ["2", "8"], head=head, example=torch.zeros(2, 1, 8, 8))


NETWORKS: dict[str, Callable[[], MultiExit]] = {
    "digits": _digits, "b_lenet": b_lenet, "b_alexnet": b_alexnet,
    "resnet20-linear": partial(resnet_exits, trained=True), "resnet110": partial(resnet_exits, depth=110, head="conv"),
    **{f"resnet{depth}": partial(resnet_exits, depth=depth, trained=True, head="conv") for depth in (20, 32, 56)},
}  # fmt: skip


def arms(scale: Scale) -> list[ExitsArm]:
    """The quickest first; an arm of one exit alone behind that of all exits that it is held against."""
    if scale == "smoke":
        digits = ExitsArm("digits-equal", "digits CNN, equal weights", group="digits", seeds=1)
        return [digits, *_alone(digits, 1)]
    full = scale == "full"
    test, precision = None if full else 1000, PRECISION[scale]
    lenet = ExitsArm("", "", "mnist", 3, network="b_lenet", data="mnist?", train=6000, test=None, epochs=8, batch=32)
    found = [
        replace(lenet, name=f"b-lenet-{w}", label=f"B-LeNet, {w} weights", weights=w)
        for w in ("equal", "falling", "rising")
    ]
    found[1:1] = _alone(found[0], 1, 2)
    cifar = ExitsArm(
        "", "", "cifar10", data="cifar10?prep=imagenet", train=40_000 if full else 10_000, test=test, epochs=8, batch=64
    )
    long = replace(cifar, seeds=3, epochs=100 if full else 20, augment=True, precision=precision)
    alexnet = replace(long, network="b_alexnet", weights="branchynet", lr=0.03, batch=32)
    found.append(replace(alexnet, name="b-alexnet", label="B-AlexNet"))
    frozen = replace(cifar, seeds=3 if full else 1, frozen=True)
    for depth in (20, 32, 56):
        name = f"resnet{depth}"
        found.append(
            replace(frozen, name=name, label=f"ResNet-{depth}, published", network=name, redrawn=full or depth == 20)
        )
    twenty = replace(frozen, network="resnet20", name="resnet20-digital", label="ResNet-20, digital exits")
    linear = replace(frozen, network="resnet20-linear", name="resnet20-linear", label="ResNet-20, linear exits")
    found += [replace(twenty, digital_exits=True), linear]
    twenty = replace(long, network="resnet20", lr=0.1, epochs=12)
    joint = [
        replace(twenty, name=f"resnet20-joint-{w}", label=f"ResNet-20, trained jointly, {w} weights", weights=w)
        for w in ("equal", "falling")
    ]
    found += [joint[0], *_alone(joint[0], 1, 2, 3), joint[1]]
    if full:
        deep = replace(long, name="resnet110", label="ResNet-110, trained with its exits", network="resnet110")
        found.append(replace(deep, epochs=160, lr=0.1))
    return found


def _alone(arm: ExitsArm, *exits: int) -> list[ExitsArm]:
    """Networks of an exit's depth, trained as the arm is."""
    return [replace(arm, name=f"{arm.name}-alone-{k}", label=f"{arm.label}: exit {k} alone", alone=k) for k in exits]
