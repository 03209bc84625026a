"""Weights of b bits in several cells of fewer bits: `BitSliced`."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mho.errors import WrongSetting
from mho.hardware.parts import Cell, Encoding, Readout, Readouts
from mho.hardware.periphery import digit


class BitSliced(Encoding):
    """w = W/(2^(b-1) - 1) with a whole number W, |W| < 2^(b-1), whose digits stand in cells of their own.

    Digits d of c bits are counted from the lowest; a cell holds g = g_min + (g_max - g_min)·d/(2^c - 1). What the columns of a
    slice give is weighted with the place of its digit.

    - sign ``pair``: the digits of |W|, of b - 1 bits, each in a differential pair; the cell of the other sign rests at g_min.
    - sign ``offset``: the digits of W + 2^(b-1), of b bits; the constant part is removed from the sum of the inputs, or by
      columns of the array that hold it and that all columns share.
    - sign ``twos_complement``: the digits of the lower b - 1 bits of W; its sign stands in a cell of two states and counts
      negative.

    A cell of more bits than are left for the highest digit uses only its lower states.

    Raises:
        WrongSetting: More bits in a list of slices than the digits have, or too few; a reference of what has no offset.

    References:
        Shafiee et al. 2016 (ISAAC: offset, slices of 2 bits); Xiao et al. 2021, arXiv:2109.01262 (pairs and offset in slices).
    """

    straight_through: ClassVar[bool] = True
    kind: Literal["bit_sliced"] = "bit_sliced"
    bits: int = Field(default=8, ge=2, le=16)
    """b, bits of a weight, its sign among them."""
    cell_bits: int | tuple[int, ...] = 4
    """c, bits of a cell; or those of each slice, from the lowest digit on."""
    sign: Literal["pair", "offset", "twos_complement"] = "pair"
    """How negative weights are held."""
    reference: Literal["digital", "column"] = "digital"
    """Who removes the constant part of sign 'offset', or the conductance of the lowest states."""
    subtract: Literal["analog", "digital"] = "analog"
    """Sign 'pair': currents are subtracted before one conversion, or each polarity is converted on its own."""
    shift_and_add: Literal["digital", "analog"] = "digital"
    """digital: each slice is converted on its own; analog: currents are weighted and added before one conversion."""

    @model_validator(mode="after")
    def _possible(self) -> BitSliced:
        widths, digits = self._widths(), self._digit_bits
        if any(not 1 <= width <= 8 for width in widths):
            raise WrongSetting(f"cell_bits = {self.cell_bits}", "a cell has 1 to 8 bits", path="cell_bits")
        if sum(widths) < digits or sum(widths[:-1]) >= digits:
            raise WrongSetting(
                f"slices of {', '.join(map(str, widths))} bits for {digits} bits of digits",
                "give as many slices as the digits fill, from the lowest on", path="cell_bits",
            )  # fmt: skip
        if self.sign == "pair" and self.reference != "digital":
            raise WrongSetting("a pair has no constant part", "reference is of sign 'offset' and 'twos_complement'",
                               path="reference")  # fmt: skip
        if self.sign != "pair" and self.subtract != "analog":
            raise WrongSetting(f"nothing is subtracted with sign '{self.sign}'", "subtract is of sign 'pair'",
                               path="subtract")  # fmt: skip
        return self

    @property
    def _digit_bits(self) -> int:
        return self.bits if self.sign == "offset" else self.bits - 1

    def _widths(self) -> tuple[int, ...]:
        """Bits of each slice's cells, from the lowest digit on."""
        if isinstance(self.cell_bits, int):
            return (self.cell_bits,) * -(-self._digit_bits // max(self.cell_bits, 1))
        return self.cell_bits

    def _slices(self) -> list[tuple[int, int]]:
        """Place of its digit's lowest bit and bits of its cells, slice by slice."""
        found, place = [], 0
        for width in self._widths():
            found.append((place, width))
            place += width
        return found

    def fits(self, cell: Cell) -> None:
        """Refuse cells whose states are others than the digits."""
        widths = sorted(set(self._widths()))
        if cell.levels is not None and widths != [math.log2(cell.levels)]:
            wanted = f"{2 ** widths[0]}" if len(widths) == 1 else "null: slices of several widths have different states"
            raise WrongSetting(
                f"cells of {cell.levels} states cannot hold digits of {' and '.join(map(str, widths))} bits",
                f"set cell.levels to {wanted}", path="cell.levels",
            )  # fmt: skip

    def encode(self, weight: Tensor, cell: Cell) -> list[Tensor]:
        """Targets slice by slice: [g⁺, g⁻] of a pair, [g] or [g, reference column] else; the sign's cells last."""
        span, largest = cell.g_max_us - cell.g_min_us, 2 ** (self.bits - 1) - 1
        whole = (weight * largest).round().clamp(-largest, largest)  # training's noise reaches beyond 1
        negative = (whole < 0).to(whole)
        found: list[Tensor] = []

        def hold(state: Tensor, width: int) -> Tensor:
            return cell.g_min_us + span * state / (2**width - 1)

        for place, width in self._slices():
            if self.sign == "pair":
                size = digit(whole.abs(), place, width)
                found += [hold(size * (1 - negative), width), hold(size * negative, width)]
                continue
            middle = largest + 1
            shifted = whole + middle if self.sign == "offset" else whole + middle * negative
            found.append(hold(digit(shifted, place, width), width))
            if self.reference == "column":
                rest = torch.full_like(weight[:, :1], middle if self.sign == "offset" else 0.0)
                found.append(hold(digit(rest, place, width), width))
        if self.sign == "twos_complement":
            found.append(hold(negative, 1))
            if self.reference == "column":
                found.append(torch.full_like(weight[:, :1], cell.g_min_us))
        return found

    def readouts(self, cell: Cell) -> Readouts:
        """One readout a slice (a polarity of it, where they are subtracted digitally), or one for all."""
        unit, largest = 1 / (cell.g_max_us - cell.g_min_us), 2 ** (self.bits - 1) - 1
        counts = [2**place * (2**width - 1) / largest for place, width in self._slices()]
        if self.sign == "twos_complement":
            counts.append(-(largest + 1) / largest)
        planes = 2 if self.sign == "pair" or self.reference == "column" else 1
        each = (unit, -unit) if planes == 2 else (unit,)
        rest = [0.0] * (planes * len(counts))

        def seen(slice_: int, coefficients: tuple[float, ...]) -> tuple[float, ...]:
            first = planes * slice_
            return (*rest[:first], *coefficients, *rest[first + planes :])

        offset = 0.0
        if planes == 1:
            middle = (largest + 1) / largest if self.sign == "offset" else 0.0
            offset = middle + unit * cell.g_min_us * sum(counts)
        polarities = [(unit, 0.0), (0.0, unit)] if self.subtract == "digital" else [each]
        if self.shift_and_add == "analog":
            columns = [
                Readout(tuple(count * c for count in counts for c in coefficients), factor=1.0 if p == 0 else -1.0)
                for p, coefficients in enumerate(polarities)
            ]
        else:
            columns = [
                Readout(seen(k, coefficients), factor=count if p == 0 else -count)
                for k, count in enumerate(counts)
                for p, coefficients in enumerate(polarities)
            ]
        return Readouts(tuple(columns), offset=offset)

    def columns_per_weight(self) -> int:
        """A column for each cell of a weight."""
        slices = len(self._widths()) + (self.sign == "twos_complement")
        return slices * (2 if self.sign == "pair" else 1)
