"""The base, and one factor at a time away from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mho.errors import WrongSetting
from mho.sweeps.designs.base import Design, Point, levels_of
from mho.sweeps.factor import Factor


class OneAtATime(Design):
    """The base point, and every level of every factor with all others as in the base."""

    kind: Literal["one_at_a_time"] = "one_at_a_time"
    around_base: ClassVar[bool] = True

    def points(self, factors: Mapping[str, Factor], base: Mapping[str, Any]) -> list[Point]:
        """See `Design`."""
        levels = levels_of(factors, self.kind)
        if idle := [path for path, factor in factors.items() if not factor.holds(base)]:
            raise WrongSetting(
                f"the base does not meet the condition of {', '.join(idle)}, which would never count",
                "change the base, or take another design",
                path=f"factors.{idle[0]}.when",
            )
        return [{}, *({path: level} for path, some in levels.items() for level in some)]
