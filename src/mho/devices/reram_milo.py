"""ReRAM with a programming error that falls with the conductance (Milo 2021)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from mho.devices.polynomial import polynomial
from mho.hardware.definition import Definition
from mho.hardware.parts import Cell, State
from mho.rng import Stream

SOURCE = "Milo et al. 2021, fit of CrossSim"
SIGMA_US = (4.782321, -0.009107)
"""σ in µS, ascending powers of g in µS."""


class ReRAMMilo(Cell):
    """g = max(0, g_target + k σ ξ), σ = 4.782 - 0.0091 g µS. Measured between 50 and 225 µS; no drift, no read noise."""

    kind: Literal["reram_milo"] = "reram_milo"
    g_min_us: float = Field(default=50.0, ge=0)
    """Conductance of the lowest state, µS."""
    g_max_us: float = 225.0
    """Conductance of the highest state, µS."""
    programming_noise: float = Field(default=1.0, ge=0)
    """Factor k on σ; 0 switches it off."""

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g"."""
        if not self.programming_noise:
            return {"g": target}
        sigma = polynomial(target, SIGMA_US).clamp(min=0)
        noise = draw.normal("programming", target.shape, like=target)
        return {"g": (target + self.programming_noise * sigma * noise).clamp(min=0)}

    def definitions(self) -> list[Definition]:
        """The one law."""
        if not self.programming_noise:
            return []
        size = f"{self.programming_noise:g}·(4.782 - 0.0091 g/µS) µS"
        return [Definition("programmed conductance", size, "absolute", "normal, cut at 0", "program", SOURCE)]
