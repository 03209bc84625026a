"""What a sweep says, in sentences: which factor decides, from which level on it costs, what is undecided."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mho.measure.sentence import show_age
from mho.statistics.intervals import Interval
from mho.sweeps.effects.effect import Effect
from mho.sweeps.effects.measured import Measured
from mho.sweeps.effects.threshold import Threshold
from mho.tasks import Score

_NAMED = 3
"""Effects that are named one by one."""


def sentences(measured: Measured, effects: Sequence[Effect], thresholds: Sequence[Threshold]) -> list[str]:
    """At the last age, the most important first. Never empty."""
    score, plan = measured.score, measured.plan
    age, confidence = plan.ages[-1], plan.confidence
    when = "Right after programming" if age == 0 else f"After {show_age(age)}"
    if not measured.points.size:
        return ["No point of the design is measured yet with all its chips, ages and seeds."]
    last = [effect for effect in effects if effect.age_s == age]
    if not last:
        many = len(measured.points)
        return [f"{many} {'point is' if many == 1 else 'points are'} measured: too few to tell what a factor does."]
    known = [effect for effect in last if not math.isnan(effect.p)]
    if not known:
        best = max((e for e in last if len(e.paths) == 1), key=lambda e: e.largest.value)
        size = f"{best.between}: {gain(score, best.largest)}"
        return [f"{when}, {best.paths[0]} differs most between its levels ({size}), but with one chip "
                "and one seed nothing says how much of it is chance."]  # fmt: skip
    acting = sorted((e for e in known if e.found(confidence)), key=lambda e: -_share(e))
    mains = [effect for effect in acting if len(effect.paths) == 1]
    idle = sorted((e for e in known if len(e.paths) == 1 and e not in acting), key=lambda e: -_share(e))
    larger = [e for e in idle if mains and _share(e) > _share(mains[0])]
    told = {(t.path, t.age_s): t for t in thresholds}
    found: list[str] = []
    for place, effect in enumerate(mains[:_NAMED]):
        rest = [other for other in mains[place + 1 :] if other.share.high >= effect.share.low]
        lead = f"{when}, {effect.name} decides most" if place == 0 else f"{effect.name} acts, too"
        if place == 0 and larger:
            lead = f"{when}, {effect.name} decides most of the factors that are shown to act"
        elif place == 0 and rest:
            lead = f"{when}, {effect.name} decides most by its estimate, {_and([e.name for e in rest])} perhaps as much"
        size = f"{_size(score, effect)} between {effect.between.replace(' over ', ' and ')}"
        share = "" if math.isnan(effect.share.value) else f", {show_share(effect.share)} of the variance between points"
        found.append(f"{lead}: {size}{share}.{_threshold(score, told.get((effect.name, age)))}")
        if place == 0 and larger:
            each = _and([f"{e.name} ({_size(score, e)})" for e in larger])
            found[0] += f" {each} may decide more, but too few {measured.over} were measured to show it."
    if more := mains[_NAMED:]:
        found.append(f"So do {_and([e.name for e in more])}.")
    if not acting:
        found.append(f"{when}, no factor is shown to do anything to the {score.label}.")
    if pairs := [effect for effect in acting if len(effect.paths) > 1]:
        first = pairs[0]
        how = f" ({first.between}: {gain(score, first.largest)})" if first.between else ""
        also = f"; so do {_and([e.name for e in pairs[1:]])}" if len(pairs) > 1 else ""
        found.append(f"{first.name} act on each other{how}{also}.")
    if idle := [e for e in idle if e not in larger]:
        named = [f"{e.name} ({gain(score, e.largest)} at most between two levels)" for e in idle[:_NAMED]]
        more_idle = [e.name for e in idle[_NAMED:]]
        found.append(f"Undecided: {_and([*named, *more_idle])} {'is' if len(idle) == 1 else 'are'} not shown to act.")
    return found


def _threshold(score: Score, threshold: Threshold | None) -> str:
    if threshold is None:
        return ""
    limit = score.show_budget(threshold.budget)
    if threshold.verdict == "none":
        return f" No level from {threshold.levels[0]} to {threshold.levels[-1]} costs more than {limit}."
    if threshold.verdict == "undecided":
        return f" From which level on it costs more than {limit} is undecided: {threshold.range}."
    return f" It costs more than {limit} {threshold}."


def _size(score: Score, effect: Effect) -> str:
    """The largest difference without a sign that says nothing: the better level comes first."""
    text = gain(score, effect.largest)
    return text if effect.largest.low < 0 else re.sub(r"(?<!e)\+", "", text)


def gain(score: Score, found: Interval) -> str:
    """A difference of worths with its interval."""
    if math.isnan(found.value):
        return "–"
    text = score.show_gain(found.value, found.low, found.high)
    known = math.isfinite(found.low) and math.isfinite(found.high) and not (score.share and found.half_width >= 1)
    return text if known else f"{text.partition(' [')[0]} [unknown]"


def show_mean(score: Score, found: Interval) -> str:
    """A mean worth with its interval."""
    return score.bracket(found.value, found.low, found.high)


def show_share(found: Interval) -> str:
    """A share of the variance with its interval."""
    if math.isnan(found.value):
        return "–"
    ends = "unknown" if found.low <= 0 and found.high >= 1 else f"{100 * found.low:.0f}, {100 * found.high:.0f}"
    return f"{100 * found.value:.0f} % [{ends}]"


def show_p(p: float) -> str:
    """A p-value, never 0."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def _share(effect: Effect) -> float:
    return -1.0 if math.isnan(effect.share.value) else effect.share.value


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
