"""`SAR`: successive approximation with a binary-weighted capacitor array."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mho.hardware.circuit import Circuit, rounds_down
from mho.hardware.definition import Definition
from mho.rng import Stream

_SOURCE = "McCreary and Gray 1975; as CrossSim's SarADC"


class SAR(Circuit):
    """Bit i, the highest first, stays set where the input is not below the level of all bits set so far.

    Capacitor i is 2^i (1 + mismatch ξ / sqrt(2^i)) units, beside a last one of one unit; levels are shares of their sum:
    L(d) = 2^b Σ_i d_i C_i / (Σ_i C_i + 1). The converter's comparator is its `offset`.
    """

    kind: Literal["sar"] = "sar"
    mismatch: float = Field(default=0.0, ge=0)
    """Standard deviation of a unit capacitor, relative to it."""

    def parts(self, converter: Tensor, array: Tensor, bits: int, draw: Stream) -> Tensor:
        """Level of each bit, least significant bits, lowest first."""
        ideal = 2.0 ** torch.arange(bits)
        drawn = draw.normal("capacitors", (int(converter.max()) + 1, bits))
        sizes = ideal + self.mismatch * ideal.sqrt() * drawn
        return (sizes * (2.0**bits / (sizes.sum(1, keepdim=True) + 1)))[converter]

    def codes(self, s: Tensor, parts: Tensor, low: int, high: int) -> Tensor:
        """Bit by bit."""
        level, code = torch.full_like(s, low), torch.full_like(s, low)
        for i in reversed(range(parts.shape[1])):
            trial = level + parts[:, i]
            keep = ~rounds_down(s, trial)
            level, code = torch.where(keep, trial, level), code + keep * 2.0**i
        return code

    def definitions(self) -> list[Definition]:
        """The meaning of every σ."""
        mismatch = Definition("ADC capacitor", f"{self.mismatch:g}", "a unit capacitor", "normal", "program", _SOURCE)
        return [*super().definitions(), *([mismatch] if self.mismatch else [])]
