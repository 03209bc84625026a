"""When to stop: rules over the values of units, each with the interval it then claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from population import Floats

from mho.statistics.intervals import t_quantile


@dataclass(frozen=True)
class Stop:
    """Units used at each age, the estimate there and its half-width; `reached` within the units that were drawn."""

    units: NDArray[np.int64]
    mean: Floats
    half: Floats
    reached: bool


Rule = Callable[[Floats, float], Stop]


@cache
def _t(n: int) -> float:
    return t_quantile(0.95, n - 1)


def _running(values: Floats) -> tuple[Floats, Floats]:
    n = np.arange(1, len(values) + 1)[:, None]
    mean = values.cumsum(0) / n
    centred = values - values[0]
    s2 = ((centred**2).cumsum(0) - n * (mean - values[0]) ** 2) / np.maximum(n - 1, 1)
    t = np.array([0.0, *(_t(k) for k in range(2, len(values) + 1))])[:, None]
    half = t * np.sqrt(np.maximum(s2, 0) / n)
    half[0] = np.inf
    return mean, half


def sequential(first: int, widened: float = 1.0, more: int = 0) -> Rule:
    """From unit `first` on: stop when the widest interval of all ages is small enough, `more` units later."""

    def rule(values: Floats, target: float) -> Stop:
        mean, half = _running(values)
        half = widened * half
        done = half.max(1) <= target
        done[: first - 1] = False
        i = min(int(done.argmax()) + more, len(values) - 1) if done.any() else len(values) - 1
        return Stop(np.full(values.shape[1], i + 1), mean[i], half[i], bool(done.any()))

    return rule


def each_age(first: int) -> Rule:
    """The same, but each age is left out as soon as its own interval is small enough."""

    def rule(values: Floats, target: float) -> Stop:
        mean, half = _running(values)
        done = half <= target
        done[: first - 1] = False
        i = np.where(done.any(0), done.argmax(0), len(values) - 1)
        ages = np.arange(values.shape[1])
        return Stop(i + 1, mean[i, ages], half[i, ages], bool(done.any(0).all()))

    return rule


def two_stage(first: int) -> Rule:
    """Stein 1945: the spread of the `first` units decides how many there will be; its t is kept. Exact for normal values."""

    def rule(values: Floats, target: float) -> Stop:
        s2, t = values[:first].var(0, ddof=1), _t(first)
        n = max(first, int(np.ceil((t * t * s2 / target**2).max())))
        used = min(n, len(values))
        half = t * np.sqrt(s2 / used)
        return Stop(np.full(values.shape[1], used), values[:used].mean(0), half, n <= len(values))

    return rule


ALL: dict[str, Rule] = {
    "from 8": sequential(8), "from 16": sequential(16), "from 8, 5 % wider": sequential(8, 1.05),
    "from 8, one more": sequential(8, more=1),
    "Stein, 12 first": two_stage(12), "each age by itself, from 8": each_age(8),
}  # fmt: skip
