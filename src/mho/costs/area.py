"""The area of the arrays of one matrix, component by component."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mho.costs.technology import Technology
from mho.costs.work import Product, converters_per_array, rate_hz
from mho.crossbar import Scheme
from mho.errors import WrongSetting


@dataclass(frozen=True)
class Piece:
    """What one component covers.

    Attributes:
        layer: Path of the matrix, or ``chip``.
        component: Its name.
        count: How many there are.
        area_um2: µm² of all of them; None where nothing is known.
        rests_on: Where the constant comes from.
    """

    layer: str
    component: str
    count: float
    area_um2: float | None
    rests_on: str


def pieces(path: str, scheme: Scheme, work: Product, arrays: int, technology: Technology) -> Iterator[Piece]:
    """What `arrays` whole arrays cover, used or not.

    Args:
        path: Of the matrix.
        scheme: Names the array.
        work: Names the resolution of the converters.
        arrays: Their number.
        technology: Its constants.
    """
    array = scheme.hw.array
    cells, squares = array.rows * array.cols * arrays, technology.cells.cell_area_f2
    area = None if squares is None else cells * squares * (technology.node_nm * 1e-3) ** 2
    yield Piece(path, "cells", cells, area, technology.rests_on("cells") if area is not None else "")
    converters = converters_per_array(scheme, technology) * arrays
    bits = max(work.conversions)
    each = technology.adc.area_um2(bits, technology.node_nm, rate_hz(technology, bits, work))
    yield Piece(path, "adc", converters, None if each is None else each * converters, technology.rests_on("adc"))
    numbers = {
        "row_driver": array.rows * arrays, "sample_hold": array.cols * arrays, "integrator": array.cols * arrays,
        "shift_add": converters,
    }  # fmt: skip
    for name, count in numbers.items():
        if name in technology.components:
            one = technology.area(technology.components[name])
            yield Piece(path, name, count, None if one is None else one * count, technology.rests_on(name))


def standing(technology: Technology, arrays: int) -> dict[str, float]:
    """How many of each standing part belong to so many arrays: of tiles and chips a share, as large as that of their arrays.

    Raises:
        WrongSetting: No arrays.
    """
    if arrays < 1:
        raise WrongSetting(f"{arrays} arrays", "give one at least", path="arrays")
    tiles = arrays / technology.arrays_per_tile
    return {
        "array": arrays,
        "tile": tiles,
        "chip": tiles / technology.tiles_per_chip if technology.tiles_per_chip else 1.0,
    }
