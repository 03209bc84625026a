"""What the rows decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from mho.statistics.intervals import Interval
from mho.studies.claim import Claim, Finding, above, below, every
from mho.studies.definitions import SLIDES
from mho.studies.leaving.measured import SURE, Measured
from mho.studies.outcome import Results
from mho.studies.placed import common, over, over_seeds, paired, shown

BRANCHYNET = "Teerapittayanon, McDanel, Kung 2016, arXiv:1709.01686"
OLDEST = "1 year"
Check = Callable[[Results[Any, Any]], Finding]


def all_exits(results: Results[Any, Any]) -> list[Measured]:
    """Networks whose exits are all trained."""
    return [Measured(outcome) for outcome in results.values() if not outcome.arm.alone]


def _faster(results: Results[Any, Any]) -> Finding:
    """Slope over σ of the last exit less that of the first, chip by chip."""
    return every(*(
        below(f"{arm.label}, points for σ = 0.1", over(arm.slopes(-1) - arm.slopes(0))) for arm in all_exits(results)
    ))  # fmt: skip


def _keeps_less(results: Results[Any, Any]) -> Finding:
    """What the last exit keeps above chance, less what the first does, chip by chip: points that are lost depend on how many
    there were."""
    return every(*(below(arm.label, over(arm.kept(-1) - arm.kept(0))) for arm in all_exits(results)))


def _ahead(results: Results[Any, Any]) -> Finding:
    """The last exit less the first at every σ, over chips, images and training seeds."""
    return every(*(
        above(f"{arm.label}, σ {s:g}", arm.lead((f"σ {s:g}", "0 s"))) for arm in all_exits(results) for s in arm.sigmas
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
                parts.append(above(words, over(gains)))
    return every(*parts)


def _static(results: Results[Any, Any]) -> Finding:
    """The exit that calibration images chose, less the last exit."""
    parts = []
    for arm in all_exits(results):
        for place in arm.varied:
            other = arm.best(place, "own") < arm.count - 1
            gains = arm.values(place, "static_accuracy") - arm.exit(place, -1)
            words = f"{arm.label}, {shown(place)} (on {other.sum()} of {other.size} chips)"
            parts.append(above(words, over(gains)))
    return every(*parts)


def _best(by: Literal["others", "own"], than: Literal["digital", "others"]) -> Check:
    """Accuracy with the exit that one choice says, less that with another's, mean over σ > 0 and over ages.

    Every choice is made on calibration images, and every accuracy is of other images: a choice of noise gains nothing.
    """

    def check(results: Results[Any, Any]) -> Finding:
        parts = []
        for arm in all_exits(results):
            for what, places in (("over σ", arm.noisy), ("over ages", arm.aged)):
                pairs = [(p, arm.best(p, by), arm.best(p, than)) for p in places]
                gains = np.mean([arm.with_exits(p, one) - arm.with_exits(p, other) for p, one, other in pairs], 0)
                share = over(np.mean([one != other for _, one, other in pairs], 0))
                low, high = max(0.0, share.low), min(1.0, share.high)
                differs = f"another exit on {100 * share.value:.0f} [{100 * low:.0f}, {100 * high:.0f}] % of chips"
                parts.append(above(f"{arm.label}, {what} ({differs})", over(gains)))
        return every(*parts)

    return check


def _classes(results: Results[Any, Any]) -> Finding:
    """Classes for which an earlier exit leads the last one; whether there are any in the network of every training seed."""
    parts = []
    for arm in all_exits(results):
        found: list[dict[str, str]] = [{} for _ in arm.seeds]
        tried = 0
        for place in arm.places:
            for mine, row in zip(found, arm.leads(place), strict=True):
                for name, leads in row["lead_of_class"].items():
                    tried += len(leads)
                    mine.update({
                        f"{shown(place)}: {name}, exit {k + 1}": f"by {-100 * v:.1f} [{-100 * high:.1f}, {-100 * low:.1f}]"
                        for k, (v, low, high) in enumerate(leads) if high < 0
                    })  # fmt: skip
        counts, networks = " and ".join(str(len(mine)) for mine in found), len(found)
        said = f"{arm.label}: {counts} of {tried // networks} (classes, exits and places)"
        if networks > 1:
            said += f", {len(set.intersection(*map(set, found)))} of them with every seed"
        said += "".join(f", {where} {by}" for where, by in list(found[0].items())[:3])
        parts.append(Finding("holds" if all(found) else "depends" if any(found) else "fails", said))
    return every(*parts)


def _equal_macs(results: Results[Any, Any]) -> Finding:
    """By entropy against the best mix of fixed exits that spends as much."""
    return every(*(
        above(f"{arm.label}, {shown(place)}", over(arm.over_fixed(place, "again")))
        for arm in all_exits(results) for place in arm.varied
    ))  # fmt: skip


def _beside_alone(*, energy: bool) -> Check:
    """By entropy, against a network of an exit's depth that was trained alone, at what that exit spends."""

    def check(results: Results[Any, Any]) -> Finding:
        parts = []
        for outcome in results.values():
            if exit_ := outcome.arm.alone:
                alone, arm = Measured(outcome), Measured(results[outcome.arm.name.partition("-alone")[0]])
                for place in alone.varied:
                    spent = arm.at(place)[0]["exit_energy" if energy else "exit_macs"][exit_ - 1]
                    gains = paired(
                        arm, arm.spending(place, spent, energy=energy), alone, alone.values(place, "accuracy")
                    )
                    parts.append(above(f"{alone.label}, {shown(place)}", over(gains)))
        return every(*parts)

    return check


