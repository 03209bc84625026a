"""`Surface`: the score over two factors, measured where the design crosses them, fitted where points are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval, t_quantile
from mho.sweeps.effects.balanced import balanced
from mho.sweeps.effects.basis import Axis
from mho.sweeps.effects.measured import Measured
from mho.sweeps.proof import show

Floats = NDArray[np.float64]
PLACES = 7
"""Places along a span at which a fit is shown."""


@dataclass(frozen=True)
class Surface:
    """Means over two factors.

    Attributes:
        paths: Both.
        levels: Of both, in words.
        ages_s: The ages.
        cells: By age, then level of the first, then of the second: worths with their intervals.
        error: Root mean square error by age in predicting a point that was left out, in worths; empty where cells are measured.
        left_out: What is missing, in words.
    """

    paths: tuple[str, str]
    levels: tuple[tuple[str, ...], tuple[str, ...]]
    ages_s: tuple[float, ...]
    cells: tuple[tuple[tuple[Interval, ...], ...], ...]
    error: tuple[float, ...] = ()
    left_out: str = ""

    @property
    def name(self) -> str:
        """Both factors."""
        return " × ".join(self.paths)


def surface(measured: Measured, one: str, other: str) -> Surface | None:
    """The surface of two factors, the mean over all others as the design has them; None where they are not crossed."""
    return _fitted(measured, one, other) if measured.plan.design.drawn else _cells(measured, one, other)


def _cells(measured: Measured, one: str, other: str) -> Surface | None:
    found = balanced(measured, one, other)
    if found is None:
        return None
    cells = tuple(
        tuple(tuple(over_units(table[..., a], measured.plan.confidence) for table in row) for row in found.worths)
        for a in range(len(measured.plan.ages))
    )
    levels = tuple(map(show, found.levels[0])), tuple(map(show, found.levels[1]))
    return Surface((one, other), levels, measured.plan.ages, cells, left_out=found.left_out)


def _fitted(measured: Measured, one: str, other: str) -> Surface | None:
    """A polynomial of both factors, of degree 3 alone and 2 together, less where points are few; of these two alone, so that
    what others do counts as noise."""
    rows = [i for i, p in enumerate(measured.levels) if measured.active(one, p) and measured.active(other, p)]
    levels = [measured.levels[i] for i in rows]
    if len(rows) < 6:
        return None
    axes = [Axis.of(measured.plan, path, [point[path] for point in levels]) for path in (one, other)]
    places = [_places(axis) for axis in axes]
    for degrees in ((3, 2), (2, 1), (1, 1), (1, 0)):
        matrix = _matrix(axes, [[point[axis.path] for point in levels] for axis in axes], degrees)
        if matrix.shape[1] <= len(rows) / 3:
            break
    else:
        return None
    grid = [(a, b) for a in places[0] for b in places[1]]
    asked = _matrix(axes, [[a for a, _ in grid], [b for _, b in grid]], degrees)
    inverse = np.linalg.pinv(matrix.T @ matrix)
    hat = np.einsum("ij,jk,ik->i", matrix, inverse, matrix)
    reach = np.einsum("ij,jk,ik->i", asked, inverse, asked)
    freedom = len(rows) - np.linalg.matrix_rank(matrix)
    t = t_quantile(measured.plan.confidence, float(freedom))
    cells, errors = [], []
    for a in range(len(measured.plan.ages)):
        y = measured.worths[rows][..., a].mean(axis=(1, 2))
        beta = inverse @ matrix.T @ y
        residual = y - matrix @ beta
        errors.append(float(np.sqrt(np.mean((residual / np.maximum(1 - hat, 1e-3)) ** 2))))
        half = t * math.sqrt(float(residual @ residual) / freedom) * np.sqrt(reach)
        flat = [Interval(float(v), float(v - h), float(v + h)) for v, h in zip(asked @ beta, half, strict=True)]
        wide = len(places[1])
        cells.append(tuple(tuple(flat[i * wide : (i + 1) * wide]) for i in range(len(places[0]))))
    names = [
        tuple(show(place) if axis.levels else f"{place:.3g}" for place in some)
        for axis, some in zip(axes, places, strict=True)
    ]
    return Surface((one, other), (names[0], names[1]), measured.plan.ages, tuple(cells), tuple(errors))


def _places(axis: Axis) -> list[object]:
    if axis.levels:
        return list(axis.levels)
    along = np.linspace(*axis.ends, PLACES)
    return [float(x) for x in (np.exp(along) if axis.log else along)]


def _matrix(axes: list[Axis], levels: list[list[object]], degrees: tuple[int, int]) -> Floats:
    counts = [True] * len(levels[0])
    alone = [axis.columns(some, counts, degrees[0], centred=False) for axis, some in zip(axes, levels, strict=True)]
    both = [axis.columns(some, counts, degrees[1], centred=False) for axis, some in zip(axes, levels, strict=True)]
    product = (both[0][:, :, None] * both[1][:, None, :]).reshape(len(counts), -1)
    return np.hstack([np.ones((len(counts), 1)), *alone, *([product] if degrees[1] else [])])
