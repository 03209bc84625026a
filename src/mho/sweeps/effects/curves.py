"""`LevelCurve`: the score over the ages at a level of a factor, and how long it stays inside a budget."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mho.statistics.crossed import over_units
from mho.statistics.curves import Lifetime, lifetime
from mho.statistics.intervals import Interval
from mho.sweeps.effects.balanced import balanced
from mho.sweeps.effects.basis import Axis
from mho.sweeps.effects.groups import grouped, over_points
from mho.sweeps.effects.measured import Measured
from mho.sweeps.effects.regression import Model, alone
from mho.sweeps.proof import show

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LevelCurve:
    """What is measured at a level of a factor.

    Attributes:
        path: The factor.
        level: In words.
        means: Mean worth at each age with its interval.
        bands: Median and quartiles over all points, seeds and chips at this level: how wide the sweep is spread, no interval.
        life: When the mean loss against the digital networks leaves the budget; None where they are not stored.
        left_out: What is missing in the means, in words.
    """

    path: str
    level: str
    means: tuple[Interval, ...]
    bands: tuple[Interval, ...]
    life: Lifetime | None
    left_out: str = ""


def curves(measured: Measured, budget: float) -> list[LevelCurve]:
    """Of every level of every factor; in a grid all levels of a factor are measured with the same others."""
    lost = replace(measured, worths=measured.worths - measured.digital[:, :, None, None])
    paths = measured.plan.factors
    if not measured.plan.design.drawn:
        return [curve for path in paths for curve in _crossed(measured, lost, path, budget)]
    model = Model.of(measured) if measured.points.size else None
    return [curve for path in paths for curve in _drawn(measured, lost, path, budget, model)]


def _crossed(measured: Measured, lost: Measured, path: str, budget: float) -> list[LevelCurve]:
    cells, losses = balanced(measured, path), balanced(lost, path)
    if cells is None or losses is None:
        return []
    found = []
    for level, table, loss in zip(cells.levels[0], cells.worths, losses.worths, strict=True):
        means = tuple(over_units(table[..., a], measured.plan.confidence) for a in range(table.shape[-1]))
        name = show(level)
        rows = [
            i for i, point in enumerate(measured.levels) if measured.active(path, point) and show(point[path]) == name
        ]
        found.append(
            LevelCurve(path, name, means, _bands(measured.worths[rows]), _life(measured, loss, budget), cells.left_out)
        )
    return found


def _drawn(measured: Measured, lost: Measured, path: str, budget: float, model: Model | None) -> list[LevelCurve]:
    on = [point[path] for point in measured.levels if measured.active(path, point)]
    if not on:
        return []
    worths, widened = alone(model, path, measured.worths)
    losses, _ = alone(model, path, lost.worths)
    names, groups = grouped(measured, Axis.of(measured.plan, path, on), np.arange(len(measured.points), dtype=float))
    found = []
    for name, group in zip(names, groups, strict=True):
        rows = group.astype(int)
        means = tuple(
            over_points(worths[rows, ..., a], measured.plan.confidence, widened) for a in range(worths.shape[-1])
        )
        loss = losses[rows].mean(axis=(1, 2))[:, None]
        found.append(LevelCurve(path, name, means, _bands(measured.worths[rows]), _life(measured, loss, budget)))
    return found


def _bands(worths: Floats) -> tuple[Interval, ...]:
    low, middle, high = np.percentile(worths.reshape(-1, worths.shape[-1]), (25, 50, 75), axis=0)
    return tuple(Interval(float(m), float(a), float(b)) for m, a, b in zip(middle, low, high, strict=True))


def _life(measured: Measured, loss: Floats, budget: float) -> Lifetime | None:
    """The wider of the intervals over seeds and over chips, where both are drawn; of (S, C, A)."""
    if not np.isfinite(loss).all():
        return None
    tables = [loss.mean(axis=axis) for axis in (0, 1) if loss.shape[1 - axis] > 1] or [loss.mean(axis=0)]
    lives = [lifetime(measured.plan.ages, t, -budget, confidence=measured.plan.confidence) for t in tables]
    return replace(lives[0], low_s=min(life.low_s for life in lives), high_s=max(life.high_s for life in lives))
