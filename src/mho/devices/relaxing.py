"""A cell that relaxes: its conductance leaves what was verified as 1/f noise does, by as much in each decade of time."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor

from mho.devices.law import Law
from mho.devices.written import SOURCE, programmed, switched_off
from mho.hardware.definition import Definition
from mho.hardware.parts import Cell, State
from mho.rng import Stream

_STEP = 2.0
"""Decades between the places where the lasting part is drawn."""
_LONGEST_S = 100 * 365.25 * 86400
"""Age at which its last step ends; beyond, it is made longer."""
_ABSOLUTE = "absolute, r = g/g_max"
_SWITCHED = {"programming_noise": ("programming_us",), "relaxation": ("trend_us", "fluctuation_us")}
"""Each factor, and the laws without which it is 0."""


class Relaxing(Cell):
    """RRAM after write and verify; each law a `Law` of r = g_target / g_max.

    Programming: g = max(0, g_target + b(r) + f σ_p(r) ξ), f = `programming_noise`, with a systematic error b that f does not
    scale.
    Relaxation: g(t) = max(0, g + f (m(r) L(t) + s(r) x(t))) with L(t) = log₁₀(1 + t/t_w) decades, f = `relaxation`, and 1/f noise
    x that starts from 0: its variance is L(t); half of what it is at an age lasts, half is another at any much later
    one: cov(x(t), x(t')) = (L(t) + L(t') - L(t' - t))/2 ≈ L(t)/2. So a Wiener process in L, drawn once a cell in steps of two
    decades, gives one half, and each reading the other.
    """

    kind: Literal["relaxing"] = "relaxing"
    g_max_us: float = Field(default=40.0, gt=0)
    """Conductance of the highest state, µS."""
    programming_us: Law | None = None
    """σ_p, µS."""
    programming_bias_us: Law | None = None
    """b, µS: by how much programming misses its target on average, with or without noise."""
    trend_us: Law | None = None
    """m, mean change in a decade, µS."""
    fluctuation_us: Law | None = None
    """s, standard deviation of what the first decade changes, µS."""
    onset_s: float = Field(default=1e-3, gt=0)
    """t_w: when relaxation begins, s after the verification; ages count from there."""
    programming_noise: float = Field(default=1.0, ge=0)
    """Factor on σ_p; 0 switches it off."""
    relaxation: float = Field(default=1.0, ge=0)
    """Factor on trend and fluctuation; 0 switches both off."""

    @model_validator(mode="before")
    @classmethod
    def _off_without_law(cls, data: Any) -> Any:
        return switched_off(data, _SWITCHED)

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g"; "trend" where there is one; "size", s/√2, and "step0", "step1", … of the lasting part, µS."""
        r = target / self.g_max_us
        state = {
            "g": programmed(target, r, bias_us=self.programming_bias_us, sigma_us=self.programming_us,
                            factor=self.programming_noise, draw=draw)
        }  # fmt: skip
        if self.relaxation and self.trend_us is not None:
            state["trend"] = self.relaxation * self.trend_us(r)
        if self.relaxation and self.fluctuation_us is not None:
            size = self.relaxation * math.sqrt(0.5) * self.fluctuation_us(r).clamp(min=0)
            state["size"] = size
            for step in range(self._steps):
                state[f"step{step}"] = size * draw.normal(f"step{step}", target.shape, like=target)
        return state

    def age(self, state: State, t_s: float) -> Tensor:
        """Trend, and the part that lasts."""
        grown, g = self._decades(t_s), state["g"]
        if "trend" in state:
            g = g + grown * state["trend"]
        if grown and "size" in state:
            last = min(int(grown / _STEP), self._steps - 1)
            for step in range(last + 1):
                g = g + math.sqrt(grown - _STEP * last if step == last else _STEP) * state[f"step{step}"]
        return g.clamp(min=0) if grown else state["g"]

    def read(self, g: Tensor, state: State, t_s: float, draw: Stream) -> Tensor:
        """The part that each reading draws."""
        grown = self._decades(t_s)
        if not grown or "size" not in state:
            return g
        return (g + math.sqrt(grown) * state["size"] * draw.normal("read", g.shape, like=g)).clamp(min=0)

    def _decades(self, t_s: float) -> float:
        return math.log10(1 + t_s / self.onset_s)

    @property
    def _steps(self) -> int:
        return math.ceil(self._decades(_LONGEST_S) / _STEP)

    def definitions(self) -> list[Definition]:
        """The laws that are on."""
        found = []

        def add(what: str, factor: float, law: Law | None, unit: str, redraw: str) -> None:
            if factor and law is not None:
                size = f"({law}) {unit}" if factor == 1 else f"{factor:g}·({law}) {unit}"
                found.append(Definition(what, size, _ABSOLUTE, "normal, cut at 0", redraw, SOURCE))

        half = self.relaxation * math.sqrt(0.5)
        add("programmed conductance", self.programming_noise, self.programming_us, "µS", "program")
        add("relaxation, what lasts", half, self.fluctuation_us, "µS·√L", "program")
        add("relaxation, what each reading draws", half, self.fluctuation_us, "µS·√L", "read")
        return found
