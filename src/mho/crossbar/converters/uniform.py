"""`Uniform`: evenly spaced codes, with the converter's own offset and gain."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mho.hardware.circuit import Circuit


class Uniform(Circuit):
    """code = clip(round(s (1 + gain ξ) + offset ξ')): static errors alone (IEEE Std 1241, offset and gain error)."""

    kind: Literal["uniform"] = "uniform"

    def codes(self, s: Tensor, parts: Tensor, low: int, high: int) -> Tensor:
        """The nearest code."""
        return s.round()
