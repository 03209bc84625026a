"""How well laws describe what was measured: are the deviations normal, is the law of time a power."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mho.fitting.regression import Floats

_DRAWS = 400
_GROUPS = 8


@dataclass(frozen=True)
class Goodness:
    """How standardised deviations compare with a normal distribution.

    Attributes:
        cells: How many there are.
        beyond_2: Share beyond two standard deviations; 4.6 % of normal ones.
        beyond_3: Beyond three; 0.27 %.
        p: Of the largest distance to the normal distribution (Lilliefors); small: they are not normal.
    """

    cells: int
    beyond_2: float
    beyond_3: float
    p: float

    def __str__(self) -> str:
        verdict = "not normal" if self.p < 0.01 else "may be normal"
        return f"{100 * self.beyond_2:.1f} % beyond 2 σ (normal: 4.6), {verdict} (p = {self.p:.2g})"


def goodness(z: Floats, seed: int = 0) -> Goodness:
    """Of standardised deviations, whose mean and spread were fitted.

    References:
        Lilliefors 1967, J. Am. Stat. Assoc. 62:399; its distribution is drawn here.
    """
    n = len(z)
    rng = np.random.default_rng(seed)
    sample = min(n, 1000)
    shown = z if n == sample else rng.choice(z, sample, replace=False)
    null = _distance(rng.standard_normal((_DRAWS, sample)))
    p = (1 + int((null >= _distance(shown[None])[0]).sum())) / (1 + _DRAWS)
    return Goodness(n, float(np.mean(np.abs(z) > 2)), float(np.mean(np.abs(z) > 3)), p)


def _distance(z: Floats) -> Floats:
    from scipy.special import ndtr

    n = z.shape[1]
    z = np.sort((z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, ddof=1, keepdims=True), axis=1)
    at, step = ndtr(z), np.arange(n)
    return np.asarray(np.maximum(at - step / n, (step + 1) / n - at).max(axis=1))


@dataclass(frozen=True)
class OverTime:
    """Mean deviation from the cells' own laws in each of some groups of times.

    Attributes:
        time_s: Middle of each group.
        mean: Mean deviation, in standard deviations of a reading.
        error: Its standard error.
        p: Of the largest, with regard to how many there are; small: the law of time is not a power.
    """

    time_s: Floats
    mean: Floats
    error: Floats
    p: float


def over_time(time_s: Floats, z: Floats) -> OverTime | None:
    """Whether residuals (C, J) of the cells' power laws have a trend in time; none for fewer than three times.

    Cells, not readings, are what is independent.
    """
    from scipy.special import stdtr

    there = np.isfinite(z) & np.isfinite(time_s)
    times = np.unique(time_s[there])
    if len(times) < 3:
        return None
    groups = np.array_split(times, min(_GROUPS, len(times)))
    middle, mean, error, p = [], [], [], []
    for group in groups:
        inside = there & (time_s >= group[0]) & (time_s <= group[-1])
        count = inside.sum(axis=1)
        cells = count > 0
        if cells.sum() < 3:
            continue
        each = np.where(inside, z, 0.0).sum(axis=1)[cells] / count[cells]
        middle.append(float(np.exp(np.log(np.maximum(group, 1e-12)).mean())))
        mean.append(float(each.mean()))
        error.append(max(float(each.std(ddof=1) / np.sqrt(len(each))), 1e-12))
        p.append(2 * float(stdtr(len(each) - 1, -abs(mean[-1] / error[-1]))))
    if len(middle) < 3:
        return None
    return OverTime(np.array(middle), np.array(mean), np.array(error), min(1.0, len(p) * min(p)))
