"""`Trial`: one configuration that is measured, and the list of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mho.sweeps.config import Config
from mho.sweeps.designs import Point
from mho.sweeps.plan import Plan


@dataclass(frozen=True)
class Trial:
    """A point of the design with a training seed.

    Attributes:
        number: From 0, in the order in which trials are begun: all points with the first seed, then with the next.
        point: Number of the point of the design.
        levels: The level of every factor, also of those that are as in the base; None where a factor's condition is not met.
        config: What it measures.
    """

    number: int
    point: int
    levels: dict[str, Any]
    config: Config


def trials(plan: Plan, contents: dict[str, str] | None = None) -> list[Trial]:
    """Every trial of a plan.

    Args:
        plan: The plan.
        contents: Digests of what is read from disk (`Config.contents`).
    """
    found: list[Trial] = []
    points = plan.configured()
    levels = [_levels(plan, point, config) for point, config in points]
    for seed in plan.seeds:
        for number, (_, config) in enumerate(points):
            here = config.model_copy(update={"seed": seed, "contents": contents or {}})
            found.append(Trial(len(found), number, levels[number], here))
    return found


def _levels(plan: Plan, point: Point, config: Config) -> dict[str, Any]:
    met = {path: plan.level(path, config) for path in plan.factors}
    return {
        path: point[path] if path in point else met[path] if factor.holds(met) else None
        for path, factor in plan.factors.items()
    }
