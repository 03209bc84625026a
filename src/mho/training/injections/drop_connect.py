"""Weights that are missing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from mho.training.injections.base import Injection, Scope


class DropConnect(Injection):
    """Each weight is 0 with probability `share`, as a cell that does not conduct; the others are not made larger.

    The gradient of a missing weight is 0. Wan et al. 2013, ICML, without their rescaling.
    """

    kind: Literal["drop_connect"] = "drop_connect"
    share: float = Field(ge=0, lt=1)
    """Probability."""

    def __call__(self, unit: Tensor, scope: Scope) -> Tensor:
        """With `strength` times the probability."""
        share = min(1.0, self.share * scope.strength)
        if not share:
            return unit
        return unit * (scope.draw.uniform("drop_connect", unit.shape, like=unit) >= share)
