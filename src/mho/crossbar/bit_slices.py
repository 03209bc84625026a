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
    """w = W/F with a whole number W, |W| < 2^(b-1), whose digits stand in cells of their own.

    The quantiser says what W is, in weights of the scale that `mapping` gives (largest, clipped, or 1 for all):

    - ``symmetric``: W = round(w F) with F = 2^(b-1) - 1, so that the largest weight is the largest number.
    - ``wage``: W = round(w F) with F = 2^(b-1), at most F - 1 (Wu et al. 2018, eq. 5 and 6). With `mapping.scale` 'unit' as
      published; with 'tensor' the weights are divided by their largest, and the output is multiplied with it.
    - ``neurosim``: W + F = round(F (w + 1)) with F = (2^b - 1)/2, sign 'offset' alone: half-way numbers, none of which is 0.

    Digits d of c bits are counted from the lowest; a cell holds g = g_min + (g_max - g_min)·d/(2^c - 1). What the columns of a
    slice give is weighted with the place of its digit.

    - sign ``pair``: the digits of |W|, of b - 1 bits, each in a differential pair; the cell of the other sign rests at g_min.
    - sign ``offset``: the digits of W + 2^(b-1) (W + F for 'neurosim'), of b bits; the constant part is removed from the sum of
      the inputs, or by columns of the array that hold it and that all columns share: of cells like all others, or of fixed
      resistors. Noise of products in such a column is drawn for every column that it serves.
    - sign ``twos_complement``: the digits of the lower b - 1 bits of W; its sign stands in a cell of two states and counts
      negative.

    A cell of more bits than are left for the highest digit uses only its lower states.

    Raises:
        WrongSetting: More bits in a list of slices than the digits have, or too few; a reference of what has no offset.

    References:
        Shafiee et al. 2016 (ISAAC: offset, slices of 2 bits); Xiao et al. 2021, arXiv:2109.01262 (pairs and offset in slices);
        Wu et al. 2018, arXiv:1802.04680 (WAGE); Peng et al. 2019, IEDM (DNN+NeuroSim: offset with a dummy column).
    """

    straight_through: ClassVar[bool] = True
    later: ClassVar[tuple[str, ...]] = ("quantiser",)
    kind: Literal["bit_sliced"] = "bit_sliced"
    bits: int = Field(default=8, ge=2, le=16)
    """b, bits of a weight, its sign among them."""
    cell_bits: int | tuple[int, ...] = 4
    """c, bits of a cell; or those of each slice, from the lowest digit on."""
    sign: Literal["pair", "offset", "twos_complement"] = "pair"
    """How negative weights are held."""
    quantiser: Literal["symmetric", "wage", "neurosim"] = "symmetric"
    """How weights become whole numbers."""
    reference: Literal["digital", "column", "fixed_column"] = "digital"
    """Who removes the constant part of sign 'offset', or the conductance of the lowest states: the digital side, a column of
    cells, or a column of fixed resistors, which have no errors."""
    subtract: Literal["analog", "digital"] = "analog"
    """Of a pair, or of a column and its reference: currents are subtracted before one conversion, or each is converted on its
    own."""
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
        if self.sign != "pair" and self.reference == "digital" and self.subtract != "analog":
            raise WrongSetting(f"nothing is subtracted with sign '{self.sign}'", "subtract is of pairs and reference columns",
                               path="subtract")  # fmt: skip
        if self.quantiser == "neurosim" and (self.sign != "offset" or sum(widths) != digits):
            raise WrongSetting(
                f"quantiser 'neurosim' with sign '{self.sign}' and slices of {', '.join(map(str, widths))} bits",
                "its numbers are 0 to 2^bits - 1: sign 'offset', and cells that hold all bits and no more", path="quantiser",
            )  # fmt: skip
        return self

    @property
    def _full(self) -> float:
        """F, the number of a weight of 1."""
        exact = {
            "symmetric": 2 ** (self.bits - 1) - 1,
            "wage": 2 ** (self.bits - 1),
            "neurosim": (2**self.bits - 1) / 2,
        }
        return exact[self.quantiser]

    @property
    def _middle(self) -> float:
        """What sign 'offset' adds."""
        return self._full if self.quantiser == "neurosim" else 2 ** (self.bits - 1)

    def _whole(self, weight: Tensor) -> Tensor:
        """W; of 'neurosim', W + F."""
        full, largest = self._full, 2 ** (self.bits - 1) - 1
        if self.quantiser == "neurosim":
            return ((weight + 1) * full).round().clamp(0, 2 * full)
        return (weight * full).round().clamp(-largest, largest)  # training's noise reaches beyond 1

    @property
    def _digit_bits(self) -> int:
        return self.bits if self.sign == "offset" else self.bits - 1

    @property
    def _parts(self) -> int:
        """Slices, and the sign's cells where they stand apart."""
        return len(self._widths()) + (self.sign == "twos_complement")

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
        if cell.levels is not None and self.quantiser == "neurosim" and self.reference == "column":
            raise WrongSetting(
                f"a reference column of half-way states in cells of {cell.levels} states",
                "set encoding.reference to 'fixed_column' or 'digital', or cell.levels to null", path="cell.levels",
            )  # fmt: skip
        if cell.levels is not None and widths != [math.log2(cell.levels)]:
            wanted = f"{2 ** widths[0]}" if len(widths) == 1 else "null: slices of several widths have different states"
            raise WrongSetting(
                f"cells of {cell.levels} states cannot hold digits of {' and '.join(map(str, widths))} bits",
                f"set cell.levels to {wanted}", path="cell.levels",
            )  # fmt: skip

    def encode(self, weight: Tensor, cell: Cell) -> list[Tensor]:
        """Targets slice by slice: [g⁺, g⁻] of a pair, [g] or [g, reference column] else; the sign's cells last."""
        span, whole, half = cell.g_max_us - cell.g_min_us, self._whole(weight), 2.0 ** (self.bits - 1)
        negative = (whole < 0).to(whole)
        found: list[Tensor] = []

        def hold(state: Tensor, width: int) -> Tensor:
            return cell.g_min_us + span * state / (2**width - 1)

        for place, width in self._slices():
            if self.sign == "pair":
                size = digit(whole.abs(), place, width)
                found += [hold(size * (1 - negative), width), hold(size * negative, width)]
                continue
            moved = half * negative if self.sign == "twos_complement" else half * (self.quantiser != "neurosim")
            found.append(hold(digit(whole + moved, place, width), width))
            if self.reference != "digital":
                rest = torch.full_like(weight[:, :1], half if self.sign == "offset" else 0.0)
                state = (
                    torch.full_like(rest, (2**width - 1) / 2)
                    if self.quantiser == "neurosim"
                    else digit(rest, place, width)
                )
                found.append(hold(state, width))
        if self.sign == "twos_complement":
            found.append(hold(negative, 1))
            if self.reference != "digital":
                found.append(torch.full_like(weight[:, :1], cell.g_min_us))
        return found

    def exact_planes(self) -> frozenset[int]:
        """The fixed column of each slice."""
        return frozenset(range(1, 2 * self._parts, 2)) if self.reference == "fixed_column" else frozenset()

    def readouts(self, cell: Cell) -> Readouts:
        """One readout a slice (a polarity of it, where they are subtracted digitally), or one for all."""
        unit, full = 1 / (cell.g_max_us - cell.g_min_us), self._full
        counts = [2**place * (2**width - 1) / full for place, width in self._slices()]
        if self.sign == "twos_complement":
            counts.append(-(2 ** (self.bits - 1)) / full)
        planes = 2 if self.sign == "pair" or self.reference != "digital" else 1
        each = (unit, -unit) if planes == 2 else (unit,)
        rest = [0.0] * (planes * len(counts))

        def seen(slice_: int, coefficients: tuple[float, ...]) -> tuple[float, ...]:
            first = planes * slice_
            return (*rest[:first], *coefficients, *rest[first + planes :])

        offset = 0.0
        if planes == 1:
            middle = self._middle / full if self.sign == "offset" else 0.0
            offset = middle + unit * cell.g_min_us * sum(counts)
        polarities = [(unit, 0.0), (0.0, unit)] if self.subtract == "digital" else [each]
        if self.shift_and_add == "analog":
            columns = [
                Readout(
                    tuple(count * c for count in counts for c in coefficients),
                    factor=1.0 if p == 0 else -1.0,
                    step=1 / full,
                )
                for p, coefficients in enumerate(polarities)
            ]
        else:
            columns = [
                Readout(seen(k, coefficients), factor=count if p == 0 else -count, step=1 / (2**width - 1))
                for k, (count, width) in enumerate(zip(counts, [*self._widths(), 1], strict=False))
                for p, coefficients in enumerate(polarities)
            ]
        return Readouts(tuple(columns), offset=offset)

    def columns_per_weight(self) -> int:
        """A column for each cell of a weight."""
        return self._parts * (2 if self.sign == "pair" else 1)
