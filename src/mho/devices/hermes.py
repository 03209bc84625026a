"""The PCM of the HERMES chip: fits for one and two cells a conductance (Le Gallo 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mho.devices.one_over_f import spread_of_reading
from mho.devices.polynomial import polynomial
from mho.hardware.definition import Definition
from mho.hardware.parts import Cell, State
from mho.rng import Stream

SOURCE = "Le Gallo et al., Nat. Electron. 2023 (s41928-023-01010-1); AIHWKit HermesNoiseModel"


@dataclass(frozen=True)
class _LogThenPolynomial:
    """clip(a ln r + b, low, high) below r = edge, a polynomial in r above."""

    edge: float
    log: tuple[float, float]
    clip: tuple[float, float]
    above: tuple[float, ...]

    def __call__(self, r: Tensor) -> Tensor:
        a, b = self.log
        low = (a * r.clamp(min=1e-7).log() + b).clamp(*self.clip)
        return torch.where(r < self.edge, low, polynomial(r, self.above))


@dataclass(frozen=True)
class _Fit:
    """One set of statistics; g in µS, t in s, r = g_target / g_max."""

    g_max_us: float
    t0_s: float
    programming_us: tuple[float, ...]
    nu_mean: _LogThenPolynomial
    nu_std: _LogThenPolynomial
    reading: _LogThenPolynomial


_NU_MEAN = _LogThenPolynomial(0.0945, (-0.0387, -0.0182), (0.0720, 0.13), (0.0736, -0.0126, -0.0436))
FITS: dict[int, _Fit] = {
    1: _Fit(
        10.35, 200.0, (0.15781817, 2.32443916, -2.16310839, 0.68841818), _NU_MEAN,
        _LogThenPolynomial(0.3039, (-0.0120, -0.0023), (0.0124, 0.04), (0.0104, 0.0116, -0.0165)),
        _LogThenPolynomial(0.1591, (-0.0078, 0.0038), (0.0179, 0.04), (0.0088, 0.0768, -0.1352, 0.0664)),
    ),
    2: _Fit(
        20.7, 300.0, (0.16603222, 4.71806468, -8.48101252, 4.68961419), _NU_MEAN,
        _LogThenPolynomial(0.3055, (-0.0117, -0.0057), (0.0091, 0.04), (0.0073, 0.0093, -0.0118)),
        _LogThenPolynomial(0.16, (-0.0117, -0.0069), (0.015, 0.04), (0.0123, 0.0211, -0.0280, 0.0069)),
    ),
}  # fmt: skip
"""By the number of cells that make one conductance."""


class Hermes(Cell):
    """PCM of a 14 nm chip, with the laws of `PCM` and statistics of its own.

    Programming: g = max(0, g_target + σ_p(r) ξ) with a cubic σ_p; drift g ((t + t₀)/t₀)^-ν, ν = |μ_ν(r) + σ_ν(r) ξ|,
    drawn once; reading g (1 + Q(r) sqrt(ln((t + t_r)/2 t_r)) ξ), Q from the programmed conductance. r = g / g_max.
    """

    kind: Literal["hermes"] = "hermes"
    devices: Literal[1, 2] = 2
    """Cells that make one conductance."""
    g_max_us: float = Field(default=20.7, gt=0)
    """Conductance of the highest state, µS; by default that of the fit (10.35 for one cell, 20.7 for two)."""
    t0_s: float = Field(default=300.0, gt=0)
    """Time of the first reading after programming, s; by default that of the fit (200 or 300 s)."""
    t_read_s: float = Field(default=512e-9, gt=0)
    """Duration of a reading, s."""
    programming_noise: float = Field(default=1.0, ge=0)
    """Factor on σ_p; 0 switches it off."""
    drift: float = Field(default=1.0, ge=0)
    """Factor on ν; 0 switches it off."""
    read_noise: float = Field(default=1.0, ge=0)
    """Factor on the read noise; 0 switches it off."""

    @model_validator(mode="before")
    @classmethod
    def _of_the_fit(cls, data: Any) -> Any:
        if isinstance(data, dict):
            fit = FITS.get(data.get("devices", 2), FITS[2])
            return {"g_max_us": fit.g_max_us, "t0_s": fit.t0_s, **data}
        return data

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g", "nu", "q"."""
        fit = FITS[self.devices]
        r, g = target / self.g_max_us, target
        if self.programming_noise:
            sigma = polynomial(r, fit.programming_us).clamp(min=0) * (self.g_max_us / fit.g_max_us)
            noise = draw.normal("programming", target.shape, like=target)
            g = (target + self.programming_noise * sigma * noise).clamp(min=0)
        nu = self.drift * (fit.nu_mean(r) + fit.nu_std(r) * draw.normal("nu", target.shape, like=target)).abs()
        return {"g": g, "nu": nu, "q": fit.reading(g / self.g_max_us).clamp(min=0)}

    def age(self, state: State, t_s: float) -> Tensor:
        """g ((t + t₀) / t₀)^-ν."""
        if not self.drift or t_s == 0:
            return state["g"]
        return state["g"] * torch.exp(-state["nu"] * math.log((t_s + self.t0_s) / self.t0_s))

    def read(self, g: Tensor, state: State, t_s: float, draw: Stream) -> Tensor:
        """1/f noise."""
        spread = spread_of_reading(t_s, self.t_read_s)
        if not self.read_noise or not spread:
            return g
        return (g + self.read_noise * spread * g * state["q"] * draw.normal("read", g.shape, like=g)).clamp(min=0)

    def definitions(self) -> list[Definition]:
        """The laws that are on."""
        found = []
        if self.programming_noise:
            size = f"{self.programming_noise:g}·cubic(r) µS, {self.devices} cells"
            found.append(Definition("programmed conductance", size, "absolute", "normal, cut at 0", "program", SOURCE))
        if self.drift:
            size = f"{self.drift:g}·σ_ν(r) of the fit"
            found.append(Definition("drift exponent ν", size, "absolute", "folded normal", "program", SOURCE))
        if self.read_noise:
            size = f"{self.read_noise:g}·Q(r)·sqrt(ln((t + t_r)/2t_r))"
            found.append(
                Definition("conductance at reading", size, "the drifted conductance", "normal, cut at 0", "read", SOURCE)
            )
        return found
