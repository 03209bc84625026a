"""`Trial`: one configuration that is measured, and the list of them."""

from __future__ import annotations

import json
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

    def columns(self) -> dict[str, Any]:
        """As the ledger holds it."""
        return {
            "trial": self.number, "point": self.point, "seed": self.config.seed, "digest": self.config.digest(),
            "factors": json.dumps(self.levels),
        }  # fmt: skip


def trials(plan: Plan, contents: dict[str, str] | None = None) -> list[Trial]:
    """Every trial of a plan.

    Args:
        plan: The plan.
        contents: Digests of what is read from disk (`Config.contents`).
    """
    found: list[Trial] = []
    points = plan.configured()
    for seed in plan.seeds:
        for number, (point, config) in enumerate(points):
            found.append(trial(plan, point, config, seed, contents or {}, number, len(found)))
    return found


def trial(
    plan: Plan, point: Point, config: Config, seed: int, contents: dict[str, str], place: int, number: int
) -> Trial:
    """A trial at a point of a plan; `place` is the number of the point, `number` its own."""
    # A factor without a level is as in the base where the design stays around it; elsewhere its condition is not met.
    rest = {path: plan.level(path, plan.base) if plan.design.around_base else None for path in plan.factors}
    levels = {path: point.get(path, level) for path, level in rest.items()}
    return Trial(number, place, levels, config.model_copy(update={"seed": seed, "contents": contents}))
