"""Phase-change memory: the statistical model of a million doped-GST mushroom cells (Nandakumar 2019, Joshi 2020)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mho.devices.one_over_f import spread_of_reading
from mho.hardware.definition import Definition
from mho.hardware.parts import Cell, State
from mho.rng import Stream

PROGRAMMING_US = (0.26348, 1.9650, -1.1731)
"""σ of programming in µS at g_max = 25 µS, ascending powers of r = g_target / g_max."""
SOURCE = "Nandakumar et al., ICECS 2019; Joshi et al., Nat. Commun. 2020"


class PCM(Cell):
    """Programming noise, drift and 1/f read noise of PCM, with r = g_target / g_max.

    Programming: g = max(0, g_target + σ_p ξ), σ_p = (0.26348 + 1.9650 r - 1.1731 r²) µS · g_max / 25 µS.
    Drift: g(t) = g ((t + t₀) / t₀)^-ν, ν = |μ_ν + σ_ν ξ|, drawn once per cell from its target,
    μ_ν = clip(-0.0155 ln r + 0.0244, 0.049, 0.1), σ_ν = clip(-0.0125 ln r - 0.0059, 0.008, 0.045).
    Reading: g + g Q sqrt(ln((t + t_r) / 2 t_r)) ξ, Q = min(0.0088 / r^0.65, 0.2), from the programmed conductance.
    """

    kind: Literal["pcm"] = "pcm"
    g_max_us: float = 25.0
    t0_s: float = Field(default=20.0, gt=0)
    """Time between programming and the first reading, s; ages count from there."""
    t_read_s: float = Field(default=250e-9, gt=0)
    """Duration of a reading, s."""
    programming_noise: float = Field(default=1.0, ge=0)
    """Factor on σ_p; 0 switches it off."""
    drift: float = Field(default=1.0, ge=0)
    """Factor on ν; 0 switches it off."""
    read_noise: float = Field(default=1.0, ge=0)
    """Factor on the read noise; 0 switches it off."""
    nu: float | None = Field(default=None, ge=0)
    """Mean drift exponent of all cells, instead of the statistics."""
    nu_std: float = Field(default=0.0, ge=0)
    """Spread of `nu`."""

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g", "nu", "q"."""
        r = (target / self.g_max_us).clamp(min=1e-7)
        g = target
        if self.programming_noise:
            c0, c1, c2 = PROGRAMMING_US
            raw = target / self.g_max_us
            sigma = (c0 + c1 * raw + c2 * raw * raw) * (self.g_max_us / 25.0)
            g = (target + self.programming_noise * sigma * draw.normal("programming", target.shape, like=target)).clamp(
                min=0
            )
        if self.nu is None:
            mean = (-0.0155 * r.log() + 0.0244).clamp(0.049, 0.1)
            std = (-0.0125 * r.log() - 0.0059).clamp(0.008, 0.045)
        else:
            mean, std = torch.full_like(r, self.nu), torch.full_like(r, self.nu_std)
        nu = self.drift * (mean + std * draw.normal("nu", target.shape, like=target)).abs()
        q = (0.0088 / ((g / self.g_max_us) ** 0.65).clamp(min=1e-3)).clamp(max=0.2)
        return {"g": g, "nu": nu, "q": q}

    def age(self, state: State, t_s: float) -> Tensor:
        """g ((t + t₀) / t₀)^-ν."""
        if not self.drift or t_s == 0:
            return state["g"]
        return state["g"] * torch.exp(-state["nu"] * math.log((t_s + self.t0_s) / self.t0_s))

    def read(self, g: Tensor, state: State, t_s: float, draw: Stream) -> Tensor:
        """1/f noise; nothing for t <= t_r, where the logarithm would be negative."""
        spread = spread_of_reading(t_s, self.t_read_s)
        if not self.read_noise or not spread:
            return g
        return (g + self.read_noise * spread * g * state["q"] * draw.normal("read", g.shape, like=g)).clamp(min=0)

    def definitions(self) -> list[Definition]:
        """The three laws that are on."""
        found = []
        if self.programming_noise:
            found.append(Definition("programmed conductance", f"{self.programming_noise:g}·(0.26 + 1.97 r - 1.17 r²) µS",
                                    "absolute, r = g/g_max", "normal, cut at 0", "program", SOURCE))  # fmt: skip
        if self.drift:
            found.append(Definition("drift exponent ν", "clip(-0.0125 ln r - 0.0059, 0.008, 0.045)" if self.nu is None else
                                    f"{self.nu_std:g}", "absolute", "folded normal", "program", SOURCE))  # fmt: skip
        if self.read_noise:
            found.append(Definition("conductance at reading", f"{self.read_noise:g}·Q·sqrt(ln((t + t_r)/2t_r))",
                                    "the drifted conductance", "normal, cut at 0", "read", SOURCE))  # fmt: skip
        return found
