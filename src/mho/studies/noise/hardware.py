"""Does resistance to Gaussian noise predict what survives on chips, and which cheap statistic of a network predicts it best?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import mho
from mho.data import Dataset, load
from mho.perturbation import Perturbation, perturbed
from mho.statistics.intervals import Interval
from mho.studies.claim import Claim, Finding, above, every
from mho.studies.definitions import DEFINITIONS
from mho.studies.figure import Figure, Series
from mho.studies.noise.arm import DATA, recipe
from mho.studies.noise.base import PROTOCOL, NoiseStudy
from mho.studies.noise.measured import Measured, Rows, interval
from mho.studies.noise.networks import PUBLISHED, SETTINGS, NetworkArm, networks, others
from mho.studies.noise.ranks import correlation, spearman, stronger
from mho.studies.noise.settings import SEEDS
from mho.studies.noise.sharpness import sharpness, tails
from mho.studies.noise.shown import accuracies, averages, level
from mho.studies.outcome import NotStored, Results
from mho.studies.study import Job, Scale
from mho.studies.table import Table

SLICES = "slices σ 0.05"
"""Weights of 8 bits in two cells of 4 with an offset column (`mho.studies.definitions`), which vary by 0.05 of themselves."""
_SLICED = 200
"""Test images, and images for ranges, there: bit slices take ten times as long as `pcm`, and more."""
CHIPS: Mapping[Scale, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "smoke": (("pcm", ("1 day",)),),
    "cpu": (("pcm", ("1 day", "1 year")), ("pcm-cells", ("1 year",)), ("reram", ("1 day",)), (SLICES, ("0 s",))),
    "full": (
        ("pcm", ("1 day", "1 year")), ("pcm-cells", ("1 day", "1 year")), ("reram", ("1 day", "1 year")), (SLICES, ("0 s",)),
    ),
}  # fmt: skip
"""Hardware and ages."""
STATISTICS = {
    "A_avg": "A_avg, of the deviation", "A_avg_max": "A_avg, of the largest",
    "kept": "left above chance under noise, of the deviation", "kept_max": "left above chance under noise, of the largest",
    "error": "error of the outputs at η = 0.1",
    "margin": "margin", "sharpness": "sharpness", "max_over_std": "largest / std", "parameters": "parameters",
    "layers": "layers", "score": "accuracy without noise",
}  # fmt: skip
"""What may predict survival; the first four take many passes over test data, the others one, or none."""
_NORMS = {"none": "ResNet-8 without norms", "group": "ResNet-8, group norm", "layer": "ResNet-8, layer norm"}
_STURDY = 0.8
"""A_avg of networks that are not fragile."""
_FEW = 300
"""Training images for statistics that need some."""


@dataclass(frozen=True)
class ChipArm(NetworkArm):
    """A network, measured under noise and on chips."""

    def measure(self, net: nn.Module, job: Job, **about: Any) -> list[dict[str, Any]]:
        """The rows under noise, with the cheap statistics, and one for each hardware and age."""
        test, ranges = load(self.data.test), load(self.data.ranges)
        found = super().measure(net, job, **about, **cheap(net, ranges))
        return [*found, *_on_chips(net, test, ranges, job)]


def _on_chips(net: nn.Module, test: Dataset, ranges: Dataset, job: Job) -> Iterator[dict[str, Any]]:
    for name, ages in CHIPS[job.scale]:
        hw = DEFINITIONS["ideal"].hardware(0.05) if name == SLICES else mho.Hardware.preset(name)
        data, seen = (_first(test), _first(ranges)) if name == SLICES else (test, ranges)
        analog = mho.calibrate(mho.to_analog(net, hw, example=data.inputs[:2]), seen)
        run = mho.drift(analog, data, ages, chips=HardwareStudy.chips[job.scale], progress=job.steps)
        for i, age in enumerate(ages):
            yield {"setting": f"{name}, {age}", "digital": run.digital_score,
                   "scores": [round(float(score), 6) for score in run.scores[:, i]]}  # fmt: skip


def _first(data: Dataset) -> Dataset:
    return data.subset(min(_SLICED, len(data.labels)))


def cheap(net: nn.Module, data: Dataset) -> dict[str, float]:
    """Statistics of a network that need no labelled test data: what stands in `STATISTICS` behind A_avg."""
    x, y = data.inputs[:_FEW], data.labels[:_FEW]
    with torch.no_grad():
        clean: Tensor = net(x)
        with perturbed(net, Perturbation(), 0.1):
            noisy: Tensor = net(x)
    top = clean.topk(2, dim=1).values
    return {
        "error": float((noisy - clean).square().mean().sqrt() / clean.std()),
        "margin": float((top[:, 0] - top[:, 1]).mean() / clean.std()), "sharpness": sharpness(net, x, y), **tails(net),
        "layers": sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in net.modules()),
    }  # fmt: skip


Found = Results[ChipArm, Rows]
Check = Callable[[Results[Any, Any]], Finding]


def _learned(results: Found) -> list[Measured]:
    found = [Measured(outcome) for outcome in results.values()]
    return [arm for arm in found if arm.seeds]


def _columns(results: Found) -> dict[str, Any]:
    """Statistics and survivals by name, one value a network: means over training seeds, draws and chips."""
    arms = _learned(results)
    found = {
        "A_avg": [arm.averages("weights").mean() for arm in arms],
        "A_avg_max": [arm.averages("max").mean() for arm in arms],
        "kept": [arm.kept("weights").mean() for arm in arms],
        "kept_max": [arm.kept("max").mean() for arm in arms],
    }
    for name in STATISTICS:
        if name not in found:
            found[name] = [arm.about(name).mean() for arm in arms]
    for where in _wheres(results):
        found[where] = [survival(arm, where).value for arm in arms]
    return {name: np.array(values) for name, values in found.items()}


def _wheres(results: Found) -> list[str]:
    return [f"{name}, {age}" for name, ages in CHIPS[results.scale] for age in ages]


def survival(arm: Measured, where: str) -> Interval:
    """What is left above chance on chips, over chips and training seeds."""
    (chips, digital), chance = arm.chips(where), arm.about("chance")
    return interval((chips - chance) / (digital - chance))


_AMONG: Mapping[str, str] = {
    "all": "", "sturdy": f" with an A_avg of {100 * _STURDY:.0f} % and more", "trained": " that were trained here",
}  # fmt: skip
"""Networks over which there are correlations: a few fragile ones are told from the others by anything; published ones were
trained for longer, on more data."""


def _among(results: Found, which: str) -> dict[str, Any]:
    """`_columns` of some networks."""
    held = _columns(results)
    published = np.array([arm.group == PUBLISHED for arm in _learned(results)])
    chosen = {"all": np.full(len(published), True), "sturdy": held["A_avg"] >= _STURDY, "trained": ~published}[which]
    return {name: values[chosen] for name, values in held.items()}


def _predicts(which: str) -> Check:
    """Whether A_avg goes with survival."""

    def check(results: Found) -> Finding:
        held = _among(results, which)
        return every(*(
            above(where, spearman(held["A_avg"], held[where]), show=correlation) for where in _wheres(results)
        ))  # fmt: skip

    return check


def _better(one: str, other: str, by: float = 0.0, which: str = "all") -> Check:
    """Whether a statistic goes with survival, one way or the other, more than another does, by more than so much."""

    def check(results: Found) -> Finding:
        held = _among(results, which)
        return every(*(
            above(where, stronger(held[one], held[other], held[where]), by, show=correlation) for where in _wheres(results)
        ))  # fmt: skip

    return check


class HardwareStudy(NoiseStudy[ChipArm]):
    """Arms: the architectures, a network with other norms, published networks; each under noise and on chips."""

    name = "noise-and-hardware"
    title = "Does resistance to Gaussian noise predict survival on chips?"
    question = (
        "Do networks that resist Gaussian noise on their weights keep more of their accuracy on chips, and which statistic of a "
        "network, cheaper than to simulate its chips, predicts what it keeps?"
    )
    protocol = (
        f"{PROTOCOL} The networks of `noise-architectures` on its first data set with the same weights, ResNet-8 without "
        "norms, with group and with layer norms (`noise-batchnorm`), and published networks. Survival is (accuracy on chips - "
        "chance)/(accuracy without noise - chance), mean over chips; ranges of converters by 1,000 training images (of the "
        "keywords, which have none, by test inputs). Correlations are of ranks over networks, intervals a bootstrap over "
        "networks, differences of correlations over the same networks. The error of the outputs is the root mean square of "
        "their change by one draw at η = 0.1, by their deviation; the margin is the lead of the largest output, by their "
        "deviation. At `cpu` scale 5 chips and 500 test images, of slices (two cells of 4 bits, an offset column, ADC of 10 "
        "bits, σ 0.05 of each conductance) 200; beyond the trainings of the two other studies twenty minutes on two cores "
        "with `--workers 2`."
    )
    sources = ("Fagbohungbe & Qian 2020 to 2022 (A_avg as the measure of resistance)",)
    claims = (
        Claim("Networks with a higher A_avg keep more on chips", _predicts("all")),
        Claim(f"also among those with an A_avg of {100 * _STURDY:.0f} % and more", _predicts("sturdy")),
        Claim("also among those that were trained alike, here", _predicts("trained")),
        Claim("Noise relative to the largest weight predicts better than relative to the deviation", _better("kept_max", "kept")),
        Claim("It does so among those that were trained alike, here", _better("kept_max", "kept", which="trained")),
        Claim("A_avg predicts better than accuracy without noise, by the size of the correlation", _better("A_avg", "score")),
        Claim("What is left above chance under noise predicts better than A_avg", _better("kept", "A_avg")),
        Claim("The error of the outputs under one draw predicts as well as what is left above chance: less by at most 0.1",
              _better("error", "kept", -0.1)),
    )  # fmt: skip
    settings = SETTINGS
    chips: Mapping[Scale, int] = {"smoke": 2, "cpu": 5, "full": 10}  # type: ignore[misc]

    def arms(self, scale: Scale) -> list[ChipArm]:
        """The architectures, the norms, the published."""
        data = DATA[scale][0]
        trained = networks(scale, data)
        like = trained[0]
        for kind, label in _NORMS.items() if scale != "smoke" else ():
            made = recipe("cifar_resnet" if scale == "cpu" else "cifar_resnet?depth=44", data, scale, norm=kind)
            trained.append(replace(like, name=f"{like.group}-{kind}", label=label, recipe=made, seeds=SEEDS[scale]))
        return [ChipArm(**{f.name: getattr(arm, f.name) for f in fields(arm)}) for arm in [*trained, *others(scale)]]

    def tables(self, results: Found) -> list[Table]:
        """What correlates with what; the statistics and what is left of each network; every number under noise."""
        arms = _learned(results)
        wheres = _wheres(results)
        rows = [
            (arm.label, level(arm.clean), *(level(survival(arm, where)) for where in wheres),
             *(f"{arm.about(name).mean():.3g}" for name in [*STATISTICS][4:-1]))
            for arm in arms
        ]  # fmt: skip
        head = ("network", "accuracy without noise (%)", *(f"left above chance, {where} (%)" for where in wheres),
                *[*STATISTICS.values()][4:-1])  # fmt: skip
        shown = [
            *(_correlations(results, which) for which in _AMONG),
            Table(head, rows),
            accuracies(arms),
            *averages(arms, self.settings),
        ]
        return [table for table in shown if table.rows]

    def figures(self, results: Found) -> list[Figure]:
        """Survival over A_avg, a point a network; the table names them."""
        drawn = []
        for where in _wheres(results):
            series = []
            for label, published in (("trained here", False), ("published", True)):
                arms = [arm for arm in _learned(results) if (arm.group == PUBLISHED) == published]
                if arms:
                    x = [100 * float(arm.averages("weights").mean()) for arm in arms]
                    series.append(Series(label, [_percent(survival(arm, where)) for arm in arms], x, "points"))
            name = where.replace(", ", "-").replace(" ", "-").replace("σ", "sigma")
            title = f"What is left on '{where}' and what resists noise"
            drawn.append(Figure(name, title, series, "left above chance (%)", "linear", "A_avg, noise of the deviation (%)",
                                legend=True))  # fmt: skip
        return drawn


def _percent(found: Interval) -> Interval:
    return Interval(100 * found.value, 100 * found.low, 100 * found.high)


def _correlations(results: Found, which: str) -> Table:
    """Every statistic with every survival; no rows for fewer networks than a correlation takes."""
    held, rows = _among(results, which), []
    try:
        for name, label in STATISTICS.items():
            rows.append((label, *(correlation(spearman(held[name], held[where])) for where in _wheres(results))))
    except NotStored:
        rows = []
    what = f"{len(held['A_avg'])} networks{_AMONG[which]}"
    return Table((f"rank correlation over {what} with what is left on", *_wheres(results)), rows)
