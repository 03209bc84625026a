"""The PCM of the HERMES chip: fits for one and two cells a conductance (Le Gallo 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mho.devices.phase_change import PhaseChangeCell
from mho.devices.polynomial import polynomial
from mho.errors import WrongSetting
from mho.hardware.definition import Definition

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


class Hermes(PhaseChangeCell):
    """PCM of a 14 nm chip: the laws of `PhaseChangeCell` with a cubic σ_p(r), and μ_ν, σ_ν, Q in two pieces."""

    kind: Literal["hermes"] = "hermes"
    devices: Literal[1, 2] = 2
    """Cells that make one conductance."""
    g_max_us: float = Field(default=20.7, gt=0)
    """Conductance of the highest state, µS; by default that of the fit (10.35 for one cell, 20.7 for two)."""
    t0_s: float = Field(default=300.0, gt=0)
    """Time of the first reading after programming, s; by default that of the fit (200 or 300 s)."""
    t_read_s: float = Field(default=512e-9, gt=0)
    """Duration of a reading, s."""

    @model_validator(mode="before")
    @classmethod
    def _of_the_fit(cls, data: Any) -> Any:
        if isinstance(data, dict):
            fit = FITS.get(data.get("devices", 2), FITS[2])
            return {"g_max_us": fit.g_max_us, "t0_s": fit.t0_s, **data}
        return data

    @model_validator(mode="after")
    def _within_the_fit(self) -> Hermes:
        fit = FITS[self.devices]
        if self.g_max_us > fit.g_max_us:
            raise WrongSetting(
                f"g_max_us = {self.g_max_us:g} lies above the {fit.g_max_us:g} µS that {self.devices} cell(s) were measured to",
                f"set g_max_us: {fit.g_max_us:g} and t0_s: {fit.t0_s:g} with devices: {self.devices}",
            )
        return self

    def sigma_programming_us(self, r: Tensor) -> Tensor:
        """Cubic in r, scaled with the range."""
        fit = FITS[self.devices]
        return polynomial(r, fit.programming_us).clamp(min=0) * (self.g_max_us / fit.g_max_us)

    def nu_statistics(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithmic at small r, polynomial above."""
        fit = FITS[self.devices]
        return fit.nu_mean(r), fit.nu_std(r)

    def reading(self, r: Tensor) -> Tensor:
        """Logarithmic at small r, polynomial above."""
        return FITS[self.devices].reading(r).clamp(min=0)

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
            size = f"{self.read_noise:g}·Q(r)·sqrt(ln((t + t₀ + t_r)/2t_r))"
            found.append(
                Definition(
                    "conductance at reading", size, "the drifted conductance", "normal, cut at 0", "read", SOURCE
                )
            )
        return found
