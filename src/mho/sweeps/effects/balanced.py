"""`balanced`: the part of what is measured in which an effect can be read off, every level among the same others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.sweeps.effects.measured import Measured
from mho.sweeps.factor import text_of
from mho.sweeps.plan import Plan
from mho.sweeps.proof import show


@dataclass(frozen=True, eq=False)
class Balanced:
    """Cell means of one factor or of two.

    Attributes:
        paths: The factors.
        levels: Of each, in order.
        worths: (levels of the first, …, S, C, A): the mean over the rest, which is the same in every cell.
        rest: At how many combinations of the other factors each cell was measured.
        points: Of the design, in each cell.
        share: Of all points of the design, those at which the factors count.
        left_out: What is missing in these cells though the design has it, in words; often nothing.
    """

    paths: tuple[str, ...]
    levels: tuple[tuple[Any, ...], ...]
    worths: NDArray[np.float64]
    rest: int
    points: NDArray[np.int64]
    share: float
    left_out: str = ""


def balanced(measured: Measured, *paths: str) -> Balanced | None:
    """Complete blocks alone: a combination of the other factors counts where it was measured with every level.

    What failed is thereby not silently compared with what did not. Where no combination is whole, the levels (or
    combinations) that lack most are left out, one after the other. Around a base, the others stay there. Factors that
    count only at some level of these are averaged, where all of them are measured.

    Returns:
        None where fewer than two levels of a factor are left.
    """
    plan = measured.plan
    within = [i for i, levels in enumerate(measured.planned) if _inside(measured, levels, paths)]
    if not within:
        return None
    orders = [ordered(plan, path, [measured.planned[i][path] for i in within]) for path in paths]
    below = _below(plan, paths)
    others = [path for path in plan.factors if path not in paths and path not in below]
    places = [{text_of(level): n for n, level in enumerate(order)} for order in orders]
    rests: dict[str, int] = {}
    wanted: dict[tuple[int, ...], int] = {}
    at: dict[int, tuple[int, ...]] = {}
    for i in within:
        levels = measured.planned[i]
        rest = rests.setdefault(text_of([levels[path] for path in others]), len(rests))
        at[i] = (*(place[text_of(levels[path])] for place, path in zip(places, paths, strict=True)), rest)
        wanted[at[i]] = wanted.get(at[i], 0) + 1
    shape = (*map(len, orders), len(rests))
    count, total = np.zeros(shape), np.zeros((*shape, *measured.worths.shape[1:]))
    for row, point in enumerate(measured.points.tolist()):
        if point in at:
            count[at[point]] += 1
            total[at[point]] += measured.worths[row]
    there = np.zeros(shape, dtype=bool)
    for cell, asked in wanted.items():
        there[cell] = count[cell] == asked
    kept = _complete(there)
    if any(len(axis) < 2 for axis in kept[:-1]) or not kept[-1]:
        return None
    held = count[np.ix_(*kept)]
    cells = total[np.ix_(*kept)] / held.reshape(*map(len, kept), 1, 1, 1)
    left = tuple(tuple(order[n] for n in axis) for order, axis in zip(orders, kept, strict=False))
    return Balanced(
        paths, left, cells.mean(axis=len(paths)), len(kept[-1]), held.sum(axis=-1).astype(np.int64),
        len(within) / len(measured.planned), _words(paths, orders, kept, there.shape[-1]),
    )  # fmt: skip


def ordered(plan: Plan, path: str, levels: Sequence[Any]) -> list[Any]:
    """The distinct levels, numbers from small to large, others as the plan lists them."""
    of = {text_of(level): level for level in levels}
    if is_numeric(of.values()):
        return sorted(of.values())
    listed = [text_of(level) for level in plan.factors[path].listed or ()]
    return [of[text] for text in sorted(of, key=lambda text: listed.index(text) if text in listed else len(listed))]


def is_numeric(levels: Any) -> bool:
    """Whether all levels are numbers, so that they have an order."""
    return all(isinstance(level, (int, float)) and not isinstance(level, bool) for level in levels)


def _inside(measured: Measured, levels: dict[str, Any], paths: Sequence[str]) -> bool:
    if not all(measured.active(path, levels) for path in paths):
        return False
    base = measured.planned[0]
    around = measured.plan.design.around_base
    return not around or all(text_of(levels[p]) == text_of(base[p]) for p in measured.plan.factors if p not in paths)


def _below(plan: Plan, paths: Sequence[str]) -> set[str]:
    """Factors that count only at some level of these, or of one that does."""
    found: set[str] = set()
    while more := {p for p, f in plan.factors.items() if p not in found and ({*paths} | found) & {*f.when}}:
        found |= more
    return found - {*paths}


def _complete(there: NDArray[np.bool_]) -> list[list[int]]:
    """Indices along each axis within which everything is there."""
    kept = [list(range(n)) for n in there.shape]
    whole = np.flatnonzero(there.all(axis=tuple(range(there.ndim - 1)))).tolist()
    if whole:
        return [*kept[:-1], whole]
    while not (part := there[np.ix_(*kept)]).all():
        if min(part.shape) == 0:
            return [[] for _ in kept]
        worst = (-1.0, 0, 0)
        for axis in range(part.ndim):
            lacking = 1 - part.mean(axis=tuple(a for a in range(part.ndim) if a != axis))
            place = int(np.argmax(lacking))
            worst = max(worst, (float(lacking[place]), axis, place), key=lambda one: (one[0], one[1]))
        kept[worst[1]].pop(worst[2])
    return kept


def _words(paths: Sequence[str], orders: Sequence[list[Any]], kept: list[list[int]], rests: int) -> str:
    found = []
    for path, order, axis in zip(paths, orders, kept, strict=False):
        if gone := [show(order[n]) for n in range(len(order)) if n not in axis]:
            found.append(f"{path} = {', '.join(gone)}")
    if lost := rests - len(kept[-1]):
        found.append(f"{lost} of {rests} combinations of the other factors")
    return "; ".join(found)
