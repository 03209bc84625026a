"""How long does a SqueezeNet that tells whether somebody is there live on drifting arrays, and which noise decides it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from mho.data import load
from mho.models import published
from mho.rng import Stream
from mho.studies.figure import Figure
from mho.studies.outcome import Results
from mho.studies.squeezenet.claims import CLAIMS
from mho.studies.squeezenet.cost_of_training import cost_of
from mho.studies.squeezenet.detector import AGES, COMPENSATIONS, Detector
from mho.studies.squeezenet.person import SETTINGS, Noise, Setting, Trained, hardware
from mho.studies.squeezenet.shown import figures, tables
from mho.studies.study import Arm, Job, Scale, Study
from mho.studies.table import Table

Row = dict[str, Any]
_SOME_AGES = ("60 s", "1 day", "1 year")
_STEPS = (None, 256, 64, 16, 4)
"""Of converters, as the original meant to sweep them; None: ideal."""
_THEIRS = "squeezenet-2022"
_PHOTOGRAPHS, _RANGES, _EACH = "vww_mobilenetv1_025_mlperf", 250, 150


@dataclass(frozen=True)
class SqueezeArm(Arm):
    """A part of the study.

    Attributes:
        work: "matched": trained and measured with the same noise; "crossed": with others; "converters": steps of DAC and ADC;
            "original": the original's sweep; "photographs": a published network on real photographs; "cost": time and memory.
        weight: Noise of the weights in training.
    """

    work: Literal["matched", "crossed", "converters", "original", "photographs", "cost"] = "matched"
    weight: float = 0.0


Found = Results[SqueezeArm, list[Row]]


class SqueezeNetDrift(Study[SqueezeArm, list[Row]]):
    """Arms: levels of the weight noise, each with every level of the output noise; what else is asked, one each."""

    name = "squeezenet-drift"
    title = "SqueezeNet on drifting arrays: which noise decides, and for how long"
    question = (
        "How do the noise of weights and of outputs, and the steps of the converters, set what a SqueezeNet that detects "
        "keeps over a year of drift, and is what it loses information or a shifted decision?"
    )
    protocol = (
        "The first nine modules of SqueezeNet v1.1 and the head of the original, at 32 × 32: is an animal there, or a vehicle "
        "(CIFAR-10, 47 % animals)? Trained digitally for 10 passes, then for one of 6,400 images with the noise of its arrays "
        "in every product (weights: σ sqrt|w|, of the largest weight of the column; outputs: σ of a full weight times a full "
        "input), on 'pcm-cells' (8-bit converters, programming noise, drift, read noise). Design: both noises at {0, 0.01, "
        "0.03, 0.1, 0.3}, trained and measured alike in all 25 pairs; training crossed with measuring at {0, 0.1, 0.3} of "
        "both; steps of DAC and ADC {4, 16, 64, 256, ideal} in all 25 pairs without noise. 3 training seeds × 5 chips, the "
        "same chips in every cell; each chip sees 200 test images of its own, the same in every cell. Ranges and "
        "recalibration use 300 training images without labels that no training saw. Power, reckoned before measuring: if "
        "paired differences spread by 1 point between chips and half a point between seeds, and 6 % of the images change "
        "sides, two levels averaged over the other noise are told apart from 1.6 points on, single cells from 3. Intervals "
        "are 95 %, over chips and seeds as random draws."
    )
    sources = (
        "Tessier and Aguirregaray, Inference drift analysis on SqueezeNet, HPML Columbia 2022 (slides, notebook)",
        "Iandola et al. 2016, SqueezeNet", "Chowdhery et al. 2019, Visual Wake Words",
    )  # fmt: skip
    claims = CLAIMS

    def arms(self, scale: Scale) -> list[SqueezeArm]:
        """The grid, from its corners on; the crossing; converters; the original's sweep; photographs; cost."""
        setting = SETTINGS[scale]
        seeds, levels = setting.seeds, setting.levels
        found = [
            SqueezeArm(f"matched-{w:g}", f"weight noise {w:g}", seeds=seeds, weight=w)
            for w in sorted(levels, key=lambda w: (w not in (0.0, *levels[-2:]), w))
        ]
        found += [SqueezeArm(f"crossed-{w:g}", f"trained with weight noise {w:g}", seeds=seeds, work="crossed", weight=w)
                  for w in setting.crossed]  # fmt: skip
        found.append(SqueezeArm("converters", "steps of the converters", seeds=seeds, work="converters"))
        found.append(SqueezeArm("original", "the original's sweep", work="original"))
        if scale == "smoke":
            return found
        found.append(SqueezeArm("photographs", "MobileNetV1 on photographs", work="photographs"))
        return [*found, SqueezeArm("cost", "time and memory at 224 × 224", work="cost")]

    def run(self, arm: SqueezeArm, job: Job) -> list[Row]:
        """Train what is missing, and measure."""
        setting = SETTINGS[job.scale]
        if arm.work == "cost":
            return [*cost_of(batch=8), *cost_of()]
        if arm.work == "photographs":
            return list(_photographs(job))
        made = Trained(setting, job.root / "weights", job.seed, job.device, job.steps)
        work = {"matched": _matched, "crossed": _crossed, "converters": _converters, "original": _original}[arm.work]
        return [{"seed": job.seed, **row} for row in work(arm, job, setting, made)]

    def tables(self, results: Found) -> list[Table]:
        """Every number."""
        return tables(results)

    def figures(self, results: Found) -> list[Figure]:
        """Accuracy over age by each noise, and what decides it."""
        return figures(results)


