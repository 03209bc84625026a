"""`odd_cells`: cells that did not answer to programming, or unlike all others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mho.fitting.regression import Floats, Points, regress, sigma_of
from mho.fitting.shapes import none, polynomial

_NEIGHBOURS = 21
_FIRST = 7.0
"""Robust deviations from the neighbours' median beyond which a cell is odd at first sight."""
_ROUNDS = 6
_RAIL = 0.08
"""Share of the range around its ends in which an odd cell counts as stuck there."""


@dataclass(frozen=True)
class Odd:
    """A cell that is left out of the laws.

    Attributes:
        cell: Its place.
        why: ``stuck low``, ``stuck high``, ``programming`` or ``drift``.
        deviations: How many standard deviations it is off.
    """

    cell: int
    why: Literal["stuck low", "stuck high", "programming", "drift"]
    deviations: float


def deviations(y: Floats, variance: Floats, r: Floats) -> Floats:
    """How many standard deviations each value is off the others of its conductance; robust against a quarter of odd ones.

    Neighbours' median and median deviation first; then a mean and a spread that are linear in r are fitted to what is not odd,
    until nothing changes.
    """
    n = len(y)
    if n < 5:
        return np.zeros(n)
    order = np.argsort(r, kind="stable")
    z = np.empty(n)
    half = min(_NEIGHBOURS, n) // 2
    for place, cell in enumerate(order):
        start = min(max(place - half, 0), n - 2 * half - (n > 2 * half))
        near = y[order[max(start, 0) : start + 2 * half + 1]]
        middle = float(np.median(near))
        size = 1.4826 * float(np.median(np.abs(near - middle)))
        z[cell] = (y[cell] - middle) / max(size, math.sqrt(variance[cell]), 1e-12)
    kept, limit = np.abs(z) < _FIRST, threshold(n)
    slope = len(np.unique(r)) > 1
    basis = polynomial(int(slope)).basis(r)
    flat = none().basis(r) if n < 8 else basis
    for _ in range(_ROUNDS):
        points = Points(y, variance, np.ones(n), np.zeros(n, dtype=bool))
        found = regress(points, flat, basis, "identity", kept[None].astype(float))
        sigma = np.maximum(sigma_of(found.gamma, basis, "identity")[0], 0.0)
        v = np.maximum(sigma, 0.25 * np.median(sigma)) ** 2 + variance
        z = (y - (found.beta @ flat.T)[0]) / np.sqrt(np.maximum(v, 1e-24))
        now = np.abs(z) < limit
        if np.array_equal(now, kept):
            break
        kept = now
    return z


def threshold(n: int) -> float:
    """Deviations that one of n normal cells exceeds in one of twenty data sets."""
    from scipy.special import ndtri

    return float(-ndtri(0.05 / (2 * max(n, 2)))) + 0.5


def odd_cells(
    error_us: Floats, variance: Floats, g_us: Floats, r: Floats, rails_us: tuple[float, float]
) -> tuple[list[Odd], NDArray[np.bool_]]:
    """Cells whose conductance is far off their target, and which cells remain."""
    z = deviations(error_us, variance, r)
    low, high = rails_us
    odd = []
    for cell in np.flatnonzero(np.abs(z) >= threshold(len(z))):
        stuck_low = z[cell] < 0 and g_us[cell] <= low + _RAIL * (high - low)
        stuck_high = z[cell] > 0 and g_us[cell] >= high - _RAIL * (high - low)
        odd.append(
            Odd(int(cell), "stuck low" if stuck_low else "stuck high" if stuck_high else "programming", float(z[cell]))
        )
    kept = np.ones(len(z), dtype=bool)
    kept[[o.cell for o in odd]] = False
    return odd, kept
