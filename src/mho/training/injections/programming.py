"""What programming a chip would do to the weights, with the very cells, encoding, variations and faults of the hardware."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from mho.chip.arrays import program_matrix
from mho.hardware.definition import Definition
from mho.training.injections.base import Injection, Scope
from mho.units import seconds


class Programming(Injection):
    """The weights as a newly programmed chip holds them, a new chip at every step: w + s (w_chip - w).

    With `time` the chip has aged so long and its drift is compensated as the hardware says, so that training sees the
    spread of drift, too. The gradient passes straight through: w_chip - w counts as a constant.
    """

    kind: Literal["programming"] = "programming"
    scale: float = Field(default=1.0, ge=0)
    """s, a training-only factor on the deviation."""
    time: str | float | None = None
    """Age of the chip, such as '1 day'; none: right after programming."""

    @field_validator("time")
    @classmethod
    def _is_a_time(cls, time: str | float | None) -> str | float | None:
        if time is not None:
            seconds(time)
        return time

    @torch.no_grad()
    def _deviation(self, unit: Tensor, scope: Scope) -> Tensor:
        arrays = program_matrix(unit, scope.scale, scope.scheme, scope.draw / "programming")
        cells = arrays.cells(0.0 if self.time is None else seconds(self.time))
        factor = None if self.time is None else arrays.correction(cells).factor
        readouts, total = scope.scheme.readouts, torch.zeros_like(unit)
        for k, (readout, weight) in enumerate(zip(readouts.columns, cells.weight, strict=True)):
            total = total + readout.factor * (weight if factor is None else weight * scope.plan.spread(factor[k]))
        return total - readouts.offset - unit

    def __call__(self, unit: Tensor, scope: Scope) -> Tensor:
        """With `strength` times s."""
        factor = self.scale * scope.strength
        return torch.add(unit, self._deviation(unit.detach(), scope), alpha=factor) if factor else unit

    def definitions(self) -> list[Definition]:
        """Its meaning in words."""
        when = "right after programming" if self.time is None else f"after {self.time}"
        return [
            Definition(
                "weight in training", f"{self.scale:g}", f"a chip's deviation {when}", "the cell's", "training step"
            )
        ]
