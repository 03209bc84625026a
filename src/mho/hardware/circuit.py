"""The contract of a converter's circuit: what an ADC with errors makes of its input. A user's own is one subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from mho.hardware.definition import Definition
from mho.hardware.spec import Spec
from mho.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from mho.rng import Stream


class Circuit(Spec, ABC):
    """How an ADC finds its code, with errors of its parts that are drawn once per chip.

    s is the input in units of the least significant bit. Every circuit sees s (1 + gain ξ) + offset ξ'; with all errors 0 it
    gives clip(round(s)), bit for bit.
    """

    kind: str
    offset: float = Field(default=0.0, ge=0)
    """Standard deviation of the offset of a converter, in least significant bits."""
    gain: float = Field(default=0.0, ge=0)
    """Standard deviation of the relative error of a converter's gain."""

    def draw(self, converter: Tensor, array: Tensor, bits: int, draw: Stream) -> Tensor:
        """The errors that each column meets, (columns, 2 + its own).

        Args:
            converter: Number of the converter of each column, (columns,).
            array: Number of the array of each column, (columns,).
            bits: Resolution.
            draw: The address of everything random in these converters.
        """
        count = int(converter.max()) + 1
        common = torch.tensor([self.gain, self.offset]) * draw.normal("gain and offset", (count, 2))
        return torch.cat([common[converter], self.parts(converter, array, bits, draw)], 1)

    def parts(self, converter: Tensor, array: Tensor, bits: int, draw: Stream) -> Tensor:
        """The errors of its own parts, (columns, any number); none unless overridden. Arguments as for `draw`."""
        return torch.zeros(len(converter), 0)

    @abstractmethod
    def codes(self, s: Tensor, parts: Tensor, low: int, high: int) -> Tensor:
        """The codes.

        Args:
            s: Inputs within [low, high], (..., columns), least significant bits.
            parts: What `parts` drew.
            low, high: Smallest and largest code.
        """

    def convert(self, s: Tensor, errors: Tensor, low: int, high: int) -> Tensor:
        """The codes of inputs `s`, (..., columns), for the errors that `draw` gave; the gradient passes inside the range."""
        seen = (s * (1 + errors[:, 0]) + errors[:, 1]).clamp(low, high)
        with torch.no_grad():
            found = self.codes(seen.detach(), errors[:, 2:], low, high).clamp(low, high)
            found = torch.where(seen.isnan(), seen, found)  # no comparison of a search sees them
        return seen + (found - seen.detach()) if seen.requires_grad else found

    def definitions(self) -> list[Definition]:
        """The meaning of every σ."""
        sizes = {"offset": "one least significant bit", "gain": "the converter's gain"}
        return [
            Definition(f"ADC {name}", f"{getattr(self, name):g}", unit, "normal", "program")
            for name, unit in sizes.items()
            if getattr(self, name)
        ]


def rounds_down(s: Tensor, level: Tensor) -> Tensor:
    """Where a comparator says that `s` lies below half a step under a level; half-way goes to even levels, as rounding does."""
    edge = level - 0.5
    return (s < edge) | ((s == edge) & (level.remainder(2) != 0))


CIRCUITS: Registry[type[Circuit]] = Registry(
    "converter circuit",
    "mho.circuits",
    {
        "uniform": "mho.crossbar.converters.uniform:Uniform",
        "sar": "mho.crossbar.converters.sar:SAR",
        "ramp": "mho.crossbar.converters.ramp:Ramp",
        "pipeline": "mho.crossbar.converters.pipeline:Pipeline",
        "cyclic": "mho.crossbar.converters.cyclic:Cyclic",
    },
)
