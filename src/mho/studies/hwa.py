"""Does fine-tuning with the hardware's noise make a network survive, and how much noise does it take?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mho
from mho.data.augment import crop_and_flip
from mho.measure import DriftResult
from mho.measure.sentence import show_age
from mho.recalibration import RECALIBRATIONS
from mho.statistics.intervals import mean_interval
from mho.store.files import replaced
from mho.studies.claim import Claim, Finding, above, every
from mho.studies.figure import Figure, Series, limit, points, reference
from mho.studies.outcome import Outcome, Results, show_level, show_points
from mho.studies.study import Arm, Job, Scale, Study
from mho.studies.subject import Subject, subject
from mho.studies.table import Table
from mho.tasks.score import percent
from mho.training import HWA, Gaussian, fit
from mho.units import seconds, show_time

TIMES = ("60 s", "1 h", "1 day", "1 month", "1 year")
BUDGET = 0.01
_QUANTILE = 0.9999
_IMAGES: dict[Scale, int] = {"smoke": 0, "cpu": 20_000, "full": 50_000}
_SEEDS: dict[Scale, int] = {"smoke": 2, "cpu": 3, "full": 5}
_EPOCHS = {"smoke": 1, "full": 200}
"""Where it is not the arm's own number of passes."""


@dataclass(frozen=True)
class _Recipe:
    """How a network is trained and what is tried on its aged chips: label, recalibrations, arguments of `fit`."""

    label: str
    recalibrations: tuple[str, ...]
    fit: Mapping[str, Any]


_SGD = {"augment": crop_and_flip, "optimizer": "sgd", "lr": 0.01, "weight_decay": 5e-4, "batch": 128}
_ADAMW = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.0, "batch": 64}
_RESNET20, _KEYWORDS = "cifar10_resnet20", "kws_dscnn_mlperf"
_RECIPES = {
    _RESNET20: _Recipe("ResNet-20", ("norms",), _SGD),
    _KEYWORDS: _Recipe("DS-CNN keywords", ("output", "affine"), _ADAMW),
    "digits": _Recipe("digits CNN", ("norms",), {**_SGD, "augment": None}),
}


@dataclass(frozen=True)
class TuningArm(Arm):
    """One training, or none, measured as it is or with a recalibration on the aged chip.

    Attributes:
        network: Name that `subject` takes.
        hardware: Preset.
        sigma: Gaussian noise on the weights in training, as a share of the column's largest; None: not trained.
        passes: Over the training data.
        swept: One of the sizes of noise that are compared.
        recalibration: On the aged chip.
        changes: Changed settings of the hardware, as `Hardware.replace` takes them.
    """

    network: str = _RESNET20
    hardware: str = "pcm"
    sigma: float | None = None
    passes: int = 1
    swept: bool = False
    recalibration: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trained(self) -> str:
        """Name of the arm whose weights it has."""
        return self.name.removesuffix(f"-{self.recalibration}")


Found = Results[TuningArm, DriftResult]
Tuned = Outcome[TuningArm, DriftResult]


def _helps_late(results: Found) -> Finding:
    a, b = results["pcm-cells-sigma-0.08"], results["pcm-cells-published"]
    more = mean_interval(a.differences(b, "1 year") - a.differences(b, "60 s"))
    after = (above(f"after {age}", a.gain(b, age)) for age in ("1 day", "1 year"))
    return every(*after, above("more after a year than after a minute by", more))


def _too_much_or_little(results: Found) -> Finding:
    best = results["pcm-cells-sigma-0.08"]
    others = ((f"σ = {sigma:g}", results[f"pcm-cells-sigma-{sigma:g}"]) for sigma in (0.0, 0.3))
    return every(
        *(above(f"σ = 0.08 against {name} after a year", best.gain(other, "1 year")) for name, other in others)
    )


def _recalibration_helps(results: Found) -> Finding:
    pairs = ((hw, results[f"{hw}-published-norms"], results[f"{hw}-published"]) for hw in ("pcm-cells", "hwa-standard"))
    return every(*(above(f"{hw}, after {age}", a.gain(b, age)) for hw, a, b in pairs for age in ("1 day", "1 year")))


def _goal(results: Found) -> Finding:
    wanted = results["pcm-cells-published"].first.digital.accuracy - BUDGET
    what = f"of at least {100 * wanted:.1f} % after a day"
    return above(what, results["pcm-cells-long-norms"].level("1 day"), wanted, show_level)


def _keywords(results: Found) -> Finding:
    a, b = results["kws-pcm-cells-distilled"], results["kws-pcm-cells-published"]
    return every(*(above(f"after {age}", a.gain(b, age)) for age in ("1 day", "1 year")))


