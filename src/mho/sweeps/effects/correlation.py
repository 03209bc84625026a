"""`Correlation`: how factors and scores go together over points. A correlation is not an effect."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mho.statistics.intervals import Interval, t_quantile
from mho.sweeps.effects.balanced import is_numeric
from mho.sweeps.effects.measured import Measured

Floats = NDArray[np.float64]
FEWEST = 5
"""Points below which nothing is shown."""


@dataclass(frozen=True)
class Correlation:
    """Two columns over points of the design, at an age.

    Attributes:
        columns: Their names.
        age_s: The age.
        points: How many points both have a number in.
        pearson: Of values.
        spearman: Of ranks.
    """

    columns: tuple[str, str]
    age_s: float
    points: int
    pearson: Interval
    spearman: Interval


def correlations(measured: Measured) -> list[Correlation]:
    """Of the score and the loss with every factor whose levels are numbers, of these two, and of factors with each other.

    A point counts once, as the mean over its training seeds and chips. Columns that do not vary are left out, and so are factors
    without an order. Each interval stands for itself, as if points were drawn independently, by Fisher's transformation, for
    ranks with the variance (1 + r²/2)/(n - 3) (Bonett and Wright 2000, Psychometrika 65:23).
    """
    found: list[Correlation] = []
    numbers = {
        path: np.array(
            [float(levels[path]) if measured.active(path, levels) else math.nan for levels in measured.levels]
        )
        for path in measured.plan.factors
        if is_numeric([levels[path] for levels in measured.levels if measured.active(path, levels)])
    }
    sign = 1.0 if measured.score.form in ("share", "value") else -1.0
    for a, age in enumerate(measured.plan.ages):
        scores = {measured.score.label: sign * measured.worths[..., a].mean(axis=(1, 2))}
        if measured.score.name != "loss":
            scores["loss"] = measured.losses[..., a].mean(axis=(1, 2))
        columns = {**scores, **numbers}
        names = list(columns)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                if (pair := _pair(columns[one], columns[other], measured.plan.confidence)) is not None:
                    found.append(Correlation((one, other), age, *pair))
    return found


def _pair(one: Floats, other: Floats, confidence: float) -> tuple[int, Interval, Interval] | None:
    both = np.isfinite(one) & np.isfinite(other)
    x, y = one[both], other[both]
    if x.size < FEWEST or not np.ptp(x) > 0 or not np.ptp(y) > 0:
        return None
    return x.size, interval(x, y, confidence), interval(_ranks(x), _ranks(y), confidence, ranks=True)


def interval(x: ArrayLike, y: ArrayLike, confidence: float, *, ranks: bool = False) -> Interval:
    """Pearson's coefficient with Fisher's interval: tanh(artanh r ± t·sqrt(v/(n - 3))), v = 1, or 1 + r²/2 for ranks."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    a, b = a - a.mean(), b - b.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    r = float(np.clip(a @ b / math.sqrt(float(a @ a) * float(b @ b)), -1.0, 1.0))
    if abs(r) > 1 - 1e-12:
        return Interval(r, r, r)
    half = t_quantile(confidence, math.inf) * math.sqrt((1 + r * r / 2 if ranks else 1.0) / (a.size - 3))
    return Interval(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))


def _ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])
