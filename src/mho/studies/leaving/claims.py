"""What the rows decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mho.statistics.intervals import Interval
from mho.studies.claim import Claim, Finding, Verdict, above, below, every
from mho.studies.definitions import SLIDES
from mho.studies.leaving.measured import Measured
from mho.studies.leaving.rows import BUDGET, LEAN, SURE
from mho.studies.outcome import NotStored, Results, show_points
from mho.studies.placed import DIGITAL, Place, Values, common, over, over_seeds, paired, shown, with_images

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


def _loses_more(results: Results[Any, Any]) -> Finding:
    """What the last exit has lost of its digital points, less what the first has, chip by chip, place by place."""
    parts = []
    for arm in all_exits(results):
        for place in arm.varied:
            first, last = (arm.exit(DIGITAL, k) - arm.exit(place, k) for k in (0, -1))
            parts.append(above(f"{arm.label}, {shown(place)}", over(last - first)))
    return every(*parts)


def _keeps_less(results: Results[Any, Any]) -> Finding:
    """What the last exit keeps above chance, less what the first does, chip by chip, where both stand: points that are lost
    depend on how many there were."""
    return every(*(below(arm.label, over(arm.kept(-1) - arm.kept(0))) for arm in all_exits(results)))


def _ahead(results: Results[Any, Any]) -> Finding:
    """The last exit less each earlier one at every σ and age, over chips, images and training seeds."""
    return every(*(
        above(f"{arm.label}, {shown(place)}, exit {k + 1}", arm.lead(place, k))
        for arm in all_exits(results) for place in [DIGITAL, *arm.varied] for k in range(arm.count - 1)
    ))  # fmt: skip


def _again(results: Results[Any, Any]) -> Finding:
    """Thresholds tuned again less those of the digital network, each over fixed exits that spend as much; at σ = 0.1, and at
    the oldest age of pcm."""
    parts = []
    for arm in all_exits(results):
        for place in (("σ 0.1", "0 s"), ("pcm", OLDEST)):
            if place in arm.places:
                spent = [100 * arm.values(place, f"{name}_macs").mean() for name in ("clean", "again")]
                plain = show_points(arm.gain(place, "tuning"))
                words = f"{arm.label}, {shown(place)} ({plain} with {spent[1]:.0f} in place of {spent[0]:.0f} % of the MACs)"
                parts.append(above(words, arm.gain(place, "retuned")))
    return every(*parts)


def _static(results: Results[Any, Any]) -> Finding:
    """The exit that calibration images chose, less the last exit, where a chip chooses another; elsewhere nothing differs."""
    parts = []
    for arm in all_exits(results):
        others = {place: arm.best(place, "own") < arm.count - 1 for place in arm.varied}
        for place, other in others.items():
            if other.any():
                words = f"{arm.label}, {shown(place)} (on {other.sum()} of {other.size} chips)"
                parts.append(above(words, arm.gain(place, "static")))
        if same := [shown(place) for place, other in others.items() if not other.any()]:
            parts.append(Finding("fails", f"{arm.label}: all chips choose the last exit at {', '.join(same)}"))
    return every(*parts)


def _crossing(results: Results[Any, Any]) -> Finding:
    """Whether an earlier exit is surely ahead of the last one at some σ or age and surely behind at another, all together."""
    parts = []
    for arm in all_exits(results):
        verdicts, words = set[Verdict](), []
        for k in range(arm.count - 1):
            leads = {place: arm.lead(place, k, "lead_of_all") for place in [DIGITAL, *arm.places]}
            ahead = {p: lead for p, lead in leads.items() if lead.high < 0}
            behind = {p: lead for p, lead in leads.items() if lead.low > 0}
            sure = len(ahead) + len(behind) == len(leads)
            verdicts.add("holds" if ahead and behind else "fails" if sure else "depends")
            words.append(f"exit {k + 1} ahead at {len(ahead)}, behind at {len(behind)} of {len(leads)} places")
            words += [f"{shown(p)} {show_points(lead)}" for p, lead in list(ahead.items())[:2]]
        verdict: Verdict = "holds" if "holds" in verdicts else "depends" if "depends" in verdicts else "fails"
        parts.append(Finding(verdict, f"{arm.label}: {', '.join(words)}"))
    return every(*parts)


def _own(results: Results[Any, Any]) -> Finding:
    """Accuracy with the exit that the chip's own calibration images choose, less that with the choice of the other chips, mean
    over σ > 0 and over ages. Chips share their images, by which exits may differ; that is added in squares."""
    parts = []
    for arm in all_exits(results):
        for what, places in (("over σ", arm.noisy), ("over ages", arm.aged)):
            pairs = [(p, arm.best(p, "own"), arm.best(p, "others")) for p in places]
            gains = np.mean([arm.with_exits(p, one) - arm.with_exits(p, other) for p, one, other in pairs], 0)
            differ = float(np.mean([one != other for _, one, other in pairs]))
            found, images = over(gains), max(arm.lead(p, k).half_width for p in places for k in range(arm.count - 1))
            half = math.hypot(found.half_width, differ * images)
            words = f"{arm.label}, {what} (another exit on {100 * differ:.0f} % of chips)"
            parts.append(above(words, Interval.around(found.value, half)))
    return every(*parts)


def _classes(results: Results[Any, Any]) -> Finding:
    """Classes for which an earlier exit leads the last one, in the network of every training seed; it fails where none can
    lead by more than a point."""
    parts = []
    for arm in all_exits(results):
        found: list[dict[str, str]] = [{} for _ in arm.seeds]
        every_lead: list[tuple[float, float, float]] = []
        for place in arm.places:
            for mine, row in zip(found, arm.held(place), strict=True):
                for name, leads in row["lead_of_class"].items():
                    every_lead += leads
                    mine.update({
                        f"{shown(place)}: {name}, exit {k + 1}": f"by {-100 * v:.1f} [{-100 * high:.1f}, {-100 * low:.1f}]"
                        for k, (v, low, high) in enumerate(leads) if high < 0
                    })  # fmt: skip
        known, networks = np.array(every_lead), len(found)
        counts, early = " and ".join(str(len(mine)) for mine in found), int((known[:, 0] < 0).sum())
        said = f"{arm.label}: {counts} of {len(known) // networks} (classes, exits and places)"
        if networks > 1:
            said += f", {len(set.intersection(*map(set, found)))} of them with every seed"
        said += f"; ahead without being sure {early - sum(map(len, found))} of {len(known)}"
        said += f", known to ±{50 * np.median(known[:, 2] - known[:, 1]):.1f} points"
        for seed, mine in zip(arm.seeds, found, strict=True):
            said += "".join(f", seed {seed}, {where} {by}" for where, by in mine.items())
        none = bool((known[:, 1] > -0.01).all())
        parts.append(Finding("holds" if all(found) else "fails" if none else "depends", said))
    return every(*parts)


def _equal_macs(results: Results[Any, Any]) -> Finding:
    """By entropy against the best mix of fixed exits that spends as much; digitally, and on chips."""
    return every(*(
        above(f"{arm.label}, {shown(place)}", arm.gain(place, "over_fixed"))
        for arm in all_exits(results) for place in (DIGITAL, *arm.varied)
    ))  # fmt: skip


def _rules(names: Sequence[str], threshold: float) -> Check:
    """Other rules less entropy, each over fixed exits that spend as much; digitally, and at the oldest age of pcm."""

    def check(results: Results[Any, Any]) -> Finding:
        return every(*(
            above(f"{arm.label}, {shown(place)}, {name}", arm.gain(place, name), threshold)
            for arm in all_exits(results) for place in (DIGITAL, ("pcm", OLDEST)) for name in names
        ))  # fmt: skip

    return check


def _pairs(results: Results[Any, Any]) -> list[tuple[Measured, Measured, int]]:
    """Networks of one exit's depth that were trained alone, with the network of all exits, and the exit, from 1."""
    return [
        (Measured(outcome), Measured(results[outcome.arm.name.partition("-alone")[0]]), outcome.arm.alone)
        for outcome in results.values() if outcome.arm.alone
    ]  # fmt: skip


