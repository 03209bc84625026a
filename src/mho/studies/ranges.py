"""Which ranges of the converters lose least: quantiles and least error, by the number of bits, on ideal cells."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import mho
from mho.statistics.intervals import Interval, wilson_interval
from mho.studies import Arm, Claim, Figure, Finding, Job, Results, Scale, Series, Study, Table, above, every, subject
from mho.studies.figure import points
from mho.tasks.score import bracket

RANGES: dict[str, dict[str, Any]] = {
    **{f"quantile {q:g}": {"quantile": q} for q in (0.95, 0.995, 0.9995, 0.99995)},
    "largest": {"quantile": 1.0},
    "3 σ": {"method": "std"},
    "least error": {"method": "error"},
}


@dataclass(frozen=True)
class BitsArm(Arm):
    """A number of bits of DAC and ADC, with every kind of ranges."""

    bits: int = 8
    network: str = "cifar10_resnet20"


Found = Results[BitsArm, list[dict[str, Any]]]


def _shares(rows: Iterable[dict[str, Any]]) -> dict[str, Interval]:
    """Accuracy by ranges, with Wilson's interval of the share of right answers."""
    return {row["ranges"]: wilson_interval(row["right"], row["samples"]) for row in rows}


def _less(a: Interval, b: Interval) -> Interval:
    """Difference of two shares; the interval (Newcombe 1998, method 10) takes no account of their samples being the same."""
    low = math.hypot(a.value - a.low, b.high - b.value)
    return Interval(
        a.value - b.value, a.value - b.value - low, a.value - b.value + math.hypot(a.high - a.value, b.value - b.low)
    )


def _against(results: Found, name: str, *others: str) -> Finding:
    """Whether ranges lose less than the best of others, at every number of bits."""
    parts = []
    for outcome in results.values():
        found = _shares(outcome.first)
        best = max(others, key=lambda other: found[other].value)
        parts.append(above(f"{outcome.arm.label}, against {best}", _less(found[name], found[best])))
    return every(*parts)


class Ranges(Study[BitsArm, list[dict[str, Any]]]):
    """Arms: numbers of bits of DAC and ADC. Ideal cells keep the programming of chips out of the comparison."""

    name = "ranges"
    title = "Which ranges of the converters lose least"
    question = (
        "Which ranges of DAC and ADC lose least, by quantile, deviation or least error, and does it depend on the bits?"
    )
    protocol = (
        "ResNet-20 on 'pcm-cells' with ideal cells, the first 2,000 test images of CIFAR-10; ranges from 1,000 training images. "
        "Wilson's 95 % intervals over images; the images are the same, so that differences are known better than they say."
    )
    sources = ("Le Gallo et al. 2023, notebook on the calibration of input ranges",)
    claims = (
        Claim("Ranges of least error at the layers' outputs lose less than any quantile",
              lambda r: _against(r, "least error", *(name for name in RANGES if name.startswith("quantile")))),
        Claim("The quantile 0.9995 is the best one",
              lambda r: _against(r, "quantile 0.9995", "quantile 0.95", "quantile 0.995", "quantile 0.99995"),
              "Le Gallo et al. 2023, notebook", "0.9995 is best of 0.99995, 0.9995, 0.995 and 0.95 (1,000 samples)"),
    )  # fmt: skip

    def arms(self, scale: Scale) -> list[BitsArm]:
        """8 to 4 bits."""
        network = "digits" if scale == "smoke" else "cifar10_resnet20"
        return [BitsArm(f"{bits}-bits", f"{bits} bits", bits=bits, network=network) for bits in (8, 6, 5, 4)]

    def run(self, arm: BitsArm, job: Job) -> list[dict[str, Any]]:
        """One row for each kind of ranges."""
        on, rows = subject(arm.network, samples=None if job.scale == "full" else 2000), []
        samples = len(on.test.labels)
        for name, options in RANGES.items():
            job.progress(f"{name}, {arm.label}")
            net = mho.to_analog(
                on.model, mho.Hardware.preset("pcm-cells", **{"dac.bits": arm.bits, "adc.bits": arm.bits})
            )
            mho.calibrate(net, on.ranges, **options)
            right = round(samples * mho.accuracy(net, on.test))
            rows.append({"bits": arm.bits, "ranges": name, "right": right, "samples": samples})
        return rows

    def tables(self, results: Found) -> list[Table]:
        """Accuracy by ranges and bits."""
        found = [_shares(outcome.first) for outcome in results.values()]
        rows = [(name, *(bracket(f[name].value, f[name].low, f[name].high) for f in found)) for name in found[0]]
        return [Table(("ranges of DAC and ADC", *(outcome.arm.label for outcome in results.values())), rows)]

    def figures(self, results: Found) -> list[Figure]:
        """Accuracy against the bits, one line for each kind of ranges."""
        found = [_shares(outcome.first) for outcome in results.values()]
        series = [Series(name, points([f[name] for f in found]), range(len(found))) for name in found[0]]
        names = [outcome.arm.label for outcome in results.values()]
        return [
            Figure("ranges", "Accuracy by ranges and bits, ideal cells", series, "accuracy (%)", names, "DAC and ADC")
        ]
