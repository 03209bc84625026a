"""Encodings of one signed weight in one or two cells: differential pair and offset column."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mho.hardware.parts import Cell, Encoding, Readout, Readouts


class Differential(Encoding):
    """A pair of cells, w = (g⁺ - g⁻) / (g_max - g_min).

    One-sided: the cell of the other sign rests at g_min. Two-sided: both move around the middle of the range
    (CrossSim's BALANCED core, one- and two-sided).
    """

    later: ClassVar[tuple[str, ...]] = ("pairs",)
    kind: Literal["differential"] = "differential"
    sides: Literal["one", "two"] = "one"
    """one: g± = g_min + range·max(±w, 0); two: g± = g_min + range·(1 ± w)/2."""
    subtract: Literal["analog", "digital"] = "analog"
    """analog: currents are subtracted before one conversion; digital: each polarity is converted on its own."""
    columns: Literal[1, 2] = 1
    """Physical columns of a pair: 1 when both cells share a unit cell, 2 when they stand side by side."""
    pairs: int = Field(default=1, ge=1, le=64)
    """Pairs in parallel that hold each weight; their mean is read, so independent errors fall by sqrt(pairs)."""

    def encode(self, weight: Tensor, cell: Cell) -> list[Tensor]:
        """Targets [g⁺, g⁻], once a pair."""
        span = cell.g_max_us - cell.g_min_us
        if self.sides == "one":
            pair = [cell.g_min_us + span * weight.clamp(min=0), cell.g_min_us + span * (-weight).clamp(min=0)]
        else:
            pair = [cell.g_min_us + span * (1 + weight) / 2, cell.g_min_us + span * (1 - weight) / 2]
        return pair * self.pairs

    def readouts(self, cell: Cell) -> Readouts:
        """One readout of the difference, or two that are subtracted digitally."""
        unit = 1 / (cell.g_max_us - cell.g_min_us) / self.pairs
        step = None if cell.levels is None else 1 / (cell.levels - 1) / self.pairs
        if self.subtract == "analog":
            return Readouts((Readout((unit, -unit) * self.pairs, step=step),))
        up, down = (unit, 0.0) * self.pairs, (0.0, unit) * self.pairs
        return Readouts((Readout(up, step=step), Readout(down, factor=-1.0, step=step)))

    def ideal(self, weight: Tensor) -> Tensor | None:
        """The weights themselves, where currents are subtracted before the conversion."""
        return weight[None] if self.subtract == "analog" else None

    def columns_per_weight(self) -> int:
        """1 or 2, as described, for each pair."""
        return self.columns * self.pairs


class Offset(Encoding):
    """One cell a weight, g = g_min + range·(1 + w)/2; a zero weight sits in the middle of the range.

    The constant part is removed digitally from the sum of the inputs, or in the array by a column of middle cells
    that all columns share (and that has its own errors).
    """

    kind: Literal["offset"] = "offset"
    reference: Literal["digital", "column"] = "digital"
    """Who removes the constant part."""

    def encode(self, weight: Tensor, cell: Cell) -> list[Tensor]:
        """Targets [g] or [g, reference column]."""
        span = cell.g_max_us - cell.g_min_us
        target = cell.g_min_us + span * (1 + weight) / 2
        if self.reference == "digital":
            return [target]
        return [target, torch.full_like(weight[:, :1], cell.g_min_us + span / 2)]

    def readouts(self, cell: Cell) -> Readouts:
        """One readout; the offset is 1 + 2 g_min / range when it is removed digitally."""
        unit = 2 / (cell.g_max_us - cell.g_min_us)
        step = None if cell.levels is None else 2 / (cell.levels - 1)
        if self.reference == "digital":
            return Readouts((Readout((unit,), step=step),), offset=1 + unit * cell.g_min_us)
        return Readouts((Readout((unit, -unit), step=step),))

    def ideal(self, weight: Tensor) -> Tensor | None:
        """The weights themselves, where a column of the array takes the constant part away."""
        return weight[None] if self.reference == "column" else None
