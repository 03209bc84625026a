"""The networks of the SqueezeNet drift study: trained digitally, then again with the noise of their arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mho
from mho.data import Dataset, load
from mho.data.augment import crop_and_flip
from mho.data.preparation import IMAGES
from mho.hardware import Hardware
from mho.models import squeezenet_vww
from mho.models.root import data_file
from mho.progress import Progress
from mho.rng import reads
from mho.store.files import replaced
from mho.studies.study import Scale
from mho.training import HWA, fit

TASK = "logit"
Noise = tuple[float, float]
"""σ of the weights (shape sqrt|w|, of the largest weight) and of the columns' outputs, in every product."""
_BY_HAND = "save torchvision's state dict of squeezenet1_1 there"
_LEVELS = (0.0, 0.01, 0.03, 0.1, 0.3)
_ADAMW = {"optimizer": "adamw", "batch": 64, "augment": crop_and_flip}


@dataclass(frozen=True)
class Setting:
    """The study at a scale.

    Attributes:
        network: Makes the network before training; its output is a logit.
        data: From "train", "calibration" or "test" to the data.
        levels: Of the noise of weights and of outputs, increasing from 0.
        crossed: Levels of both at which training and evaluation are crossed.
        images: Test images that each chip sees, other ones than the chips before it.
        chips: Of each network.
        seeds: Of the trainings.
        sampled: Runs of the sweep that draws its settings, as the original did.
        pretraining: Arguments of `fit` for the digital network.
        retraining: Of `fit` with noise.
        retrained_on: First training images that this takes; None: all.
        as_then: Of `fit` in the replica of the original.
        head_only: The digital training leaves the features as they are.
    """

    network: Callable[[], nn.Module]
    data: Callable[[str], Dataset]
    levels: tuple[float, ...]
    crossed: tuple[float, ...]
    images: int
    chips: int
    seeds: int
    sampled: int
    pretraining: Mapping[str, Any] = field(default_factory=dict)
    retraining: Mapping[str, Any] = field(default_factory=dict)
    retrained_on: int | None = None
    as_then: Mapping[str, Any] = field(default_factory=dict)
    head_only: bool = False


@functools.cache
def _digits(split: str) -> Dataset:
    """Scikit-learn's digits as images of 24 × 24 pixels: is it 5 or more?"""
    of = load(f"digits?split={'test' if split == 'test' else 'train'}")
    inputs = F.interpolate(of.inputs, scale_factor=3).repeat(1, 3, 1, 1)
    data = replace(
        of, name=f"digits above 4/{split}", inputs=inputs, labels=(of.labels > 4).long(), classes=("0-4", "5-9")
    )
    return data.subset(200) if split == "calibration" else data


@functools.cache
def _animals(split: str) -> Dataset:
    return load(f"animals?split={split}{'&n=300' if split == 'calibration' else ''}")


@functools.cache
def _vww(split: str) -> Dataset:
    """Training images as bytes, which `_standardised` prepares batch by batch."""
    names = {
        "train": "vww?split=train&prep=bytes",
        "calibration": "vww?split=train&n=1000",
        "test": "vww?split=val&n=8000",
    }
    return load(names[split])


def _standardised(images: Tensor, generator: torch.Generator) -> Tensor:
    return IMAGES["imagenet"](images)


def _digital(size: int) -> nn.Module:
    return squeezenet_vww(size=size, sigmoid=False)


def _imagenet() -> nn.Module:
    """With the features that torchvision publishes."""
    features = data_file("weights", "squeezenet1_1.pth", name="squeezenet1_1", by_hand=_BY_HAND)
    return squeezenet_vww(sigmoid=False, features=str(features))


