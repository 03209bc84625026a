"""Retention loss of a memory cell (NeuroSim)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mho.hardware.definition import Definition
from mho.hardware.parts import Cell, State
from mho.rng import Stream

SOURCE = "DNN+NeuroSim V1.5, drift scenarios"


class Retention(Cell):
    """g(t) = clip(g t^(v s), g_min, g_max) for t >= 1 s, with a direction s of each cell.

    toward 'target': s = sign(g_drift - g), g_drift = g_min + fraction (g_max - g_min); 'random': s is -1, 0 or 1 with
    equal chances, drawn once a cell. The direction is frozen, as in NeuroSim: a cell passes a target inside the range
    and goes on to the bound. Programming is exact; add variations for its error.
    """

    kind: Literal["retention"] = "retention"
    g_min_us: float = Field(default=2.5, ge=0)
    """Conductance of the lowest state, µS; g_max / g_min is the on/off ratio."""
    g_max_us: float = 25.0
    """Conductance of the highest state, µS."""
    exponent: float = Field(default=0.01, ge=0)
    """v."""
    toward: Literal["target", "random"] = "target"
    """Where the cells drift."""
    target_fraction: float = Field(default=0.0, ge=0, le=1)
    """Where g_drift lies in the range."""

    def program(self, target: Tensor, draw: Stream) -> State:
        """State "g", "sign"."""
        if self.toward == "random":
            sign = (3 * draw.uniform("direction", target.shape, like=target)).floor().clamp(max=2) - 1
        else:
            goal = self.g_min_us + self.target_fraction * (self.g_max_us - self.g_min_us)
            sign = torch.sign(goal - target)
        return {"g": target, "sign": sign}

    def age(self, state: State, t_s: float) -> Tensor:
        """Power law with the cell's direction."""
        if not self.exponent or t_s <= 1:
            return state["g"]
        grown = state["g"] * t_s ** (self.exponent * state["sign"])
        return torch.where(state["g"] > 0, grown, 0.0).clamp(self.g_min_us, self.g_max_us)

    def definitions(self) -> list[Definition]:
        """Random only where the direction is."""
        if self.toward != "random" or not self.exponent:
            return []
        size = f"{self.exponent:g}·s, s in {{-1, 0, 1}}"
        return [Definition("exponent of retention", size, "absolute", "three equal chances", "program", SOURCE)]