def _beside_alone(*, energy: bool) -> Check:
    """By entropy, against a network of an exit's depth that was trained alone, at what that exit spends; of the first exit no
    entropy decides anything for as much."""

    def check(results: Results[Any, Any]) -> Finding:
        parts = []
        for alone, arm, exit_ in _pairs(results):
            for place in alone.varied if exit_ > 1 else ():
                spent = arm.at(place)[0]["exit_energy" if energy else "exit_macs"][exit_ - 1]
                left, right = arm.spending(place, spent, energy=energy), alone.values(place, "accuracy")
                parts.append(above(f"{alone.label}, {shown(place)}", _apart(arm, left, alone, right, place)))
        if not parts:
            raise NotStored("no network of a later exit's depth is stored", "measure one", path="alone")
        return every(*parts)

    return check


def _together(results: Results[Any, Any]) -> Finding:
    """An exit of a network that is trained with all of them, less the same exit trained alone."""
    parts = []
    for alone, arm, exit_ in _pairs(results):
        for place in (DIGITAL, *alone.varied):
            left, right = arm.exit(place, exit_ - 1), alone.values(place, "accuracy")
            parts.append(above(f"{alone.label}, {shown(place)}", _apart(arm, left, alone, right, place), -0.01))
    return every(*parts)


def _apart(one: Measured, left: Values, other: Measured, right: Values, place: Place) -> Interval:
    """One network less another on the same chips and images, over chips, training seeds and images."""
    found, images = over(paired(one, left, other, right)), int(other.at(place)[0]["samples"])
    return with_images(found, [float(left.mean()), float(right.mean())], images)


