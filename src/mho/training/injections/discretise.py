"""Weights rounded to levels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from mho.kernels import quantise
from mho.training.injections.base import Injection, Scope


class Discretise(Injection):
    """round(h w) / h with h = 2^(bits - 1) - 1 levels on either side of 0, in units of the mapping's scale.

    The gradient passes straight through (Bengio et al. 2013). Strengths below 1 mix: w + strength (rounded - w).
    """

    kind: Literal["discretise"] = "discretise"
    bits: int = Field(ge=2, le=16)
    """Bits of a signed weight."""

    def __call__(self, unit: Tensor, scope: Scope) -> Tensor:
        """Rounded weights."""
        rounded = quantise(unit.detach(), 1.0, 2 ** (self.bits - 1) - 1)
        return unit + scope.strength * (rounded - unit.detach())
