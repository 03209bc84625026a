"""`Threshold`: the level beyond which a factor starts to cost, and which levels cannot be ruled out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval
from mho.sweeps.effects.balanced import balanced, is_numeric
from mho.sweeps.effects.basis import Axis
from mho.sweeps.effects.effect import Effect
from mho.sweeps.effects.groups import apart, grouped
from mho.sweeps.effects.measured import Measured
from mho.sweeps.effects.regression import Model, alone
from mho.sweeps.proof import show

Verdict = Literal["found", "at once", "none", "undecided"]


@dataclass(frozen=True)
class Threshold:
    """Where a factor starts to cost at an age.

    Attributes:
        path: The factor.
        age_s: The age.
        budget: The worth that may be lost against the first level.
        levels: In words, from the harmless end on.
        upwards: Whether the levels rise away from that end.
        costs: Of each level, what it loses against the first one; the intervals hold for all of them at once. The first is 0.
        verdict: ``found``; ``at once``: the first step away from the harmless end costs already; ``none``: no level in the range
            costs; ``undecided``.
        first: Number of the first level that may cost: all before it do not.
        last: Number of the first level that does cost; None where that is not known of any.
    """

    path: str
    age_s: float
    budget: float
    levels: tuple[str, ...]
    costs: tuple[Interval, ...]
    verdict: Verdict
    first: int
    last: int | None
    upwards: bool = True

    @property
    def estimate(self) -> str | None:
        """The first level whose mean loss is more than the budget; None where there is none."""
        return next(
            (name for name, cost in zip(self.levels, self.costs, strict=True) if cost.value > self.budget), None
        )

    @property
    def range(self) -> str:
        """Levels at which it may begin, in words."""
        if self.verdict == "none":
            return ""
        low = self.levels[self.first]
        if self.last is None:
            return f"from {low} on, or not at all"
        high = self.levels[self.last]
        return low if low == high else f"{low} to {high}"

    def __str__(self) -> str:
        if self.verdict == "none":
            return f"no threshold seen from {self.levels[0]} to {self.levels[-1]}"
        if self.verdict == "undecided":
            return f"undecided: {self.range}"
        start = f"from {self.estimate or self.range} {'up' if self.upwards else 'down'}"
        if self.first == self.last:
            return (
                f"{start} ({self.levels[self.first - 1]} does not)"
                if self.first > 1
                else f"{start}, the first step already"
            )
        return f"{start} (it may begin anywhere from {self.range})"


def thresholds(measured: Measured, effects: Sequence[Effect], budget: float) -> list[Threshold]:
    """Of every factor whose levels are numbers, at every age.

    The harmless end is the better one of the two ends of the range, at each age. A level costs where the interval of its loss
    lies above the budget, and the factor acts at that age within the family of all effects (`Effect.found`); it does not
    where the interval lies below. Intervals hold for all levels of the factor at once, whichever end is the harmless one
    (Bonferroni): a threshold is claimed of a factor that does nothing no more often than an effect is.
    """
    acts = {(e.paths[0], e.age_s) for e in effects if len(e.paths) == 1 and e.found(measured.plan.confidence)}
    found: list[Threshold] = []
    drawn = measured.plan.design.drawn
    model = Model.of(measured) if drawn and measured.points.size else None
    for path in measured.plan.factors:
        reads = _drawn(measured, path, model) if drawn else _crossed(measured, path)
        for age, read in zip(measured.plan.ages, reads, strict=False):  # none of a factor without an order
            found.append(_judge(path, age, budget, *read, (path, age) in acts))
    return found


Read = tuple[list[str], list[Interval], bool]


def _level(measured: Measured, levels: int) -> float:
    return 1 - (1 - measured.plan.confidence) / (2 * levels - 3)


def _crossed(measured: Measured, path: str) -> list[Read]:
    """By age, levels from the harmless end on, and what they lose, on the same chips."""
    cells = balanced(measured, path)
    if cells is None or not is_numeric(cells.levels[0]):
        return []
    confidence = _level(measured, len(cells.levels[0]))
    found: list[Read] = []
    for a in range(cells.worths.shape[-1]):
        table, levels = cells.worths[..., a], list(cells.levels[0])
        upwards = bool(table[-1].mean() <= table[0].mean())
        if not upwards:
            table, levels = table[::-1], levels[::-1]
        costs = [over_units(table[0] - one, confidence) for one in table[1:]]
        found.append(([show(level) for level in levels], [Interval(0.0, 0.0, 0.0), *costs], upwards))
    return found


def _drawn(measured: Measured, path: str, model: Model | None) -> list[Read]:
    """The same between points, in parts of a span, others held fixed."""
    values: list[Any] = [level[path] for level in measured.levels if measured.active(path, level)]
    if not values or not is_numeric(values):
        return []
    axis, found = Axis.of(measured.plan, path, values), list[Read]()
    worths, widened = alone(model, path, measured.worths)
    for a in range(len(measured.plan.ages)):
        names, groups = grouped(measured, axis, worths[..., a])
        if len(groups) < 2:
            return []
        upwards = bool(groups[-1].mean() <= groups[0].mean())
        if not upwards:
            names, groups = names[::-1], groups[::-1]
        confidence = _level(measured, len(groups))
        costs = [apart(groups[0], group, confidence, widened) for group in groups[1:]]
        found.append((names, [Interval(0.0, 0.0, 0.0), *costs], upwards))
    return found


def _judge(
    path: str, age: float, budget: float, names: list[str], costs: list[Interval], upwards: bool, acts: bool
) -> Threshold:
    first = next((i for i, cost in enumerate(costs) if i and not cost.high < budget), len(costs))
    last = next((i for i, cost in enumerate(costs) if acts and cost.low > budget), None)
    verdict: Verdict = "undecided"
    if first == len(costs):
        verdict, last = "none", None
    elif last is not None:
        verdict = "at once" if last == 1 else "found"
    return Threshold(path, age, budget, tuple(names), tuple(costs), verdict, min(first, len(costs) - 1), last, upwards)
