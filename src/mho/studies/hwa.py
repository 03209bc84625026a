"""Does fine-tuning with the hardware's noise make a network survive, and how much noise does it take?

Question: what hardware-aware training buys a published ResNet-20 at 60 s to a year after programming, next to what can
be done on the chip without training. Protocol after Joshi et al. 2020 (noise on the weights in the forward pass),
Rasch et al. 2023 and Le Gallo et al. 2023 (fine-tuning from the trained network, ages from 60 s to a year), with the
digital network as teacher, which needs no labels. Arms: the network as published; fine-tuned with Gaussian noise on the
weights of several sizes (0 is the control: the same training without noise); with the cell's own programming and drift;
each with three training seeds, on common chips and samples. `SAMPLES` images in one pass are far below the published
200 epochs: ``--epochs`` and ``--train-images`` give more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import mho
from mho.data import load
from mho.data.augment import crop_and_flip
from mho.measure import DriftResult
from mho.models import published
from mho.training import HWA, Gaussian, Programming, fit
from mho.training.recalibration import RecalibrateNorms

TIMES = ("60 s", "1 h", "1 day", "1 month", "1 year")
BUDGET = 0.01
TEST = 2000
"""First test images of CIFAR-10, as in the drift study."""
CALIBRATION = 1000
"""First training images: ranges of the converters, statistics of norms."""
SEEDS = 3
_NETWORK, _QUANTILE = "cifar10_resnet20", 0.9999


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
        norms: Also measured with the norms recalibrated on the aged chip.
    """

    name: str
    hardware: str
    label: str
    sigma: float | None = None
    recipe: HWA | None = None
    passes: int = 1
    norms: bool = False


def arms() -> list[Arm]:
    """Every arm, the quickest to answer the main question first."""
    found = [Arm(f"{hw}-published", hw, "as published", norms=True) for hw in ("pcm", "hwa-standard")]
    drifted = HWA(weights=Programming(time="1 day"))
    for sigma in (0.0, 0.08, 0.3, 0.03, 0.15):
        noise = HWA(weights=Gaussian(sigma=sigma, per="column"))
        found.append(Arm(f"pcm-sigma-{sigma:g}", "pcm", f"σ = {sigma:g}", sigma, noise))
    noise = HWA(weights=Gaussian(sigma=0.1, per="column"))
    found.append(Arm("pcm-long", "pcm", "σ = 0.1, 5 x the images", recipe=noise, passes=5, norms=True))
    found.append(Arm("hwa-standard-chips", "hwa-standard", "chips a day old", recipe=drifted, norms=True))
    found.append(Arm("pcm-chips", "pcm", "chips a day old", recipe=drifted, norms=True))
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
    variants = ("", "-norms") if arm.norms else ("",)
    if all((out / f"{name}{v}" / "done").exists() for v in variants):
        return
    model, info = published(_NETWORK)
    test, ranges = load(f"{info.data}&n={TEST}"), load(f"{info.data}&split=train&n={CALIBRATION}")
    net = mho.to_analog(model, mho.Hardware.preset(arm.hardware), example=test.inputs[:2])
    mho.calibrate(net, ranges, quantile=_QUANTILE)
    if arm.recipe is not None:
        weights = out / "weights" / f"{name}.pt"
        if weights.exists():
            net.load_state_dict(torch.load(weights, weights_only=True))
        else:
            progress(f"training {name}")
            data = f"{info.data}&split=train&n={images}"
            net, model = net.to(device), model.to(device)
            _train(net, model, arm.recipe, data, seed, epochs, out / "weights" / name)
            net = net.cpu()
            mho.calibrate(net, ranges, quantile=_QUANTILE)
            torch.save(net.state_dict(), weights)
    for variant in variants:
        progress(f"measuring {name}{variant}")
        recalibrate = (RecalibrateNorms(ranges),) if variant else ()
        mho.drift(
            net, test, TIMES, chips=chips, out=out / f"{name}{variant}", name=f"ResNet-20, {arm.label}{variant}",
            recalibrate=recalibrate, command=f"mho study hwa --only {name} --train-images {images} --epochs {epochs}",
        )  # fmt: skip
        (out / f"{name}{variant}" / "done").write_text("")


def _train(net: nn.Module, teacher: nn.Module, recipe: HWA, data: str, seed: int, epochs: int, folder: Path) -> None:
    result = fit(
        net, load(data), epochs=epochs, batch=128, lr=0.01, weight_decay=5e-4, hwa=recipe, teacher=teacher.eval(),
        distillation=(4.0, 1.0), augment=crop_and_flip, seed=seed, out=folder, progress=False,
    )  # fmt: skip
    (folder / "history.json").write_text(json.dumps(result.history), encoding="utf-8")


def results(out: Path) -> Iterator[tuple[Arm, str, int, DriftResult]]:
    """What is stored: arm, variant ('' or '-norms'), training seed, result."""
    for arm in arms():
        for seed in range(SEEDS):
            name = arm.name if arm.recipe is None else f"{arm.name}-seed{seed}"
            for variant in ("", "-norms"):
                if (out / f"{name}{variant}" / "done").exists() and (seed == 0 or arm.recipe is not None):
                    yield arm, variant, seed, DriftResult.load(out / f"{name}{variant}")