class FineTuning(Study[TuningArm, DriftResult]):
    """Arms: as published; fine-tuned with noise of several sizes (0 is the control); a depthwise network for keywords.

    The headline is on 'pcm'. Sizes of the noise and keywords are compared on 'pcm-cells', whose columns have no noise.
    """

    name = "hwa"
    title = "What fine-tuning with the hardware's noise buys, and what it does not"
    question = (
        "Does a published network survive longer on its chips when it is fine-tuned with noise on its weights, how much noise "
        "does that take, and what does it give next to remedies that need no training at all?"
    )
    protocol = (
        "Gaussian noise on the weights in the forward pass, a share σ of the largest weight of each column; the digital network "
        "teaches, without labels. One pass is 20,000 images, a hundredth of the published 200 epochs. Intervals are 95 %, over "
        "training seeds where something was trained, else over chips; gains are paired by chip."
    )
    sources = (
        "Joshi et al. 2020 (noise on the weights in the forward pass)",
        "Le Gallo et al. 2023 and Rasch et al. 2023 (fine-tuning from the trained network)",
    )
    claims = (
        Claim("Training with noise helps more the older the chip", _helps_late),
        Claim("Too little and too much noise are both worse", _too_much_or_little),
        Claim("Statistics of norms recalibrated on the aged chip help without training", _recalibration_helps,
              "Joshi et al. 2020, abstract: compensation by batch-norm parameters improves retention"),
        Claim("Fine-tuned with recalibrated norms, ResNet-20 stays within a point after a day", _goal,
              "Joshi et al. 2020, abstract, on their hardware", "ResNet-32 retains more than 93.5 % on CIFAR-10 for a day"),
        Claim("A depthwise network for keywords, taught without labels, gains", _keywords),
    )  # fmt: skip

    def arms(self, scale: Scale) -> list[TuningArm]:
        """As published, the sizes of noise, then the longest training and the keywords."""
        network = "digits" if scale == "smoke" else _RESNET20
        arm = TuningArm("pcm-published", "as published", network=network)
        seeds, found = _SEEDS[scale], self._again(arm)
        arm = replace(arm, name="pcm-cells-published", hardware="pcm-cells")
        found += self._again(arm)
        if scale != "smoke":
            found += self._again(replace(arm, name="hwa-standard-published", hardware="hwa-standard"))
        none = {"compensation": {"kind": "none"}}
        found.append(replace(arm, name="pcm-cells-uncompensated", label="no compensation", changes=none))
        for sigma in (0.0, 0.08, 0.3, 0.03, 0.15) if scale != "smoke" else (0.0, 0.08, 0.3):
            name, label = f"pcm-cells-sigma-{sigma:g}", f"σ = {sigma:g}"
            found.append(replace(arm, name=name, label=label, sigma=sigma, swept=True, seeds=seeds))
        tuned = replace(arm, label="σ = 0.1", sigma=0.1, seeds=seeds)
        label = "σ = 0.1, 5 passes" if scale == "cpu" else tuned.label
        found += self._again(replace(tuned, name="pcm-long", label=label, hardware="pcm", passes=5))
        found += self._again(replace(tuned, name="pcm-cells-long", label=label, passes=5))
        if scale == "smoke":
            return found
        found.append(replace(tuned, name="hwa-standard-noise", hardware="hwa-standard"))
        found += self._again(replace(arm, name="kws-pcm-cells-published", network=_KEYWORDS))
        label = "σ = 0.1, taught on the other half"
        kws = replace(tuned, name="kws-pcm-cells-distilled", label=label, network=_KEYWORDS, passes=40)
        return found + self._again(kws)

    @staticmethod
    def _again(arm: TuningArm) -> list[TuningArm]:
        """The arm, and with each recalibration of its network."""
        kinds = _RECIPES[arm.network].recalibrations
        return [arm, *(replace(arm, name=f"{arm.name}-{kind}", label=f"{arm.label}, {kind} recalibrated", recalibration=kind)
                       for kind in kinds)]  # fmt: skip

    def run(self, arm: TuningArm, job: Job) -> None:
        """Convert, train where the arm does (or take the weights that are there), measure."""
        on = subject(arm.network, samples=None if job.scale == "full" else 2000, images=_IMAGES[job.scale], split=True)
        net = mho.to_analog(on.model, mho.Hardware.preset(arm.hardware, **arm.changes), example=on.test.inputs[:2])
        mho.calibrate(net, on.ranges, quantile=_QUANTILE)
        if arm.sigma is not None:
            weights = job.root / "weights" / f"{replace(arm, name=arm.trained).folder(job.seed)}.pt"
            if not weights.exists():
                job.progress(f"training {weights.stem}")
                _train(net.to(job.device), on, arm, job, weights.with_suffix(""))
                mho.calibrate(net.cpu(), on.ranges, quantile=_QUANTILE)
                with replaced(weights) as part:
                    torch.save(net.state_dict(), part)
            net.load_state_dict(torch.load(weights, weights_only=True))
        kind = arm.recalibration
        mho.drift(
            net, on.test, TIMES, chips=self.chips[job.scale], out=job.out, workers=job.workers, command=job.command,
            progress=job.steps, name=f"{_RECIPES[arm.network].label}, {arm.label}",
            recalibrate=(RECALIBRATIONS.find(kind).of(on.ranges, net),) if kind else (),
        )  # fmt: skip

    def tables(self, results: Found) -> list[Table]:
        """Accuracy at every age, gains over the same network and hardware without training, how much chips differ."""
        rows = []
        for outcome in results.values():
            arm, ages, base = outcome.arm, outcome.first.ages_s, _base(results, outcome)
            gains = (show_points(outcome.gain(base, age)) if base else "–" for age in ("1 day", "1 year"))
            rows.append((
                _RECIPES[arm.network].label, arm.hardware, arm.label, percent(outcome.digital),
                *map(show_level, outcome.curve()), *gains,
                f"{100 * outcome.spread('1 day'):.2f}", f"{len(outcome.runs)} × {len(outcome.first.chips)}",
            ))  # fmt: skip
        head = ("network", "hardware", "arm", "digital", *map(show_age, ages), "gain at 1 day", "gain at 1 year",
                "σ_chip at 1 day", "seeds × chips")  # fmt: skip
        return [Table(head, rows)]

    def figures(self, results: Found) -> list[Figure]:
        """Accuracy against the size of the noise; over time, one figure for each network and hardware."""
        plain = [o for o in results.values() if not o.arm.swept and not o.arm.changes]
        drawn, swept = [], [o for o in results.values() if o.arm.swept]
        if swept:
            drawn.append(_sizes(sorted(swept, key=lambda o: o.arm.sigma or 0.0), results.get("pcm-cells-published")))
        for network, hardware in dict.fromkeys((o.arm.network, o.arm.hardware) for o in plain):
            lines = [o for o in plain if (o.arm.network, o.arm.hardware) == (network, hardware)]
            if len(lines) > 1:
                drawn.append(_over_time(_RECIPES[network].label, hardware, lines))
        return drawn