SETTINGS: Mapping[Scale, Setting] = {
    "smoke": Setting(
        partial(_digital, 24), _digits, (0.0, 0.1), (0.0, 0.1), 100, 2, 2, 4,
        {**_ADAMW, "augment": None, "lr": 3e-3, "schedule": "onecycle", "epochs": 6},
        {**_ADAMW, "augment": None, "lr": 3e-4}, 320, {"optimizer": "sgd", "lr": 1e-4, "momentum": 0.0, "batch": 32},
    ),
    "cpu": Setting(
        partial(_digital, 32), _animals, _LEVELS, (0.0, 0.1, 0.3), 200, 5, 3, 97,
        {**_ADAMW, "lr": 3e-3, "weight_decay": 0.01, "schedule": "onecycle", "epochs": 10},
        {**_ADAMW, "lr": 5e-4}, 6_400, {"optimizer": "sgd", "lr": 1e-4, "momentum": 0.0, "batch": 32},
    ),
    "full": Setting(
        _imagenet, _vww, _LEVELS, (0.0, 0.1, 0.3), 1600, 5, 3, 97,
        {"optimizer": "adamw", "batch": 32, "lr": 1e-3, "epochs": 20, "augment": _standardised},
        {"optimizer": "adamw", "batch": 32, "lr": 1e-4, "augment": _standardised}, None,
        {"optimizer": "sgd", "lr": 1e-4, "momentum": 0.0, "batch": 32, "augment": _standardised}, head_only=True,
    ),
}  # fmt: skip


def hardware(noise: Noise, base: str = "pcm-cells", **changes: Any) -> Hardware:
    """A preset with the noise of products, and other changes."""
    return Hardware.preset(base, **{"noise.weight": noise[0], "noise.output": noise[1], **changes})


@dataclass(frozen=True)
class Trained:
    """Where the networks of a training seed lie, and how they are made at the first call.

    Attributes:
        setting: How.
        root: Folder of the weights.
        seed: Training seed: of the first weights, the order of the images, and the noise.
        device: Where to train.
        progress: Told of the steps.
    """

    setting: Setting
    root: Path
    seed: int
    device: str = "cpu"
    progress: Progress = None

    def digital(self) -> nn.Module:
        """The network as it was trained digitally, in eval mode."""
        with reads("squeezenet-drift", "weights", self.seed):
            model = self.setting.network()

        def train(out: Path) -> nn.Module:
            features = model.get_submodule("features").requires_grad_(not self.setting.head_only)
            self._fit(model, self.setting.data("train"), out, self.setting.pretraining)
            features.requires_grad_(True)
            return model

        return self._kept(f"digital-seed{self.seed}", model, train)

    def retrained(self, noise: Noise, base: str = "pcm-cells") -> nn.Module:
        """Trained on with the noise of the arrays in every product; in digital form.

        Args:
            noise: Of the hardware.
            base: Preset; on another one than 'pcm-cells' it is trained as the original was.
        """
        model, data = self.digital(), self.setting.data("train")
        held = data if self.setting.retrained_on is None else data.subset(self.setting.retrained_on)
        then = base != "pcm-cells"

        def train(out: Path) -> nn.Module:
            calibration = self.setting.data("calibration")
            net = mho.to_analog(model, hardware(noise, base), example=calibration.inputs[:2])
            mho.calibrate(net, calibration)
            self._fit(net, held, out, self.setting.as_then if then else self.setting.retraining, HWA())
            return mho.to_digital(net)

        name = f"{f'{base}-' if then else ''}w{noise[0]:g}-o{noise[1]:g}-seed{self.seed}"
        return self._kept(name, model, train)

    def _fit(
        self, net: nn.Module, data: Dataset, out: Path, options: Mapping[str, Any], hwa: HWA | None = None
    ) -> None:
        fit(net.to(self.device), data, task=TASK, seed=self.seed, hwa=hwa, out=out, progress=self.progress, **options)
        net.cpu()

    def _kept(self, name: str, model: nn.Module, train: Callable[[Path], nn.Module]) -> nn.Module:
        """The network with the weights of a file, which is written first where it is missing."""
        file = self.root / f"{name}.pt"
        if not file.exists():
            made = train(self.root / name)
            with replaced(file) as part:
                torch.save(made.state_dict(), part)
        model.load_state_dict(torch.load(file, weights_only=True))
        return model.eval()
