"""A cell that holds exactly what was written, for ever."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mho.hardware.parts import Cell, State
from mho.rng import Stream


class IdealCell(Cell):
    """No programming error, no drift, no read noise; `levels` may still round the targets."""

    kind: Literal["ideal"] = "ideal"
    g_max_us: float = 25.0
    """Conductance of the highest state, µS."""

    def program(self, target: Tensor, draw: Stream) -> State:
        """The target itself."""
        return {"g": target}
