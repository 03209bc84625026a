"""`Cyclic`: one stage of one and a half bits, used again for every bit."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mho.crossbar.converters.pipeline import Pipeline
from mho.rng import Stream


class Cyclic(Pipeline):
    """As `Pipeline`, with the same capacitors in every cycle (Ginetti et al. 1992, redundant signed digits)."""

    kind: Literal["cyclic"] = "cyclic"  # type: ignore[assignment]

    def parts(self, converter: Tensor, array: Tensor, bits: int, draw: Stream) -> Tensor:
        """δ of the stage, once a cycle."""
        return super().parts(converter, array, 1, draw).expand(-1, bits)