def _sooner(results: Results[Any, Any]) -> Finding:
    """More samples are sure at exit 1 where its loss weighs more; of the digital networks."""
    parts = []
    for more, less in (("b-lenet-falling", "b-lenet-rising"), ("resnet20-joint-falling", "resnet20-joint-equal")):
        one, other = Measured(results[more]), Measured(results[less])
        found = []
        for seed in common(one, other):
            (p, n), (q, _) = ((row["sure_first"], row["samples"]) for row in (one.digital(seed), other.digital(seed)))
            half = 1.96 * math.sqrt((p * (1 - p) + q * (1 - q)) / n)
            found.append(Interval.around(p - q, half))
        parts.append(above(f"{one.label} against {other.label}", over_seeds(found)))
    return every(*parts)


def _cheaper(results: Results[Any, Any]) -> Finding:
    """Thresholds of the digital network tuned for a budget: whether they lose less than a point, and what they spend."""
    parts = []
    for arm in all_exits(results):
        found = [row["lean"] for row in arm.digitals]
        accuracy, macs = (float(np.mean([each[key] for each in found])) for key in ("accuracy", "macs"))
        said = f"{arm.label} {100 * accuracy:.1f} % with {100 * macs:.0f} % of the multiply-accumulates"
        kept = above(f"{said}, less the last exit", over_seeds([Interval(*each["gain"]) for each in found]), -0.01)
        parts.append(kept if macs < 0.7 else Finding("fails", kept.evidence))
    return every(*parts)


CLAIMS = (
    Claim("A deeper exit falls faster with σ", _faster, SLIDES),
    Claim("so that at every σ and age it has lost more points", _loses_more, SLIDES),
    Claim("also as a share of what it has above chance without σ", _keeps_less),
    Claim("and is still ahead of every earlier one, at every σ and age", _ahead, SLIDES),
    Claim(
        "Thresholds tuned again on the noisy or aged chip gain more over fixed exits that spend as much",
        _again,
    ),
    Claim("An exit that is chosen for each chip and age beats the last one", _static, SLIDES),
    Claim("Which exit is best depends on σ and age: an earlier one is ahead of the last at some and behind at others", _crossing,
          SLIDES),
    Claim("and it depends on the chip: its own choice beats that of other chips of its σ or age", _own),
    Claim("For some classes an earlier exit is better than the last one", _classes, SLIDES),
    Claim("Exits by entropy are more accurate than fixed exits at equal multiply-accumulates", _equal_macs, BRANCHYNET),
    Claim("The largest probability, or its lead, decides as well as entropy, but for a point (tuned for "
          f"{100 * BUDGET:.0f} % of the multiply-accumulates)", _rules(("probability", "margin"), -0.01)),
    Claim("and a gate that has learned who is right decides better", _rules(("gate",), 0.0)),
    Claim("Exits by entropy are more accurate than a network of a later exit's depth that was trained alone",
          _beside_alone(energy=False)),
    Claim("and than that at equal energy on the chip", _beside_alone(energy=True)),
    Claim("Exits that are trained together are as accurate as each alone, but for a point", _together, BRANCHYNET),
    Claim(f"A larger weight on shallow exits makes more samples sure there (entropy below {SURE:g} nats)", _sooner, SLIDES),
    Claim("Thresholds keep the accuracy but for a point with less than 70 % of the multiply-accumulates (tuned for "
          f"{100 * LEAN:.0f} %)", _cheaper, BRANCHYNET),
)  # fmt: skip
