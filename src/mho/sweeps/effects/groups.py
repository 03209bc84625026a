"""Points that are drawn, by the level of a factor: how they are grouped, and how groups are compared."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval, mean_interval, t_quantile
from mho.sweeps.effects.basis import Axis
from mho.sweeps.effects.measured import Measured
from mho.sweeps.proof import show

Floats = NDArray[np.float64]
PARTS = 5
"""Equal parts of a span in which levels are compared."""


def grouped(measured: Measured, axis: Axis, y: Floats) -> tuple[list[str], list[Floats]]:
    """Points by listed level, or by equal parts of a span: names, and what `y` has of them along its first axis."""
    path, levels = axis.path, measured.levels
    on = [i for i, point in enumerate(levels) if measured.active(path, point)]
    if axis.levels:
        texts = [show(level) for level in axis.levels]
        groups = [[i for i in on if show(levels[i][path]) == text] for text in texts]
    else:
        order = sorted(on, key=lambda i: levels[i][path])
        parts = max(1, min(PARTS, len(order) // 4))
        groups = [order[len(order) * k // parts : len(order) * (k + 1) // parts] for k in range(parts)]
        texts = [f"{levels[g[0]][path]:.3g} … {levels[g[-1]][path]:.3g}" if g else "" for g in groups]
    kept = [(text, y[group]) for text, group in zip(texts, groups, strict=True) if group]
    return [text for text, _ in kept], [group for _, group in kept]


def apart(one: Floats, other: Floats, confidence: float, widened: float = 1.0) -> Interval:
    """The difference of two means of points (P, S, C): Welch's interval over points, and over the units that both share.

    Half-widths add as squares; one unit alone adds nothing: then the interval is for that chip. A single point is no spread.
    `widened` is a factor on the half-width over points, for what is left beside a fit.
    """
    found = over_units(one.mean(axis=0) - other.mean(axis=0), confidence)
    values = [group.mean(axis=(1, 2)) for group in (one, other)]
    if min(map(len, values)) < 2:
        return Interval(found.value, -math.inf, math.inf)
    parts = [float(group.var(ddof=1)) / len(group) for group in values]
    half = found.half_width if math.isfinite(found.half_width) else 0.0
    if sum(parts) > 0:
        freedom = sum(parts) ** 2 / sum(v**2 / (len(g) - 1) for v, g in zip(parts, values, strict=True))
        half = math.hypot(half, widened * t_quantile(confidence, freedom) * math.sqrt(sum(parts)))
    return Interval.around(found.value, half)


def over_points(worths: Floats, confidence: float, widened: float = 1.0) -> Interval:
    """The mean of points (P, S, C) that are drawn, over other points and other units; half-widths add as squares."""
    found = mean_interval(worths.mean(axis=(1, 2)), confidence, widened=widened)
    units = over_units(worths.mean(axis=0), confidence)
    half = math.hypot(found.half_width, units.half_width if math.isfinite(units.half_width) else 0.0)
    return Interval.around(found.value, half)
