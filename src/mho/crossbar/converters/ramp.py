"""`Ramp`: all columns of an array are compared with one staircase, and a counter stops where it passes them."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mho.hardware.circuit import Circuit
from mho.hardware.definition import Definition
from mho.rng import Stream

_SOURCE = "single-slope converter, steps of unit current sources; as CrossSim's RampADC"


class Ramp(Circuit):
    """Threshold k of the staircase lies at k - 1/2 + mismatch Σ_{i<k} ξ_i; a column's code is the number of thresholds that the
    ramp has passed when it first exceeds the input. The staircase is shared by an array; comparators differ by `offset`.
    """

    kind: Literal["ramp"] = "ramp"
    mismatch: float = Field(default=0.0, ge=0)
    """Standard deviation of a step of the staircase, relative to it."""

    def parts(self, converter: Tensor, array: Tensor, bits: int, draw: Stream) -> Tensor:
        """What each threshold lies too high, least significant bits; the last step is where it should be."""
        steps = self.mismatch * draw.normal("staircase", (int(array.max()) + 1, 2**bits))
        walk = steps.cumsum(1)
        share = torch.arange(1, 2**bits + 1) / 2**bits
        return (walk - share * walk[:, -1:])[array]

    def codes(self, s: Tensor, parts: Tensor, low: int, high: int) -> Tensor:
        """The counter's state."""
        levels = torch.arange(low + 1, high + 1, device=s.device, dtype=s.dtype)
        walls = (levels - 0.5 + parts[:, : len(levels)].to(s)).cummax(1).values.contiguous()
        columns = s.movedim(-1, 0).flatten(1).contiguous()
        passed = torch.searchsorted(walls, columns)
        nearest = walls.gather(1, passed.clamp(max=walls.shape[1] - 1))
        even = (passed + low).remainder(2) != 0  # half-way goes to the even one
        passed = passed + ((nearest == columns) & even & (passed < walls.shape[1]))
        return (passed + low).to(s).reshape(s.shape[-1], *s.shape[:-1]).movedim(0, -1)

    def definitions(self) -> list[Definition]:
        """The meaning of every σ."""
        mismatch = Definition("ADC ramp step", f"{self.mismatch:g}", "a step", "normal", "program", _SOURCE)
        return [*super().definitions(), *([mismatch] if self.mismatch else [])]