def _train(net: nn.Module, on: Subject, arm: TuningArm, job: Job, folder: Path) -> None:
    noise, passes = HWA(weights=Gaussian(sigma=arm.sigma, per="column")), _EPOCHS.get(job.scale, arm.passes)
    found = fit(
        net, on.train, epochs=passes, hwa=noise, teacher=on.model.to(job.device).eval(), distillation=(4.0, 1.0),
        seed=job.seed, out=folder, progress=job.steps, **_RECIPES[arm.network].fit,
    )  # fmt: skip
    on.model.cpu()
    (folder / "history.json").write_text(json.dumps(found.history), encoding="utf-8")


def _base(results: Found, outcome: Tuned) -> Tuned | None:
    """The same network on the same hardware as published; None where there is none, and for itself."""
    of = (outcome.arm.network, outcome.arm.hardware)
    same = (o for o in results.values() if o.arm.label == "as published" and (o.arm.network, o.arm.hardware) == of)
    return None if (found := next(same, None)) is outcome else found


def _over_time(label: str, hardware: str, lines: list[Tuned]) -> Figure:
    series = [Series(o.arm.label, points(o.curve()), o.first.ages_s, "dashed" if o.arm.recalibration else "solid")
              for o in lines]  # fmt: skip
    best = 100 * lines[0].first.digital.accuracy
    low = min(s.y[-1].value for s in series) - 3
    levels = [reference("digital", best), limit("budget", best - 100 * BUDGET)]
    name = f"ages-{label.split()[0].lower()}-{hardware}"
    return Figure(
        name, f"{label} on '{hardware}'", [*series, *levels], "accuracy (%)", low=low, high=best + 1, legend=True
    )


def _sizes(arms: list[Tuned], base: Tuned | None) -> Figure:
    """Accuracy against σ at three ages; single training seeds behind their mean, the untrained network dotted."""
    places, series = range(len(arms)), []
    for age in ("60 s", "1 day", "1 year"):
        place, whole = TIMES.index(age), [o.level(age) for o in arms]
        single = [[100 * run.accuracy[:, place].mean() for run in o.runs.values()] for o in arms]
        means = [replace(v, low=v.value, high=v.value) for v in whole]
        dotted = None if base is None else 100 * base.level(age).value
        series.append(Series(f"after {show_time(seconds(age))}", points(means), places, single=single, base=dotted))
    clean = [replace(arms[0].level("60 s"), value=o.digital, low=o.digital, high=o.digital) for o in arms]
    series.append(Series("digital", points(clean), places, "reference"))
    top = max(o.digital for o in (*arms, *([base] if base else [])))
    return Figure(
        "sizes", "Accuracy against the size of the noise", series, "accuracy (%)", [f"{o.arm.sigma:g}" for o in arms],
        "σ of the weight noise in training, share of the column's largest weight (dotted: not trained)",
        low=None if base is None else 100 * base.level("1 year").value - 3, high=None if base is None else 100 * top + 1,
        legend=True,
    )  # fmt: skip
