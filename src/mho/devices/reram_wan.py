"""ReRAM whose conductance relaxes after programming (Wan 2022, NeuRRAM)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import Tensor

from mho.devices.polynomial import polynomial
from mho.hardware.definition import Definition
from mho.hardware.parts import Cell, State
from mho.rng import Stream

SOURCE = "Wan et al., Nature 2022 (s41586-022-04992-8); AIHWKit ReRamWan2022NoiseModel"
SIGMA_US: dict[float, tuple[float, ...]] = {
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    86400.0: (0.701, 22.086, -50.773, 47.095, -16.458),
    172800.0: (0.782, 20.274, -43.507, 37.062, -11.934),
}
"""σ in µS at g_max = 40 µS, ascending powers of r = g_target / g_max, at the three ages that were measured."""
G_REFERENCE_US = 40.0


class ReRAMWan(Cell):
    """g(t) = max(0, g_target + k σ(r, t) ξ), with one ξ a cell for the life of the chip.

    σ is known at 1 s, 1 day and 2 days; in between it is interpolated linearly in ln t, before and after it is held
    (beyond two days that is a guess, not a measurement). Programming and relaxation are one fit: there is no σ at t = 0,
    which takes the one of 1 s. Scaled by g_max / 40 µS.
    """

    kind: Literal["reram_wan"] = "reram_wan"
    g_max_us: float = G_REFERENCE_US
    """Conductance of the highest state, µS; σ scales with it."""
    relaxation: float = Field(default=1.0, ge=0)
    """Factor k on σ; 0 switches it off."""

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g" (at 1 s), "target", "xi"."""
        xi = draw.normal("relaxation", target.shape, like=target)
        return {"g": self._at(target, xi, 0.0), "target": target, "xi": xi}

    def age(self, state: State, t_s: float) -> Tensor:
        """The same cell's deviation, grown with time."""
        grown = self._at(state["target"], state["xi"], t_s) - self._at(state["target"], state["xi"], 0.0)
        return (state["g"] + grown).clamp(min=0) if self.relaxation and t_s else state["g"]

    def _at(self, target: Tensor, xi: Tensor, t_s: float) -> Tensor:
        if not self.relaxation:
            return target
        sigma = sigma_us(target / self.g_max_us, t_s) * (self.g_max_us / G_REFERENCE_US)
        return (target + self.relaxation * sigma * xi).clamp(min=0)

    def definitions(self) -> list[Definition]:
        """The one law."""
        if not self.relaxation:
            return []
        size = f"{self.relaxation:g}·quartic(r) µS at 1 s, 1 day, 2 days, ln t between, held beyond"
        return [Definition("conductance", size, "absolute, r = g/g_max", "normal, cut at 0", "program", SOURCE)]


def sigma_us(r: Tensor, t_s: float) -> Tensor:
    """σ (µS at g_max = 40 µS) at r = g_target / g_max and age t."""
    ages = list(SIGMA_US)
    t = min(max(t_s, ages[0]), ages[-1])
    later = next(i for i, age in enumerate(ages) if t <= age)
    if later == 0:
        return polynomial(r, SIGMA_US[ages[0]]).clamp(min=0)
    a, b = ages[later - 1], ages[later]
    share = math.log(t / a) / math.log(b / a)
    return ((1 - share) * polynomial(r, SIGMA_US[a]) + share * polynomial(r, SIGMA_US[b])).clamp(min=0)
