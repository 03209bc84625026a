"""A drifting cell whose statistics do not depend on its state."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from mho.devices.phase_change import drifted, spread_of_reading
from mho.hardware.definition import Definition
from mho.hardware.parts import Cell, State
from mho.rng import Stream

SOURCE = "AIHWKit StateIndependentNoiseModel; every number is a setting"


class PowerLaw(Cell):
    """g = max(0, g_target + σ_p ξ); g(t) = g ((t + t₀)/t₀)^-ν, ν = |μ + σ ξ| once a cell;
    reading g + (g / g_max) k sqrt(ln((t + t₀ + t_r)/2 t_r)) ξ.
    """

    kind: Literal["power_law"] = "power_law"
    g_max_us: float = 25.0
    """Conductance of the highest state, µS."""
    programming_us: float = Field(default=0.2, ge=0)
    """σ_p, µS."""
    nu: float = Field(default=0.1, ge=0)
    """Mean drift exponent μ."""
    nu_std: float = Field(default=0.05, ge=0)
    """Its spread σ."""
    read_us: float = Field(default=1.0, ge=0)
    """k, µS at full conductance."""
    t0_s: float = Field(default=20.0, gt=0)
    """Time of the first reading after programming, s."""
    t_read_s: float = Field(default=250e-9, gt=0)
    """Duration of a reading, s."""

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g", "nu"."""
        g = target
        if self.programming_us:
            g = (target + self.programming_us * draw.normal("programming", target.shape, like=target)).clamp(min=0)
        nu = (self.nu + self.nu_std * draw.normal("nu", target.shape, like=target)).abs()
        return {"g": g, "nu": nu}

    def age(self, state: State, t_s: float) -> Tensor:
        """g ((t + t₀) / t₀)^-ν."""
        return drifted(state["g"], state["nu"], t_s, self.t0_s)

    def read(self, g: Tensor, state: State, t_s: float, draw: Stream) -> Tensor:
        """1/f noise, additive."""
        sigma = self.read_us * spread_of_reading(t_s + self.t0_s, self.t_read_s)
        if not sigma:
            return g
        return (g + sigma * (g / self.g_max_us) * draw.normal("read", g.shape, like=g)).clamp(min=0)

    def definitions(self) -> list[Definition]:
        """The laws that are on."""
        found = []
        if self.programming_us:
            size = f"{self.programming_us:g} µS"
            found.append(Definition("programmed conductance", size, "absolute", "normal, cut at 0", "program", SOURCE))
        if self.nu_std:
            found.append(
                Definition("drift exponent ν", f"{self.nu_std:g}", "absolute", "folded normal", "program", SOURCE)
            )
        if self.read_us:
            size = f"{self.read_us:g} µS·(g/g_max)·sqrt(ln((t + t_r)/2t_r))"
            found.append(Definition("conductance at reading", size, "absolute", "normal, cut at 0", "read", SOURCE))
        return found
