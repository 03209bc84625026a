"""CMO/HfOx ReRAM: write-verify, relaxation, read noise (Falcone 2025)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import Tensor

from mho.hardware.definition import Definition
from mho.hardware.parts import Cell, State
from mho.rng import Stream

SOURCE = "Falcone et al. 2025 (arXiv 2502.04524); Lombardo et al., DRC 2024; AIHWKit ReRamCMONoiseModel"
PROGRAMMING_US: dict[str, tuple[float, float]] = {
    "0.2%": (0.00081107, 0.00106879),
    "2%": (0.0112185391, 0.01129027418),
}
"""σ = c₀ + c₁ g (µS) by the range that write-verify accepts."""
RELAXATION_MEAN, RELAXATION_STD = -0.08900206, (0.41183342, 0.04201137)
"""µS per ln(t / s); σ = c₀ + c₁ ln(t / s) µS."""
READING, T_READ_S = 0.0277316483, 1e-6


class ReRAMCMO(Cell):
    """Programming σ_p = c₀ + c₁ g; relaxation g - 0.089 ln t + (0.412 + 0.042 ln t) ξ with ξ frozen per cell;
    reading σ = 0.0277 log₁₀(g) sqrt(ln((t + 1 µs) / 2 µs)), kept within [g_min, g_max]. All in µS.

    The relaxation was measured from 1 s on; before, its spread follows its own line down to 0 and its mean is 0.
    """

    kind: Literal["reram_cmo"] = "reram_cmo"
    g_min_us: float = Field(default=9.0, ge=0)
    """Conductance of the lowest state, µS."""
    g_max_us: float = 88.2
    """Conductance of the highest state, µS."""
    acceptance: Literal["0.2%", "2%"] = "2%"
    """Range around the target that write-verify accepts."""
    programming_noise: float = Field(default=1.0, ge=0)
    """Factor on σ_p; 0 switches it off."""
    drift: float = Field(default=1.0, ge=0)
    """Factor on the relaxation; 0 switches it off."""
    read_noise: float = Field(default=1.0, ge=0)
    """Factor on the read noise; 0 switches it off."""

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g", "xi"."""
        c0, c1 = PROGRAMMING_US[self.acceptance]
        g = target
        if self.programming_noise:
            sigma = self.programming_noise * (c0 + c1 * target)
            g = (target + sigma * draw.normal("programming", target.shape, like=target)).clamp(min=0)
        return {"g": g, "xi": draw.normal("relaxation", target.shape, like=target)}

    def age(self, state: State, t_s: float) -> Tensor:
        """Relaxation."""
        if not self.drift or t_s == 0:
            return state["g"]
        log_t, (s0, s1) = math.log(t_s), RELAXATION_STD
        shift = min(RELAXATION_MEAN * log_t, 0.0) + max(s0 + s1 * log_t, 0.0) * state["xi"]
        return (state["g"] + self.drift * shift).clamp(min=0)

    def read(self, g: Tensor, state: State, t_s: float, draw: Stream) -> Tensor:
        """Read noise."""
        if not self.read_noise or t_s <= T_READ_S:
            return g
        spread = math.sqrt(math.log((t_s + T_READ_S) / (2 * T_READ_S)))
        sigma = self.read_noise * READING * g.clamp(min=1).log10() * spread
        return (g + sigma * draw.normal("read", g.shape, like=g)).clamp(self.g_min_us, self.g_max_us)

    def definitions(self) -> list[Definition]:
        """The laws that are on."""
        cut = "normal"
        found = []
        if self.programming_noise:
            c0, c1 = PROGRAMMING_US[self.acceptance]
            size = f"{self.programming_noise:g}·({c0:.3g} µS + {c1:.3g} g)"
            found.append(Definition("programmed conductance", size, "absolute", cut, "program", SOURCE))
        if self.drift:
            size = f"{self.drift:g}·(0.412 + 0.042 ln t) µS"
            found.append(Definition("relaxation", size, "absolute", cut, "program", SOURCE))
        if self.read_noise:
            size = f"{self.read_noise:g}·0.0277 log₁₀(g/µS) sqrt(ln((t + 1 µs)/2 µs)) µS"
            cut = "normal, cut at g_min and g_max"
            found.append(Definition("conductance at reading", size, "absolute", cut, "read", SOURCE))
        return found
