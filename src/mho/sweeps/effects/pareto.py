"""`Front`: the best score that each cost buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mho.errors import WrongSetting
from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval
from mho.sweeps.effects.balanced import is_numeric
from mho.sweeps.effects.measured import Measured
from mho.sweeps.proof import show

COSTLY = ("bits", "pairs", "slices", "cells", "rounds", "width", "epochs")
"""Ends of the paths of factors of which less is cheaper."""


@dataclass(frozen=True)
class OnFront:
    """A point of the design against its cost.

    Attributes:
        point: Its number.
        cost: Its level of the factor that costs.
        score: Its mean worth with the interval over chips and seeds.
        settings: Its other levels, in words.
        front: No point that costs as much or less has a better mean.
        near: It cannot be told from the best that its cost buys: the paired difference has zero in its interval.
    """

    point: int
    cost: float
    score: Interval
    settings: str
    front: bool
    near: bool


@dataclass(frozen=True)
class Front:
    """All points against a cost.

    Attributes:
        path: The factor that costs, or the name of a cost that was noted.
        points: By cost, the best first.
    """

    path: str
    points: tuple[OnFront, ...]

    @property
    def best(self) -> list[OnFront]:
        """The points of the front."""
        return [point for point in self.points if point.front]


def costly(measured: Measured, cost: str | None = None) -> list[str]:
    """Costs that were noted and differ, and factors whose names say that they cost; or the one that is asked for.

    Raises:
        WrongSetting: There is no such cost or factor, or its levels are no numbers.
    """
    numbers = [
        path for path in measured.plan.factors
        if not measured.plan.factors[path].when and is_numeric([levels[path] for levels in measured.planned])
    ]  # fmt: skip
    known = [*measured.costs, *numbers]
    if cost is not None and cost not in known:
        raise WrongSetting(f"'{cost}' is no cost and no factor of numbers", f"one of {', '.join(known)}", path="cost")
    noted = [name for name, values in measured.costs.items() if values.size and np.ptp(values) > 0]
    return [cost] if cost is not None else [*noted, *(path for path in numbers if path.rpartition(".")[2] in COSTLY)]


def front(measured: Measured, path: str) -> Front:
    """The front of the score at the last age against a cost, or the level of a factor, of which less is cheaper."""
    confidence, plan = measured.plan.confidence, measured.plan
    table = measured.worths[..., -1]
    means = table.mean(axis=(1, 2))
    noted = measured.costs.get(path)
    costs = [float(levels[path]) for levels in measured.levels] if noted is None else noted.tolist()
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -means[i]))
    found, best = [], -1
    for i in order:
        leads = best < 0 or means[i] > means[best]
        best = i if leads else best
        gap = over_units(table[best] - table[i], confidence)
        others: Sequence[str] = [f"{p} = {show(measured.levels[i][p])}" for p in plan.factors if p != path]
        found.append(
            OnFront(
                int(measured.points[i]), costs[i], over_units(table[i], confidence), ", ".join(others), leads,
                leads or gap.low <= 0 <= gap.high,
            )
        )  # fmt: skip
    return Front(path, tuple(found))
