"""A cell whose laws are written out as coefficients: what `mho.fit_device` makes of measurements."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mho.devices.law import Law
from mho.devices.phase_change import PhaseChangeCell
from mho.devices.written import SOURCE, programmed, switched_off
from mho.errors import WrongSetting
from mho.hardware.definition import Definition
from mho.hardware.parts import State
from mho.rng import Stream

_SWITCHES = {"programming_noise": ("programming_us",), "drift": ("nu",), "read_noise": ("reading_q",)}
"""Each factor, and the law without which it is 0."""


class Fitted(PhaseChangeCell):
    """The laws of `PhaseChangeCell` with coefficients of one's own, each a `Law` of r = g_target / g_max.

    Programming: g = max(0, g_target + b(r) + f σ_p(r) ξ), f = `programming_noise`, with a systematic error b that f does not
    scale.
    Drift: g(t) = g ((t + t₀)/t₀)^-ν, ν = μ(r) + σ(r) ξ once a cell; folded: its magnitude.
    Reading: g (1 + Q(r) s(t) ξ), with s = sqrt(ln((t + t₀ + t_r)/2t_r)) for 1/f noise and 1 for white noise, r of the
    programmed conductance. A law that is missing is off.
    """

    kind: Literal["fitted"] = "fitted"
    g_max_us: float = Field(default=25.0, gt=0)
    """Conductance of the highest state, µS."""
    programming_us: Law | None = None
    """σ_p, µS."""
    programming_bias_us: Law | None = None
    """b, µS: by how much programming misses its target on average, with or without noise."""
    nu: Law | None = None
    """μ, mean drift exponent."""
    nu_std: Law | None = None
    """σ, its spread over cells."""
    nu_folded: bool = False
    """True: no cell drifts upward, ν = |μ + σ ξ|."""
    reading_q: Law | None = None
    """Q, relative to the conductance."""
    reading_form: Literal["1/f", "white"] = "1/f"
    """1/f: grows with the time since programming; white: the same at every age."""
    t0_s: float = Field(default=20.0, gt=0)
    """Time between programming and the first reading, s; ages count from there."""
    t_read_s: float = Field(default=250e-9, gt=0)
    """Duration of a reading, s."""

    @model_validator(mode="before")
    @classmethod
    def _off_without_law(cls, data: Any) -> Any:
        return switched_off(data, _SWITCHES)

    @model_validator(mode="after")
    def _spread_has_a_mean(self) -> Fitted:
        if self.nu is None and (self.nu_std is not None or self.nu_folded):
            raise WrongSetting("nu_std and nu_folded are of nu, which is not given", "give nu too", path="nu")
        if self.reading_q is None and self.reading_form != "1/f":
            raise WrongSetting("reading_form is of reading_q, which is not given", "give reading_q too", path="reading")
        return self

    def sigma_programming_us(self, r: Tensor) -> Tensor:
        """The fitted σ_p, 0 where its formula is negative."""
        return torch.zeros_like(r) if self.programming_us is None else self.programming_us(r).clamp(min=0)

    def nu_statistics(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """The fitted μ and σ."""
        zero = torch.zeros_like(r)
        return (
            zero if self.nu is None else self.nu(r),
            zero if self.nu_std is None else self.nu_std(r).clamp(min=0),
        )

    def reading(self, r: Tensor) -> Tensor:
        """The fitted Q, 0 where its formula is negative."""
        return torch.zeros_like(r) if self.reading_q is None else self.reading_q(r).clamp(min=0)

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g", "nu", "q"."""
        r = target / self.g_max_us
        g = programmed(target, r, bias_us=self.programming_bias_us, sigma_us=self.programming_us,
                       factor=self.programming_noise, draw=draw)  # fmt: skip
        mean, std = self.nu_statistics(r)
        nu = mean + std * draw.normal("nu", target.shape, like=target)
        nu = nu.abs() if self.nu_folded else nu
        return {"g": g, "nu": self.drift * nu, "q": self.reading(g / self.g_max_us)}

    def read(self, g: Tensor, state: State, t_s: float, draw: Stream) -> Tensor:
        """1/f noise, grown since the cell was programmed, or white noise."""
        if self.reading_form == "1/f":
            return super().read(g, state, t_s, draw)
        if not self.read_noise:
            return g
        return (g + self.read_noise * g * state["q"] * draw.normal("read", g.shape, like=g)).clamp(min=0)

    def definitions(self) -> list[Definition]:
        """The laws that are on."""
        found = []

        def add(what: str, factor: float, law: Law | None, unit: str, reference: str, how: str, redraw: str) -> None:
            if factor and law is not None:
                size = f"({law}){unit}" if factor == 1 else f"{factor:g}·({law}){unit}"
                found.append(Definition(what, size, reference, how, redraw, SOURCE))

        absolute = "absolute, r = g/g_max"
        add("programmed conductance", self.programming_noise, self.programming_us, " µS", absolute,
            "normal, cut at 0", "program")  # fmt: skip
        add("drift exponent ν", self.drift, self.nu_std, "", absolute, "folded normal" if self.nu_folded else "normal",
            "program")  # fmt: skip
        grows = "·sqrt(ln((t + t₀ + t_r)/2t_r))" if self.reading_form == "1/f" else ""
        add("conductance at reading", self.read_noise, self.reading_q, grows, "the drifted conductance",
            "normal, cut at 0", "read")  # fmt: skip
        return found
