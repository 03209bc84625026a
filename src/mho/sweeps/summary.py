"""A sweep as text: the mean score at each level of each factor with its interval, the best points, and what was shared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.measure.aligned import aligned
from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval, mean_interval
from mho.sweeps.balance import PARTS, counts
from mho.sweeps.effects.balanced import balanced
from mho.sweeps.effects.measured import Measured, measured
from mho.sweeps.factor import text_of
from mho.sweeps.front import front
from mho.sweeps.proof import show
from mho.sweeps.result import SweepResult
from mho.units import show_time

_BEST, _AGES = 5, 6


@dataclass(frozen=True, eq=False)
class Cell:
    """What is measured at one point of the design.

    Attributes:
        point: Its number.
        levels: Level by factor.
        worths: (seeds, chips, ages).
    """

    point: int
    levels: dict[str, Any]
    worths: NDArray[np.float64]


@dataclass(frozen=True)
class LevelMean:
    """The mean worth at a level of a factor, one interval an age.

    Attributes:
        path: The factor.
        level: In words.
        points: Points of the design that it rests on.
        at: By age.
        gain: Over the factor's first level at the last age, on the same chips; None for that level, and where points are drawn.
    """

    path: str
    level: str
    points: int
    at: tuple[Interval, ...]
    gain: Interval | None = None


def cells(table: Measured) -> list[Cell]:
    """The points that are whole, as the report has them."""
    return [
        Cell(int(point), levels, worths)
        for point, levels, worths in zip(table.points, table.levels, table.worths, strict=True)
    ]


def level_means(result: SweepResult) -> list[LevelMean]:
    """The mean at every level of every factor.

    In a grid, and around a base, the interval is over training seeds and chips, the rest of the design as it stands, and only
    complete blocks count, as in the report: combinations of the other factors that are measured with every level. Where points
    are drawn, the rest is drawn, too: the interval is over points.
    """
    table = measured(result)
    return [mean for path in result.plan.factors for mean in _level_means(table, path)[0]]


def _level_means(table: Measured, path: str) -> tuple[list[LevelMean], str]:
    """Of one factor, and what is missing in them, in words; often nothing."""
    confidence = table.plan.confidence
    if table.plan.design.drawn:
        groups = _by_level(cells(table), path, table.plan.factors[path].listed is None)
        found = []
        for words, group in groups:
            tables = np.stack([cell.worths for cell in group])
            at = tuple(interval(tables[..., i], confidence, drawn=True) for i in range(tables.shape[-1]))
            found.append(LevelMean(path, words, len(group), at))
        return found, ""
    block = balanced(table, path)
    if block is None:
        return [], "no two levels are measured with the same others yet"
    found = []
    for level, worths, points in zip(block.levels[0], block.worths, block.points, strict=True):
        at = tuple(over_units(worths[..., i], confidence) for i in range(worths.shape[-1]))
        gain = over_units(worths[..., -1] - block.worths[0, ..., -1], confidence) if found else None
        found.append(LevelMean(path, show(level), int(points), at, gain))
    return found, block.left_out


def interval(tables: NDArray[np.float64], confidence: float, drawn: bool) -> Interval:
    """The mean of (points, seeds, chips) with its interval: over points where they are drawn, else over seeds
    and chips, as far as there are several."""
    if drawn:
        return mean_interval([float(each.mean()) for each in tables], confidence)
    return over_units(np.mean(tables, axis=0), confidence)


def summary(result: SweepResult) -> str:
    """The whole text."""
    states, score, plan = result.counts(), result.score, result.plan
    done = f"{states['done']} of {sum(states.values())} trials are done"
    lines = [done + "".join(f", {states[s]} {s}" for s in ("open", "running", "failed", "pruned") if states.get(s))]
    lines += _failures(result)
    table = measured(result)
    whole = cells(table)
    lines += [f"  {text}" for text in table.seeds_left_out]
    if plan.design.adaptive and whole:  # where points are chosen for being good, means over them are no effects
        several = plan.design.kind == "multi_objective"
        lines += ["", *(front(result.ledger, plan) if several else _best(result, whole))]
    by_factor = {} if plan.design.adaptive or not whole else {path: _level_means(table, path) for path in plan.factors}
    means = [mean for found, _ in by_factor.values() for mean in found]
    if by_factor:
        # First and last age, and some between.
        most = min(_AGES, len(plan.ages))
        ages = sorted({round(i * (len(plan.ages) - 1) / max(1, most - 1)) for i in range(most)})
        head = ["factor", "level", "points", *(show_time(plan.ages[i]) if plan.ages[i] else "new" for i in ages)]
        if not plan.design.drawn:
            head.append(f"over the first level, {head[-1]}")
        body = []
        for i, mean in enumerate(means):
            first = i == 0 or means[i - 1].path != mean.path
            shown = [score.bracket(mean.at[a].value, mean.at[a].low, mean.at[a].high) for a in ages]
            if not plan.design.drawn:
                shown.append("" if mean.gain is None else score.show_gain(*_ends(mean.gain)))
            body.append([mean.path if first else "", mean.level, str(mean.points), *shown])
        title = f"mean {score.label} at each level, with its {100 * plan.confidence:g} % interval over {table.over or 'chips'}:"
        gaps = [
            f"  {path}: left out, so that all levels have the same others: {words}" if found else f"  {path}: {words}"
            for path, (found, words) in by_factor.items() if words
        ]  # fmt: skip
        lines += ["", title, *aligned([head, *body]), *gaps, "", *_best(result, whole)]
    return "\n".join([*lines, *_shared(result)])


def _by_level(measured: Sequence[Cell], path: str, span: bool) -> list[tuple[str, list[Cell]]]:
    """Points by the level of a factor; those of a span that is not cut, in equal parts."""
    counting = [cell for cell in measured if not span or cell.levels[path] is not None]
    if span and counting:
        order = sorted(counting, key=lambda cell: cell.levels[path])
        parts = max(1, min(PARTS, len(order) // 2))
        split = [order[len(order) * i // parts : len(order) * (i + 1) // parts] for i in range(parts)]
        return [(f"{part[0].levels[path]:.3g} … {part[-1].levels[path]:.3g}", part) for part in split]
    values = [cell.levels[path] for cell in measured]
    groups: dict[str, list[Cell]] = {text: [] for text in counts([cell.levels for cell in measured], path)}
    for cell, value in zip(measured, values, strict=True):
        groups[text_of(value)].append(cell)
    return [(show(group[0].levels[path]), group) for group in groups.values()]


def _ends(found: Interval) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def _best(result: SweepResult, measured: Sequence[Cell]) -> list[str]:
    plan = result.plan
    order = sorted(measured, key=lambda cell: -float(cell.worths[..., -1].mean()))[:_BEST]
    age = show_time(plan.ages[-1]) if plan.ages[-1] else "programming"
    title = f"best {len(order)} of {len(measured)} points after {age} (partly luck: confirm on other chips, another chip_seed):"
    body = []
    for cell in order:
        found = interval(cell.worths[None, ..., -1], plan.confidence, drawn=False)
        body.append(
            [
                str(cell.point),
                result.score.bracket(found.value, found.low, found.high),
                *map(show, cell.levels.values()),
            ]
        )
    return [title, *aligned([["point", result.score.label, *plan.factors], *body])]


def _failures(result: SweepResult) -> list[str]:
    causes = Counter(trial["error"] for trial in result.trials if trial["state"] == "failed")
    lines = [f"  failed ({n}): {cause}" for cause, n in causes.most_common(_BEST)]
    pruned = Counter(trial["error"] for trial in result.trials if trial["state"] == "pruned")
    lines += [f"  pruned ({n}): {cause}" for cause, n in pruned.most_common(_BEST)]
    if pruned:
        lines.append("  points with a pruned trial are left out below, which flatters the levels that they stand at")
    if causes:
        lines.append("  points with a failed trial are left out below; 'retry' tries them again")
    return lines


def _shared(result: SweepResult) -> list[str]:
    total: Counter[str] = Counter()
    for trial in result.trials:
        total.update(trial["shared"])
    names = {
        "data": "data",
        "digital": "digital networks",
        "converted": "converted networks",
        "ranges": "ranges",
        "chips": "programmed chips",
    }
    parts = [
        f"{words} {total[f'{kind} found']} of {total[f'{kind} asked']}"
        for kind, words in names.items() if total[f"{kind} asked"]
    ]  # fmt: skip
    trainings = result.trainings()
    if trainings:
        which = "1 training serves" if trainings == 1 else f"{trainings} trainings serve"
        parts.insert(0, f"{which} {len(result.trials)} trials")
    spent = math.fsum(trial["seconds"] or 0.0 for trial in result.trials)
    done = sum(trial["state"] == "done" for trial in result.trials)
    if not parts or not done:
        return []
    versions = sorted({trial["versions"] for trial in result.trials if trial["versions"]})
    mixed = [f"measured with several versions: {'; '.join(versions)}"] if len(versions) > 1 else []
    return ["", *mixed, f"{spent / done:.2g} s a trial; found instead of made again: {', '.join(parts)}"]
