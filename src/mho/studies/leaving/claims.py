"""What the rows decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mho.statistics.intervals import Interval, mean_interval
from mho.studies.claim import Claim, Finding, above, below, every
from mho.studies.definitions import SLIDES
from mho.studies.leaving.measured import SURE, Measured
from mho.studies.outcome import Results
from mho.studies.placed import shown

BRANCHYNET = "Teerapittayanon, McDanel, Kung 2016, arXiv:1709.01686"
OLDEST = "1 year"
Check = Callable[[Results[Any, Any]], Finding]


def all_exits(results: Results[Any, Any]) -> list[Measured]:
    """Networks whose exits are all trained."""
    return [Measured(outcome) for outcome in results.values() if not outcome.arm.alone]


def _faster(results: Results[Any, Any]) -> Finding:
    """Slope over σ of the last exit less that of the first, chip by chip."""
    parts = []
    for arm in all_exits(results):
        x = np.array(arm.sigmas) - np.mean(arm.sigmas)
        apart = arm.per_chip(-1) - arm.per_chip(0)
        parts.append(below(f"{arm.label}, points for σ = 0.1", mean_interval(0.1 * (x @ apart) / (x @ x))))
    return every(*parts)


def _ahead(results: Results[Any, Any]) -> Finding:
    """The last exit less the first at every σ, over chips and images."""
    return every(*(
        above(f"{arm.label}, σ {s:g}", Interval(*arm.leads((f"σ {s:g}", "0 s"))["lead"][0]))
        for arm in all_exits(results) for s in arm.sigmas
    ))  # fmt: skip


def _again(results: Results[Any, Any]) -> Finding:
    """Thresholds tuned again less those of the digital network, each over fixed exits that spend as much; at σ = 0.1, and at
    the oldest age of pcm."""
    parts = []
    for arm in all_exits(results):
        for place in (("σ 0.1", "0 s"), ("pcm", OLDEST)):
            if place in arm.places:
                gains = arm.over_fixed(place, "again") - arm.over_fixed(place, "clean")
                clean, again = (100 * arm.values(place, f"{name}_macs").mean() for name in ("clean", "again"))
                words = f"{arm.label}, {shown(place)} (multiply-accumulates {clean:.0f} and {again:.0f} %)"
                parts.append(above(words, mean_interval(gains)))
    return every(*parts)


def _static(results: Results[Any, Any]) -> Finding:
    """The exit that calibration images chose, less the last exit."""
    parts = []
    for arm in all_exits(results):
        for place in arm.varied:
            chosen = arm.values(place, "static_exit")
            gains = arm.values(place, "static_accuracy") - arm.values(place, "accuracy")[:, -1]
            other = int((chosen < len(arm.digital["accuracy"])).sum())
            parts.append(
                above(f"{arm.label}, {shown(place)} (on {other} of {len(chosen)} chips)", mean_interval(gains))
            )
    return every(*parts)


def _classes(results: Results[Any, Any]) -> Finding:
    """Classes for which an earlier exit leads the last one."""
    parts = []
    for arm in all_exits(results):
        found, tried = [], 0
        for place in arm.places:
            for name, leads in arm.leads(place)["lead_of_class"].items():
                tried += len(leads)
                found += [
                    f"{shown(place)}: {name}, exit {k + 1} by {-100 * value:.1f} [{-100 * high:.1f}, {-100 * low:.1f}]"
                    for k, (value, low, high) in enumerate(leads) if high < 0
                ]  # fmt: skip
        said = f"{arm.label}: {len(found)} of {tried} (classes, exits and places)" + "".join(
            f", {f}" for f in found[:3]
        )
        parts.append(Finding("holds" if found else "fails", said))
    return every(*parts)


def _equal_macs(results: Results[Any, Any]) -> Finding:
    """By entropy against the best mix of fixed exits that spends as much."""
    return every(*(
        above(f"{arm.label}, {shown(place)}", mean_interval(arm.over_fixed(place, "again")))
        for arm in all_exits(results) for place in arm.varied
    ))  # fmt: skip


def _beside_alone(*, energy: bool) -> Check:
    """By entropy, against a network of an exit's depth that was trained alone, at what that spends."""

    def check(results: Results[Any, Any]) -> Finding:
        parts = []
        for outcome in results.values():
            if exit_ := outcome.arm.alone:
                alone, arm = Measured(outcome), Measured(results[outcome.arm.name.partition("-alone")[0]])
                for place in alone.varied:
                    spent = alone.at(place)[0]["exit_energy" if energy else "exit_macs"][exit_ - 1]
                    gains = arm.spending(place, spent, energy=energy) - alone.values(place, "accuracy")[:, exit_ - 1]
                    parts.append(above(f"{alone.label}, {shown(place)}", mean_interval(gains)))
        return every(*parts)

    return check


def _sooner(results: Results[Any, Any]) -> Finding:
    """More samples are sure at exit 1 where its loss weighs more; of the digital networks."""
    parts = []
    for more, less in (("b-lenet-falling", "b-lenet-rising"), ("resnet20-joint-falling", "resnet20-joint-equal")):
        one, other = Measured(results[more]), Measured(results[less])
        p, q, n = one.digital["sure_first"], other.digital["sure_first"], one.digital["samples"]
        half = 1.96 * math.sqrt((p * (1 - p) + q * (1 - q)) / n)
        parts.append(above(f"{one.label} against {other.label}", Interval(p - q, p - q - half, p - q + half)))
    return every(*parts)


def _cheaper(results: Results[Any, Any]) -> Finding:
    """Thresholds that lose half a point where they are chosen: whether they lose less than a point, and what they spend."""
    parts = []
    for arm in all_exits(results):
        found = arm.digital["one_point"]
        said = (
            f"{arm.label} {100 * found['accuracy']:.1f} % with {100 * found['macs']:.0f} % of the multiply-accumulates"
        )
        kept = above(f"{said}, less the last exit", Interval(*found["gain"]), -0.01)
        parts.append(kept if found["macs"] < 0.7 else Finding("fails", kept.evidence))
    return every(*parts)


CLAIMS = (
    Claim("A deeper exit falls faster with σ", _faster, SLIDES),
    Claim("and is still ahead at every σ", _ahead, SLIDES),
    Claim(
        "Thresholds tuned again on the noisy or aged chip gain more over fixed exits that spend as much",
        _again,
    ),
    Claim("An exit that is chosen for each chip and age beats the last one", _static, SLIDES),
    Claim("For some classes an earlier exit is better than the last one", _classes, SLIDES),
    Claim("Exits by entropy are more accurate than fixed exits at equal multiply-accumulates", _equal_macs, BRANCHYNET),
    Claim("and than a network of an exit's depth that was trained alone", _beside_alone(energy=False)),
    Claim("and than that at equal energy on the chip", _beside_alone(energy=True)),
    Claim(f"A larger weight on shallow exits makes more samples sure there (entropy below {SURE:g} nats)", _sooner, SLIDES),
    Claim(
        "Some thresholds keep the accuracy but for a point with less than 70 % of the multiply-accumulates", _cheaper,
        BRANCHYNET,
    ),
)  # fmt: skip
