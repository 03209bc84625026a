"""Does fine-tuning with the hardware's noise make a network survive, and how much noise does it take?

Question: what hardware-aware training buys a published ResNet-20 at 60 s to a year after programming, next to what can
be done on the chip without training. Protocol after Joshi et al. 2020 (noise on the weights in the forward pass),
Rasch et al. 2023 and Le Gallo et al. 2023 (fine-tuning from the trained network, ages from 60 s to a year), with the
digital network as teacher, which needs no labels. Arms: the network as published; fine-tuned with Gaussian noise on the
weights of several sizes (0 is the control: the same training without noise), each with three training seeds, on common
chips and samples; and a depthwise network for keywords, of which hardly any data exist, taught by its digital self. One
pass over 20,000 images is far below the published 200 epochs: ``--epochs`` and ``--train-images`` give more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mho
from mho.data import Dataset, load
from mho.data.augment import crop_and_flip
from mho.measure import DriftResult
from mho.models import published
from mho.recalibration import RECALIBRATIONS
from mho.training import HWA, Gaussian, fit
from mho.training.loop.loader import Augment

TIMES = ("60 s", "1 h", "1 day", "1 month", "1 year")
BUDGET = 0.01
SEEDS = 3
_QUANTILE = 0.9999
KEYWORD_PASSES = 40


@dataclass(frozen=True)
class Subject:
    """A published network and its data.

    Attributes:
        network: Name among the published ones.
        label: How figures name it.
        recalibrations: What is done to the aged chip, by the end of a folder's name.
        augment: Of training inputs, or None.
        optimizer, lr, weight_decay, batch: Of training.
    """

    network: str
    label: str
    recalibrations: tuple[str, ...]
    augment: Augment | None
    optimizer: str
    lr: float
    weight_decay: float
    batch: int

    def data(self, name: str, images: int) -> tuple[Dataset, Dataset, Dataset]:
        """Test, calibration and training data.

        CIFAR-10: the first 2,000 test images, as in the drift study; the first 1,000 and the first `images` training
        images. Keywords, of which only 1,000 samples exist: the second half for the test, the first for all else.
        """
        if name.startswith("cifar10"):
            train = load(f"{name}&split=train&n={images}")
            return load(f"{name}&n=2000"), train.subset(min(images, 1000)), train
        whole = load(name)
        half = len(whole.labels) // 2
        first = whole.subset(half)
        return replace(whole, inputs=whole.inputs[half:], labels=whole.labels[half:]), first, first


RESNET = Subject("cifar10_resnet20", "ResNet-20", ("norms",), crop_and_flip, "sgd", 0.01, 5e-4, 128)
KEYWORDS = Subject("kws_dscnn_mlperf", "DS-CNN keywords", ("output", "affine"), None, "adamw", 1e-3, 0.0, 64)


@dataclass(frozen=True)
class Arm:
    """One training, or none.

    Attributes:
        name: Folder of its rows, before ``-seedN``.
        hardware: Preset.
        label: How figures name it.
        sigma: Gaussian noise on the weights, as a share of the column's largest; None: see `recipe`.
        recipe: What training injects; None: not trained.
        passes: Training images seen, as a multiple of the study's.
        again: Also measured with recalibrations on the aged chip.
        subject: The network.
        changes: Changed settings of the hardware, as `Hardware.replace` takes them.
    """

    name: str
    hardware: str
    label: str
    sigma: float | None = None
    recipe: HWA | None = None
    passes: int = 1
    again: bool = False
    subject: Subject = RESNET
    changes: dict[str, Any] = field(default_factory=dict)


def arms() -> list[Arm]:
    """Every arm, the quickest to answer the main question first."""
    found = [Arm(f"{hw}-published", hw, "as published", again=True) for hw in ("pcm", "hwa-standard")]
    found.append(Arm("pcm-uncompensated", "pcm", "no compensation", changes={"compensation": {"kind": "none"}}))
    for sigma in (0.0, 0.08, 0.3, 0.03, 0.15):
        noise = HWA(weights=Gaussian(sigma=sigma, per="column"))
        found.append(Arm(f"pcm-sigma-{sigma:g}", "pcm", f"σ = {sigma:g}", sigma, noise))
    noise = HWA(weights=Gaussian(sigma=0.1, per="column"))
    found.append(Arm("pcm-long", "pcm", "σ = 0.1, 5 passes", recipe=noise, passes=5, again=True))
    found.append(Arm("hwa-standard-noise", "hwa-standard", "σ = 0.1", recipe=noise))
    found.append(Arm("kws-pcm-published", "pcm", "as published", again=True, subject=KEYWORDS))
    label = "σ = 0.1, taught on the other half"
    found.append(
        Arm("kws-pcm-distilled", "pcm", label, recipe=noise, passes=KEYWORD_PASSES, again=True, subject=KEYWORDS)
    )
    return found


def run(
    out: Path, *, only: str = "", chips: int = 8, seeds: int = SEEDS, images: int = 20_000, epochs: int = 1,
    device: str = "cpu", progress: Callable[[str], None] = lambda _: None,
) -> None:  # fmt: skip
    """Train and measure every arm whose name contains `only`; what is there already is kept.

    Args:
        out: Folder with one folder an arm and training seed.
        only: Part of the arms' names.
        chips: Chips of each measurement.
        seeds: Training seeds of each arm.
        images: First training images, of 50,000.
        epochs: Passes over them (times the arm's own factor).
        device: Where to train.
        progress: Told what is being done.
    """
    for seed in range(seeds):
        for arm in arms():
            name = arm.name if arm.recipe is None else f"{arm.name}-seed{seed}"
            if only in name and (seed == 0 or arm.recipe is not None):
                _run(arm, name, seed, out, chips, images, epochs * arm.passes, device, progress)


def _run(
    arm: Arm, name: str, seed: int, out: Path, chips: int, images: int, epochs: int, device: str,
    progress: Callable[[str], None],
) -> None:  # fmt: skip
    variants = ("", *(f"-{kind}" for kind in arm.subject.recalibrations)) if arm.again else ("",)
    variants = tuple(v for v in variants if _stored(out / f"{name}{v}") < chips)
    if not variants:
        return
    model, info = published(arm.subject.network)
    assert info.data is not None
    test, ranges, train = arm.subject.data(info.data, images)
    net = mho.to_analog(model, mho.Hardware.preset(arm.hardware, **arm.changes), example=test.inputs[:2])
    mho.calibrate(net, ranges, quantile=_QUANTILE)
    if arm.recipe is not None:
        weights = out / "weights" / f"{name}.pt"
        if weights.exists():
            net.load_state_dict(torch.load(weights, weights_only=True))
        else:
            progress(f"training {name}")
            net, model = net.to(device), model.to(device)
            _train(net, model, arm, train, seed, epochs, out / "weights" / name)
            net, model = net.cpu(), model.cpu()
            mho.calibrate(net, ranges, quantile=_QUANTILE)
            torch.save(net.state_dict(), weights)
    for variant in variants:
        progress(f"measuring {name}{variant}")
        recalibrate = (RECALIBRATIONS.find(variant[1:]).of(ranges, net),) if variant else ()
        mho.drift(
            net, test, TIMES, chips=chips, out=out / f"{name}{variant}",
            name=f"{arm.subject.label}, {arm.label}{variant}", recalibrate=recalibrate,
            command=f"mho study hwa --only {name} --train-images {images} --epochs {epochs // arm.passes}",
        )  # fmt: skip


def _train(net: nn.Module, teacher: nn.Module, arm: Arm, data: Dataset, seed: int, epochs: int, folder: Path) -> None:
    subject = arm.subject
    result = fit(
        net, data, epochs=epochs, batch=subject.batch, optimizer=subject.optimizer, lr=subject.lr,
        weight_decay=subject.weight_decay, hwa=arm.recipe, teacher=teacher.eval(), distillation=(4.0, 1.0),
        augment=subject.augment, seed=seed, out=folder, progress=False,
    )  # fmt: skip
    (folder / "history.json").write_text(json.dumps(result.history), encoding="utf-8")


def _stored(folder: Path) -> int:
    """Chips that are stored there."""
    rows = folder / "rows.jsonl"
    return len(DriftResult.load(folder).chips) if rows.exists() and rows.stat().st_size else 0


def results(out: Path) -> Iterator[tuple[Arm, str, int, DriftResult]]:
    """What is stored: arm, variant ('' or a recalibration, as '-norms'), training seed, result."""
    for arm in arms():
        for seed in range(SEEDS):
            name = arm.name if arm.recipe is None else f"{arm.name}-seed{seed}"
            for variant in ("", *(f"-{kind}" for kind in arm.subject.recalibrations)):
                if _stored(out / f"{name}{variant}") and (seed == 0 or arm.recipe is not None):
                    yield arm, variant, seed, DriftResult.load(out / f"{name}{variant}")
