"""`NoiseArm`: a recipe, measured under some settings; `DATA`: what the studies of noise train and test on."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from mho.data import load
from mho.errors import NotFinite
from mho.models import FACTORIES
from mho.studies.noise.recipe import Recipe, trained
from mho.studies.noise.settings import absent_row, measured
from mho.studies.study import Arm, Job, Scale


@dataclass(frozen=True)
class Data:
    """A data set at a scale.

    Attributes:
        label: How it is named.
        train: What is trained on, as `mho.data.load` takes it.
        test: What is measured on.
        ranges: What norms and converters are adjusted with: training images without augmentation.
        channels: Of the images.
        size: Of the images.
        classes: How many.
        augment: Crops and flips in training.
    """

    label: str
    train: str
    test: str
    ranges: str
    channels: int = 3
    size: int = 32
    classes: int = 10
    augment: bool = True

    def network(self, spec: str) -> str:
        """A network for it: a short name of `mho.models` with options; empty ones are left out."""
        name, _, options = spec.partition("?")
        wanted = {"channels": (self.channels, 3), "size": (self.size, 32), "num_classes": (self.classes, 10)}
        takes = inspect.signature(FACTORIES[name]).parameters
        more = [f"{key}={value}" for key, (value, usual) in wanted.items() if value != usual and key in takes]
        return "?".join(filter(None, [name, "&".join(filter(None, [*options.split("&"), *more]))]))


def _images(name: str, label: str, prep: str, train: int | None, test: int | None, **shape: Any) -> Data:
    of = f"{name}?prep={prep}"
    return Data(
        label, f"{of}&split=train" + (f"&n={train}" if train else ""), of + (f"&n={test}" if test else ""),
        f"{of}&split=train&n=1000", **shape,
    )  # fmt: skip


_DIGITS = Data("digits", "digits?split=train&n=640", "digits?n=200", "digits?split=train&n=300", 1, 8, augment=False)
_GREY = {"channels": 1, "size": 28, "augment": False}
DATA: Mapping[Scale, tuple[Data, ...]] = {
    "smoke": (_DIGITS,),
    "cpu": (
        _images("cifar10", "CIFAR-10", "cifar", 10_000, 1000), _images("mnist", "MNIST", "mnist", 6000, 1000, **_GREY),
    ),
    "full": (
        _images("cifar10", "CIFAR-10", "cifar", None, None),
        _images("cifar100", "CIFAR-100", "cifar", None, None, classes=100),
        _images("fashion-mnist", "Fashion-MNIST", "mnist", None, None, **_GREY),
    ),
}  # fmt: skip
"""By scale, the main one first."""
EPOCHS: Mapping[Scale, int] = {"smoke": 3, "cpu": 12, "full": 160}
BATCH: Mapping[Scale, int] = {"smoke": 128, "cpu": 64, "full": 128}
"""Images a step; fewer where there are few images, for the sake of steps."""


@dataclass(frozen=True)
class NoiseArm(Arm):
    """A network and how it is trained.

    Attributes:
        recipe: All that decides it besides the seed.
        data: What it is measured on.
        settings: Names of `mho.studies.noise.settings.SETTINGS`.
    """

    recipe: Recipe = Recipe("plain_cnn", _DIGITS.train, 1)  # noqa: RUF009 (frozen)
    data: Data = _DIGITS
    settings: Sequence[str] = ("weights",)

    def rows(self, job: Job, **about: Any) -> list[dict[str, Any]]:
        """Train, or take what is kept, and measure."""
        try:
            found = trained(self.recipe, job.seed, device=job.device, progress=job.steps)
            return self.measure(found.net, job, loss=found.losses[-1], **about)
        except NotFinite as error:
            return [absent_row(error.problem, load(self.data.test), **about)]

    def measure(self, net: nn.Module, job: Job, **about: Any) -> list[dict[str, Any]]:
        """The rows of a network."""
        test, ranges = load(self.data.test), load(self.data.ranges)
        parameters = sum(p.numel() for p in net.parameters())
        return list(measured(
            net, test, self.settings, job.scale, ranges=ranges, progress=job.steps, parameters=parameters, **about
        ))  # fmt: skip


def recipe(spec: str, data: Data, scale: Scale, *, norm: str = "", normed: str = "", **changes: Any) -> Recipe:
    """The recipe that the studies have in common.

    Args:
        spec: Network, as `Data.network` takes it.
        data: What it is trained on.
        scale: Decides epochs and images a step.
        norm: Of the network; empty: its own.
        normed: Which layers have it; empty: as the network has it.
        changes: Of the recipe.
    """
    options = [f"{key}={value}" for key, value in (("norm", norm), ("normed", normed)) if value]
    name, _, given = spec.partition("?")
    spec = "?".join(filter(None, [name, "&".join(filter(None, [given, *options]))]))
    usual = {"epochs": EPOCHS[scale], "batch": BATCH[scale], "augment": data.augment}
    return Recipe(data.network(spec), data.train, **{**usual, **changes})