def _detector(setting: Setting, made: Trained, noise: Noise, base: str = "pcm-cells") -> Detector:
    model = made.retrained(noise, base)
    return Detector(model, setting.data("calibration"), setting.data("test"), setting.images, setting.chips)


def _matched(arm: SqueezeArm, job: Job, setting: Setting, made: Trained) -> Iterator[Row]:
    for output in setting.levels:
        noise = (arm.weight, output)
        job.progress(f"noise {noise[0]:g} and {noise[1]:g}")
        on = _detector(setting, made, noise)
        yield {"trained": noise, **on.digital()}
        ways = tuple(COMPENSATIONS) if 0.0 in noise else ("GDC", "exact GDC")
        for row in on.on(hardware(noise), ways):
            yield {"trained": noise, "noise": noise, **row}


def _crossed(arm: SqueezeArm, job: Job, setting: Setting, made: Trained) -> Iterator[Row]:
    for output in setting.crossed:
        trained = (arm.weight, output)
        on = _detector(setting, made, trained)
        for noise in product(setting.crossed, repeat=2):
            if noise != trained:
                job.progress(
                    f"trained with {trained[0]:g} and {trained[1]:g}, measured with {noise[0]:g} and {noise[1]:g}"
                )
                for row in on.on(hardware(noise), ("exact GDC",), _SOME_AGES):  # type: ignore[arg-type]
                    yield {"trained": trained, "noise": noise, **row}


def _converters(arm: SqueezeArm, job: Job, setting: Setting, made: Trained) -> Iterator[Row]:
    on = _detector(setting, made, (0.0, 0.0))
    for dac, adc in product(_STEPS, repeat=2):
        job.progress(f"{dac} steps of the DAC, {adc} of the ADC")
        steps: dict[str, Any] = {"dac.bits": None, "adc.bits": None, "dac.steps": dac, "adc.steps": adc}
        ways = ("GDC", "exact GDC") if None in (dac, adc) else ("GDC",)
        for row in on.on(hardware((0.0, 0.0), **steps), ways, _SOME_AGES):
            yield {"dac": dac, "adc": adc, **row}


def _original(arm: SqueezeArm, job: Job, setting: Setting, made: Trained) -> Iterator[Row]:
    """As the original ran it, so far as it is known: settings drawn at random out of four factors of which two act, one
    training seed, one chip a run, retrained with a rate of 0.0001 without momentum, cells that only drift, compensation
    that reads through the noise."""
    levels, draw = setting.levels, Stream(("squeezenet-drift", "original"))
    steps = (None, 256, 64, 16, 4)
    drawn = draw.uniform("runs", (setting.sampled, 4))
    for run, at in enumerate(drawn.tolist()):
        noise = (levels[int(at[0] * len(levels))], levels[int(at[1] * len(levels))])
        job.progress(f"run {run + 1} of {setting.sampled}")
        on = _detector(setting, made, noise, _THEIRS)
        asked = {"dac": steps[int(5 * at[2])], "adc": steps[int(5 * at[3])]}
        for row in on.on(hardware(noise, _THEIRS), ("GDC",), chips=(run,)):
            yield {"run": run, "trained": noise, "noise": noise, "asked": asked, **row}


def _photographs(job: Job) -> Iterator[Row]:
    """A published network without any training; the first photographs set ranges and recalibrate, the others are the test."""
    model, _ = published(_PHOTOGRAPHS)
    whole = load("vww01?batch=150")
    test = replace(whole, inputs=whole.inputs[_RANGES:], labels=whole.labels[_RANGES:])
    on = Detector(model, whole.subset(_RANGES), test, _EACH, len(test.labels) // _EACH, threshold="output")
    yield {"trained": (0.0, 0.0), **on.digital()}
    yield {"trained": (0.0, 0.0), "all": True, **replace(on, test=whole, images=len(whole.labels), chips=1).digital()}
    everything, two = tuple(COMPENSATIONS), ("GDC", "exact GDC")
    cells: Sequence[tuple[Noise, tuple[str, ...]]] = [
        ((0.0, 0.0), everything), ((0.1, 0.0), ("GDC",)), ((0.0, 0.03), two), ((0.0, 0.1), two),
    ]  # fmt: skip
    for noise, ways in cells:
        job.progress(f"noise {noise[0]:g} and {noise[1]:g}")
        for row in on.on(hardware(noise), ways, AGES):
            yield {"trained": (0.0, 0.0), "noise": noise, **row}
