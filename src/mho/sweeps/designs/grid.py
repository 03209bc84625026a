"""Every combination of the levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any, Literal

from mho.errors import WrongSetting
from mho.sweeps.designs.base import MOST, Design, Point, active, distinct, levels_of
from mho.sweeps.factor import Factor


class Grid(Design):
    """The full grid; a factor with a condition is crossed only where it counts."""

    kind: Literal["grid"] = "grid"

    def points(self, factors: Mapping[str, Factor], base: Mapping[str, Any]) -> list[Point]:
        """See `Design`."""
        levels = levels_of(factors, self.kind)
        many = math.prod(map(len, levels.values()))
        if many > MOST:
            raise WrongSetting(f"a grid of {many:,} points", f"{MOST:,} at most: draw some (lhs, sobol)", path="design")
        return distinct([active(dict(zip(levels, each, strict=True)), factors) for each in product(*levels.values())])
