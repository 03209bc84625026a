"""`Pipeline`: stages of one and a half bits, each doubling what is left for the next."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mho.hardware.circuit import Circuit
from mho.hardware.definition import Definition
from mho.rng import Stream

_SOURCE = "Lewis et al. 1992, 1.5 bits a stage; as CrossSim's PipelineADC"


class Pipeline(Circuit):
    """v' = ((2 + δ) v - (1 + δ) d) / (1 + (2 + δ)/A), d = 1, 0, -1 where v is above 1/4, between, or below -1/4.

    v is the input over 2^N least significant bits, N the stages; δ = mismatch sqrt(2) ξ is the relative difference of a stage's
    two capacitors and A the gain of its amplifier. code = Σ_i d_i 2^(N-i) and the nearest code to what is left.
    """

    kind: Literal["pipeline"] = "pipeline"
    mismatch: float = Field(default=0.0, ge=0)
    """Standard deviation of a capacitor, relative to it."""
    amplifier_gain: float | None = Field(default=None, gt=1)
    """Gain of a stage's amplifier without feedback; None: infinite."""

    def parts(self, converter: Tensor, array: Tensor, bits: int, draw: Stream) -> Tensor:
        """δ of each stage."""
        return (self.mismatch * 2**0.5 * draw.normal("stages", (int(converter.max()) + 1, bits)))[converter]

    def codes(self, s: Tensor, parts: Tensor, low: int, high: int) -> Tensor:
        """Stage by stage."""
        stages = (high - 1).bit_length() if low < 0 else high.bit_length()
        v, code = s / 2.0**stages, torch.zeros_like(s)
        for i in range(stages):
            delta = parts[:, i]
            d = (v >= 0.25).to(v) - (v <= -0.25).to(v)
            v = (2 + delta) * v - (1 + delta) * d
            if self.amplifier_gain is not None:
                v = v / (1 + (2 + delta) / self.amplifier_gain)
            code = code + d * 2.0 ** (stages - 1 - i)
        return (code + v).round()

    def definitions(self) -> list[Definition]:
        """The meaning of every σ."""
        mismatch = Definition("ADC capacitor", f"{self.mismatch:g}", "the capacitor", "normal", "program", _SOURCE)
        return [*super().definitions(), *([mismatch] if self.mismatch else [])]
