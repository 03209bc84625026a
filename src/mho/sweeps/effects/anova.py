"""Effects from cell means: analysis of variance in which chips and training seeds are blocks, the same in every cell."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval
from mho.statistics.within import within
from mho.sweeps.effects.balanced import Balanced, balanced
from mho.sweeps.effects.effect import Effect
from mho.sweeps.effects.measured import Measured
from mho.sweeps.effects.shares import Shares
from mho.sweeps.proof import show

Floats = NDArray[np.float64]


def of_cells(measured: Measured) -> list[Effect]:
    """Every effect at every age.

    The contrasts of an effect are taken on each chip (and seed), where what chips have in common drops out; the error is how
    much they differ between chips. Shares of the variance are less what noise alone would give.
    """
    if not measured.points.size:
        return []
    found: list[Effect] = []
    paths = [*measured.plan.factors]
    shares = [Shares.of(measured.worths[..., a], measured.plan.confidence) for a in range(len(measured.plan.ages))]
    for names in [*((path,) for path in paths), *combinations(paths, 2)]:
        cells = balanced(measured, *names)
        if cells is not None:
            found += [_effect(measured, cells, a, shares[a]) for a in range(len(measured.plan.ages))]
    return found


def _effect(measured: Measured, cells: Balanced, age: int, shares: Shares) -> Effect:
    table, confidence = cells.worths[..., age], measured.plan.confidence
    z = contrasts(table)
    tested = within(z, float(np.abs(table).max()))
    largest, between = _largest(cells, table, confidence)
    each = cells.share / math.prod(map(len, cells.levels))
    return Effect(
        cells.paths, measured.plan.ages[age], math.nan if tested is None else tested.p,
        shares.share(z, each, 0.0 if tested is None else tested.error), largest, between,
        "" if tested is None else f"F({tested.freedom[0]:.3g}, {tested.freedom[1]:.3g}) = {tested.f:.3g}", cells.left_out,
    )  # fmt: skip


def contrasts(table: Floats) -> Floats:
    """Orthonormal contrasts (q, S, C) of cells (a, S, C) or (a, b, S, C): of the main effect, or of the interaction alone."""
    for axis in range(table.ndim - 2):
        table = np.moveaxis(np.tensordot(_helmert(table.shape[axis]), table, axes=(1, axis)), 0, axis)
    return table.reshape(-1, *table.shape[-2:])


def _helmert(levels: int) -> Floats:
    """(levels - 1, levels): each level less the mean of those before it, of length 1."""
    found = np.zeros((levels - 1, levels))
    for i in range(1, levels):
        found[i - 1, :i], found[i - 1, i] = -1.0, i
        found[i - 1] /= math.sqrt(i * (i + 1))
    return found


def _largest(cells: Balanced, table: Floats, confidence: float) -> tuple[Interval, str]:
    """The largest difference, with an interval that holds for all pairs of levels at once (Bonferroni)."""
    mean = table.mean(axis=(-2, -1))
    pairs = [list(combinations(range(len(levels)), 2)) for levels in cells.levels]
    level = 1 - (1 - confidence) / math.prod(map(len, pairs))
    names = [[show(one) for one in levels] for levels in cells.levels]
    if len(pairs) == 1:
        best, worst = int(mean.argmax()), int(mean.argmin())
        if best == worst:
            best, worst = 0, 1
        return over_units(table[best] - table[worst], level), f"{names[0][best]} over {names[0][worst]}"
    # Between two levels of the second factor, where does a level of the first gain most, and where does it lose most?
    gap, c, d = max((float(np.ptp(mean[:, c] - mean[:, d])), c, d) for c, d in pairs[1])
    over = mean[:, c] - mean[:, d]
    a, b = (int(over.argmax()), int(over.argmin())) if gap else (0, 1)
    if mean[a].mean() < mean[b].mean():  # told of the better level
        a, b, c, d = b, a, d, c
    told = f"{names[0][a]} over {names[0][b]}, more at {names[1][c]} than at {names[1][d]}"
    return over_units(table[a, c] - table[b, c] - table[a, d] + table[b, d], level), told