def _sooner(results: Results[Any, Any]) -> Finding:
    """More samples are sure at exit 1 where its loss weighs more; of the digital networks."""
    parts = []
    for more, less in (("b-lenet-falling", "b-lenet-rising"), ("resnet20-joint-falling", "resnet20-joint-equal")):
        one, other = Measured(results[more]), Measured(results[less])
        found = []
        for seed in common(one, other):
            (p, n), (q, _) = ((row["sure_first"], row["samples"]) for row in (one.digital(seed), other.digital(seed)))
            half = 1.96 * math.sqrt((p * (1 - p) + q * (1 - q)) / n)
            found.append(Interval(p - q, p - q - half, p - q + half))
        parts.append(above(f"{one.label} against {other.label}", over_seeds(found)))
    return every(*parts)


def _cheaper(results: Results[Any, Any]) -> Finding:
    """Thresholds that lose half a point where they are chosen: whether they lose less than a point, and what they spend."""
    parts = []
    for arm in all_exits(results):
        found = [row["one_point"] for row in arm.digitals]
        accuracy, macs = (float(np.mean([each[key] for each in found])) for key in ("accuracy", "macs"))
        said = f"{arm.label} {100 * accuracy:.1f} % with {100 * macs:.0f} % of the multiply-accumulates"
        kept = above(f"{said}, less the last exit", over_seeds([Interval(*each["gain"]) for each in found]), -0.01)
        parts.append(kept if macs < 0.7 else Finding("fails", kept.evidence))
    return every(*parts)


CLAIMS = (
    Claim("A deeper exit falls faster with σ", _faster, SLIDES),
    Claim("also as a share of what it has above chance without σ", _keeps_less),
    Claim("and is still ahead at every σ", _ahead, SLIDES),
    Claim(
        "Thresholds tuned again on the noisy or aged chip gain more over fixed exits that spend as much",
        _again,
    ),
    Claim("An exit that is chosen for each chip and age beats the last one", _static, SLIDES),
    Claim("Which exit is best depends on σ and age: the exit that other chips there choose beats that of the digital network",
          _best("others", "digital")),
    Claim("and it depends on the chip: its own choice beats that of other chips of its σ or age", _best("own", "others")),
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
