"""What is left of published networks as their chips age, without any retraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mho
from mho.measure import DriftResult
from mho.statistics.intervals import mean_interval
from mho.studies.claim import Claim, Finding, Verdict, above, every
from mho.studies.figure import Figure, Series, limit, points, reference
from mho.studies.outcome import Outcome, Results
from mho.studies.study import Arm, Job, Scale, Study
from mho.studies.subject import subject
from mho.studies.table import Table
from mho.tasks.score import bracket, percent
from mho.units import seconds, show_time

TIMES = ("1 h", "1 day", "1 month", "6 months", "1 year")
BUDGET = 0.01
_RESNET20 = "cifar10_resnet20"
NETWORKS = {
    _RESNET20: "ResNet-20",
    "cifar10_resnet32": "ResNet-32",
    "cifar10_resnet44": "ResNet-44",
    "cifar10_resnet56": "ResNet-56",
    "cifar10_resnet8_mlperf": "ResNet-8 (MLPerf Tiny)",
    "kws_dscnn_mlperf": "DS-CNN keywords (depthwise)",
    "stories260k": "stories260K Llama (next token)",
}
_SMOKE = {"digits": "digits CNN"}
_CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "compensation": {
        "none": {"compensation": {"kind": "none"}},
        "global, exact reading": {"compensation": {"kind": "global", "readout": "exact"}},
        "per column": {"compensation": {"kind": "per_column"}},
    },
    "causes": {
        "no programming noise": {"cell.programming_noise": 0.0},
        "no drift": {"cell.drift": 0.0},
        "no read noise": {"cell.read_noise": 0.0},
        "ideal converters": {"dac.bits": None, "adc.bits": None},
        "6-bit converters": {"dac.bits": 6, "adc.bits": 6},
    },
}
_TITLES = {
    "networks": "Networks on 'pcm'",
    "cells": "Networks on 'pcm-cells' (no output noise)",
    "hardware": "{} on different hardware",
    "compensation": "{} on 'pcm-cells': what compensation does",
    "causes": "{} on 'pcm-cells': what decides it",
}


@dataclass(frozen=True)
class DriftArm(Arm):
    """A network on a hardware.

    Attributes:
        network: Name that `subject` takes.
        hardware: Preset.
        changes: Changed settings, as `Hardware.replace` takes them.
    """

    network: str = _RESNET20
    hardware: str = "pcm"
    changes: Mapping[str, Any] = field(default_factory=dict)


Found = Results[DriftArm, DriftResult]


def _first(results: Found, group: str) -> Outcome[DriftArm, DriftResult] | None:
    return next((o for o in results.values() if o.arm.group == group), None)


def _reference(results: Found) -> Outcome[DriftArm, DriftResult]:
    """The network that the changes are made to, as it is."""
    return _first(results, "cells") or results[f"pcm-cells-{_RESNET20}"]


def _changed(results: Found, label: str) -> Outcome[DriftArm, DriftResult]:
    return next((o for o in results.values() if o.arm.label == label), None) or results[label]


def _survives_a_day(results: Found) -> Finding:
    """The whole interval of the lifetime is above a day, or below."""
    day, parts = seconds("1 day"), []
    measured = [o for o in results.values() if o.arm.group == "networks"]
    for outcome in measured or [results[f"pcm-{_RESNET20}"]]:
        life = outcome.first.lifetime(BUDGET)
        verdict: Verdict = "holds" if life.low_s > day else "fails" if life.high_s < day else "depends"
        parts.append(Finding(verdict, f"{outcome.arm.label} {life}"))
    return every(*parts)


def _deeper_loses_less(results: Found) -> Finding:
    parts = []
    for deep, shallow in (("32", "20"), ("44", "32"), ("56", "44")):
        a, b = results[f"pcm-cells-cifar10_resnet{deep}"], results[f"pcm-cells-cifar10_resnet{shallow}"]
        kept = mean_interval(a.differences(b, "1 year") - (a.digital - b.digital))
        parts.append(above(f"after a year ResNet-{deep} has lost less than ResNet-{shallow} by", kept))
    return every(*parts)


def _compensation_decides(results: Found) -> Finding:
    pcm, none = _reference(results), _changed(results, "none")
    return every(*(above(f"after {age}", pcm.gain(none, age)) for age in TIMES))


def _output_noise_costs(results: Found) -> Finding:
    noisy, cells = results[f"pcm-{_RESNET20}"], results[f"pcm-cells-{_RESNET20}"]
    return every(*(above(f"after {age}", cells.gain(noisy, age)) for age in TIMES))


def _finer_gains(results: Found) -> Finding:
    pcm = _reference(results)
    return every(*(above(f"{label}, after {age}", _changed(results, label).gain(pcm, age))
                   for label in ("per column", "global, exact reading") for age in ("1 day", "1 year")))  # fmt: skip


def _drift_costs_most(results: Found) -> Finding:
    still = _changed(results, "no drift")
    others = ("no programming noise", "no read noise", "ideal converters")
    return every(
        *(above(f"no drift against {label}", still.gain(_changed(results, label), "1 year")) for label in others)
    )


def _converters_cost_more_late(results: Found) -> Finding:
    pcm, coarse = _reference(results), _changed(results, "6-bit converters")
    late, early = (pcm.differences(coarse, age) for age in ("1 year", "1 h"))
    return above("6 bits cost more after a year than after an hour by", mean_interval(late - early))


class Drift(Study[DriftArm, DriftResult]):
    """Arms: networks (depth, depthwise, size) × hardware, and for one network compensation, converters and causes.

    The headline is on 'pcm', whose columns are noisy. What single settings do is compared on 'pcm-cells', without that noise.
    """

    name = "drift"
    title = "What is left of published networks as their chips age"
    question = (
        "How long do networks that were trained digitally, without any retraining, keep their accuracy on analog arrays, on "
        "which hardware, and what decides it?"
    )
    protocol = (
        "Networks and weights as their authors published them; 8 chips an arm, chip i of one arm sharing its draws with chip i "
        "of every other, read at five ages; the first 2,000 test images of CIFAR-10, all 1,000 keywords, 1,804 tokens."
    )
    sources = ("Joshi et al. 2020", "Le Gallo et al. 2023", "Rasch et al. 2023 (ages from an hour to a year)")
    claims = (
        Claim("Published networks keep a 1 % budget on 'pcm' for a day", _survives_a_day),
        Claim("Output noise of 0.04, which cells and converters alone leave out, costs accuracy at every age",
              _output_noise_costs),
        Claim("Deeper networks are more robust, on 'pcm-cells'", _deeper_loses_less,
              "Fagbohungbe and Qian 2020, arXiv 2011.11840, abstract: generally so, for noise on weights"),
        Claim("Drift compensation decides", _compensation_decides),
        Claim("A factor a column, or an exact reading, compensates better than one factor an array on 'pcm-cells'",
              _finer_gains),
        Claim("Of the causes, drift costs most after a year", _drift_costs_most),
        Claim("Coarse converters cost more the older the chip", _converters_cost_more_late),
    )  # fmt: skip

    def arms(self, scale: Scale) -> list[DriftArm]:
        """The networks; then the first of them on other hardware and with other settings."""
        networks, digits = (_SMOKE, True) if scale == "smoke" else (NETWORKS, False)
        first = next(iter(networks))
        found = [DriftArm(f"pcm-{n}", label, "networks", network=n) for n, label in networks.items()]
        found += [
            DriftArm(f"pcm-cells-{n}", label, "cells", network=n, hardware="pcm-cells") for n, label in networks.items()
        ]
        for hw in ("hermes", "reram", "hwa-standard"):
            found.append(DriftArm(f"{hw}-{first}", hw, "hardware", network=first, hardware=hw))
        if not digits:
            kws, stem = "kws_dscnn_mlperf", "cifar10_resnet8_mlperf"
            found.append(
                DriftArm(f"hwa-standard-{kws}", "hwa-standard", "keywords", network=kws, hardware="hwa-standard")
            )
            found.append(
                DriftArm(
                    f"pcm-cells-{stem}-stem-digital",
                    "stem digital",
                    "stem",
                    network=stem,
                    hardware="pcm-cells",
                    changes={"digital": ["stem"]},
                )
            )
        for group, table in _CHANGES.items():
            for label, changes in table.items():
                name = f"pcm-cells-{first}-{label.replace(',', '').replace(' ', '-')}"
                found.append(DriftArm(name, label, group, network=first, hardware="pcm-cells", changes=changes))
        return found

    def run(self, arm: DriftArm, job: Job) -> None:
        """Convert, calibrate, measure."""
        on = subject(arm.network, samples=None if job.scale == "full" else 2000)
        net = mho.to_analog(on.model, mho.Hardware.preset(arm.hardware, **arm.changes), example=on.test.inputs[:2])
        mho.calibrate(net, on.ranges)
        mho.drift(
            net, on.test, TIMES, progress=job.steps, chips=self.chips[job.scale], out=job.out, workers=job.workers,
            name={**NETWORKS, **_SMOKE}[arm.network], command=job.command,
        )  # fmt: skip

    def tables(self, results: Found) -> list[Table]:
        """Accuracy at every age, lifetime and yield."""
        rows = []
        for name, outcome in results.items():
            run = outcome.first
            rows.append((
                name, percent(run.digital.accuracy), *(bracket(s.mean, s.low, s.high) for s in run.summary()),
                str(len(run.chips)), str(run.lifetime(BUDGET)), str(run.yield_at("1 day", BUDGET)),
            ))  # fmt: skip
        ages = (show_time(seconds(age)) for age in TIMES)
        return [Table(("arm", "digital", *ages, "chips", "lifetime at 1 %", "yield at 1 day"), rows)]

    def figures(self, results: Found) -> list[Figure]:
        """What is lost against the digital network, over time: one figure a group, beside the first network as it is."""
        found, base = [], [o for o in (_first(results, "networks"), _first(results, "cells")) if o is not None]
        for group, title in _TITLES.items():
            arms = [o for o in results.values() if o.arm.group == group]
            runs = [_loss(o, o.arm.label) for o in arms]
            if runs and group not in ("networks", "cells"):
                runs = [_loss(o, f"{o.arm.hardware}, as it is") for o in base
                        if group == "hardware" or o.arm.hardware == arms[0].arm.hardware] + runs  # fmt: skip
            if runs:
                series = [*runs, reference("digital", 0.0), limit("budget", -100 * BUDGET)]
                found.append(
                    Figure(
                        group,
                        title.format(base[0].arm.label if base else _RESNET20),
                        series,
                        "accuracy − digital (points)",
                    )
                )
        return found


def _loss(outcome: Outcome[DriftArm, DriftResult], label: str) -> Series:
    """Accuracy less the digital network's, which stands behind the name."""
    lost = outcome.digital
    return Series(f"{label} ({100 * lost:.1f} %)", points(outcome.curve(), lost), outcome.first.ages_s)
