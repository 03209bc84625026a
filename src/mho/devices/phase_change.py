"""The laws that phase-change cells share: programming noise, drift, 1/f read noise. The statistics are a fit's own."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from pydantic import Field
from torch import Tensor

from mho.hardware.parts import Cell, State
from mho.rng import Stream


def drifted(g: Tensor, nu: Tensor, t_s: float, t0_s: float) -> Tensor:
    """g ((t + t₀) / t₀)^-ν."""
    return g if t_s == 0 else g * torch.exp(-nu * math.log((t_s + t0_s) / t0_s))


def spread_of_reading(t_s: float, t_read_s: float) -> float:
    """sqrt(ln((t + t_r) / 2 t_r)): growth of 1/f noise between a reading of duration t_r and an age t.

    Zero for t <= t_r, where the logarithm would be negative (Nandakumar et al., ICECS 2019).
    """
    return math.sqrt(math.log((t_s + t_read_s) / (2 * t_read_s))) if t_s > t_read_s else 0.0


class PhaseChangeCell(Cell):
    """A drifting cell, with r = g_target / g_max.

    Programming: g = max(0, g_target + σ_p(r) ξ).
    Drift: g(t) = g ((t + t₀) / t₀)^-ν, ν = |μ_ν(r) + σ_ν(r) ξ|, drawn once per cell from its target.
    Reading: g (1 + Q(r) sqrt(ln((t + t₀ + t_r) / 2 t_r)) ξ), Q from the programmed conductance.
    """

    t0_s: float = Field(gt=0)
    """Time between programming and the first reading, s; ages count from there."""
    t_read_s: float = Field(gt=0)
    """Duration of a reading, s."""
    programming_noise: float = Field(default=1.0, ge=0)
    """Factor on σ_p; 0 switches it off."""
    drift: float = Field(default=1.0, ge=0)
    """Factor on ν; 0 switches it off."""
    read_noise: float = Field(default=1.0, ge=0)
    """Factor on the read noise; 0 switches it off."""

    @abstractmethod
    def sigma_programming_us(self, r: Tensor) -> Tensor:
        """σ_p, µS."""

    @abstractmethod
    def nu_statistics(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """μ_ν and σ_ν."""

    @abstractmethod
    def reading(self, r: Tensor) -> Tensor:
        """Q."""

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g", "nu", "q"."""
        r, g, nu = target / self.g_max_us, target, draw.normal("nu", target.shape, like=target)
        if self.programming_noise:
            noise = draw.normal("programming", target.shape, like=target)
            g = (target + self.programming_noise * self.sigma_programming_us(r) * noise).clamp(min=0)
        mean, std = self.nu_statistics(r)
        return {"g": g, "nu": self.drift * (mean + std * nu).abs(), "q": self.reading(g / self.g_max_us)}

    def age(self, state: State, t_s: float) -> Tensor:
        """Power law with the cell's own exponent."""
        return drifted(state["g"], state["nu"], t_s, self.t0_s) if self.drift else state["g"]

    def read(self, g: Tensor, state: State, t_s: float, draw: Stream) -> Tensor:
        """1/f noise, grown since the cell was programmed."""
        spread = spread_of_reading(t_s + self.t0_s, self.t_read_s)
        if not self.read_noise or not spread:
            return g
        return (g + self.read_noise * spread * g * state["q"] * draw.normal("read", g.shape, like=g)).clamp(min=0)
