"""`Trial`: one configuration that is measured, and the list of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mho.sweeps.config import Config
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
    # A factor without a level is as in the base where the design stays around it; elsewhere its condition is not met.
    rest = {path: plan.level(path, plan.base) if plan.design.around_base else None for path in plan.factors}
    for seed in plan.seeds:
        for number, (point, config) in enumerate(points):
            here = config.model_copy(update={"seed": seed, "contents": contents or {}})
            levels = {path: point.get(path, level) for path, level in rest.items()}
            found.append(Trial(len(found), number, levels, here))
    return found
