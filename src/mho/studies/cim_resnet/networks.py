"""`Net`: a network of the study, where its weights come from, and what it is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mho
from mho.data import Dataset, load
from mho.data.augment import crop_and_flip
from mho.errors import BadInput
from mho.models import published
from mho.store.files import replaced
from mho.studies.definitions import DEFINITIONS
from mho.studies.noise.arm import DATA, Data, recipe
from mho.studies.noise.recipe import trained
from mho.studies.study import PRECISION, Job, Scale
from mho.studies.subject import Subject
from mho.training import HWA, Clip, fit

_EPOCHS: Mapping[Scale, tuple[int, int]] = {"smoke": (3, 3), "cpu": (8, 4), "full": (160, 30)}
"""Of training on the first and on the second data set."""
_SECOND: Mapping[Scale, str] = {"smoke": "digits", "cpu": "MNIST", "full": "Fashion-MNIST"}
"""The second data set, by its label in `DATA`: grey images of ten classes."""
_TUNING: Mapping[Scale, int | None] = {"smoke": 128, "cpu": 5000, "full": None}
"""Training images of one pass of fine-tuning."""
_PREP = "cifar10?prep=imagenet"


@dataclass(frozen=True)
class Net:
    """A network.

    Attributes:
        label: How it is named.
        spec: Its name among the published ones, or as `mho.models.resolve` takes it.
        origin: "published", "tuned" (from the published weights, through quantised slices) or "trained".
        data: 0: the first data set of a scale, 1: the second (`data_of`).
        factor: What is varied: layers, kernel or channels.
    """

    label: str
    spec: str
    origin: str = "trained"
    data: int = 0
    factor: int = 0


def _layout() -> dict[str, Net]:
    found: dict[str, Net] = {}
    for depth in (20, 56, 32, 44):
        found[f"resnet{depth}"] = Net(f"ResNet-{depth}", f"cifar10_resnet{depth}", "published", factor=depth)
    for depth in (20, 56, 32, 44):
        found[f"tuned{depth}"] = Net(f"ResNet-{depth}, tuned", f"cifar10_resnet{depth}", "tuned", factor=depth)
    for width in (16, 8, 32):
        options = "" if width == 16 else f"&width={width}"
        found[f"width{width}"] = Net(f"ResNet-20, {width} channels", f"cifar_resnet?depth=20{options}", factor=width)
    for kernel in (1, 5):
        spec = f"cifar_resnet?depth=20&kernel={kernel}"
        found[f"kernel{kernel}"] = Net(f"ResNet-20, {kernel} × {kernel}", spec, factor=kernel)
    for data, name in enumerate(("plain", "second")):
        for kernel in (3, 1, 5):
            options = "" if kernel == 3 else f"&kernel={kernel}"
            where = "" if not data else ", second data set"
            found[f"{name}{kernel}"] = Net(
                f"plain CNN, {kernel} × {kernel}{where}", f"plain_cnn?depth=4{options}", data=data, factor=kernel
            )
    found["squeeze"] = Net("Squeeze-mini", "squeezenet_cifar")
    for depth in (8, 14, 20):
        found[f"second-resnet{depth}"] = Net(
            f"ResNet-{depth}, second data set", f"cifar_resnet?depth={depth}", data=1, factor=depth
        )
    return found


NETS: Mapping[str, Net] = _layout()
SMOKE: Mapping[str, Net] = {
    f"resnet{depth}": Net(f"ResNet-{depth} on digits", f"cifar_resnet?depth={depth}&width=8", factor=depth)
    for depth in (8, 14)
}


def of(name: str, scale: Scale) -> Net:
    """A network by name."""
    return (SMOKE if scale == "smoke" else NETS)[name]


def data_of(net: Net, scale: Scale) -> Data:
    """What a network is trained and measured on; published ones are of the first data set, CIFAR-10."""
    several = {data.label: data for data in DATA[scale]}
    return several[_SECOND[scale]] if net.data else DATA[scale][0]


def made(name: str, job: Job, images: int) -> Subject:
    """A network, trained or tuned first where nobody published it; once for all arms.

    Args:
        name: In `NETS`.
        job: Says the scale, the training seed and where to train.
        images: Test images.

    Raises:
        BadInput: `MHO_DATA`, where weights and data lie, is not set or not complete.
    """
    net = of(name, job.scale)
    if net.origin == "trained":
        data = data_of(net, job.scale)
        epochs = _EPOCHS[job.scale][net.data]
        told = recipe(net.spec, data, job.scale, epochs=epochs, batch=128, precision=PRECISION[job.scale])
        found = trained(told, job.seed, device=job.device, progress=job.steps)
        test = load(data.test.partition("&n=")[0].partition("?n=")[0])
        ranges = load(data.ranges)
        return Subject(found.net, test.subset(min(images, len(test.labels))), ranges, ranges)
    model, _ = published(net.spec)
    ranges = load(f"{_PREP}&split=train&n=200")
    if net.origin == "tuned":
        model = _tuned(name, model, ranges, job)
    test = load(_PREP)
    return Subject(model, test.subset(min(images, len(test.labels))), ranges, ranges)


def _tuned(name: str, model: nn.Module, ranges: Dataset, job: Job) -> nn.Module:
    """Fine-tuned quantisation-aware: slices and converters of 10 bits in the graph, weights clipped at 2.5 σ of the layer."""
    file = job.root / "weights" / f"{name}-seed{job.seed}.pt"
    if not file.exists():
        images = _TUNING[job.scale]
        training = load(f"{_PREP}&split=train" + (f"&n={images}" if images else ""))
        hw = DEFINITIONS["ideal-tensor"].hardware(0.0)
        net = mho.calibrate(mho.to_analog(model, hw, example=ranges.inputs[:2]), ranges)
        for norm in net.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 0.05  # few steps: statistics stay near those of the published network
        settings: dict[str, Any] = {"lr": 0.005, "schedule": "onecycle", "batch": 64, "augment": crop_and_flip}
        fit(
            net.to(job.device), training, hwa=HWA(clip=Clip(bound=2.5)), seed=job.seed, out=_beside(file), progress=job.steps,
            **settings,
        )  # fmt: skip
        weights = mho.to_digital(net.cpu()).state_dict()
        with replaced(file) as part:
            torch.save(weights, part)
    model.load_state_dict(torch.load(file, weights_only=True))
    return model.eval()


def _beside(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.with_suffix("")


def part(data: Dataset, number: int, images: int) -> Dataset:
    """The images of a chip: its own, one after the other, for chips that share images are not independent.

    Raises:
        BadInput: There are not as many.
    """
    first, last = number * images, (number + 1) * images
    if last > len(data.labels):
        raise BadInput(
            f"{len(data.labels)} test images are too few for {number + 1} chips of {images} each",
            "give a folder with the whole test set in MHO_DATA", path=data.name,
        )  # fmt: skip
    return replace(data, inputs=data.inputs[first:last], labels=data.labels[first:last])
