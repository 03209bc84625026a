"""How much a change costs at most, from answers to the same samples before and after it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from mho.errors import WrongSetting
from mho.statistics.intervals import check_confidence


def most_lost(before: ArrayLike, after: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """What is lost of a mean, and a one-sided upper bound of the loss: Tango's score bound for right and wrong.

    With b samples that only `before` got right, c that only `after` did, and N in all, the loss is (b - c)/N and the
    bound is the Δ at which (b - c - NΔ)/sqrt(N (2 q + Δ - Δ²)) = -z, where q is the likeliest share of c given Δ:
    q = (sqrt(B² - 4AC) - B)/2A with A = 2N, B = -b - c + (2N - b + c) Δ, C = -c Δ (1 - Δ). It is above zero where
    nothing differs, z²/(N + z²), unlike the bounds of Wald and of the bootstrap.

    For numbers of which more is better the bound is Student's, d + t·s/sqrt(N) with the mean d and the standard deviation s
    of the samples' differences.

    Args:
        before: Booleans (N,), whether each sample was right, or numbers.
        after: The same, of the same samples.
        confidence: Of the bound, e.g. 0.95.

    Raises:
        WrongSetting: Different numbers of samples, none, or a level outside (0, 1).

    References:
        Tango 1998, Statistics in Medicine 17:891.
    """
    from scipy.special import ndtri, stdtrit  # imported here: a third of a second, and few callers need it

    first, second = np.asarray(before), np.asarray(after)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise WrongSetting(f"answers of shapes {first.shape} and {second.shape}", "give one answer a sample, for both")
    n = first.size
    if first.dtype != np.bool_:
        difference = first.astype(np.float64) - second
        spread = float(difference.std(ddof=1)) if n > 1 else math.inf
        t = float(stdtrit(max(n - 1, 1), check_confidence(confidence)))
        return float(difference.mean()), float(difference.mean()) + t * spread / math.sqrt(n)
    lost, won = int((first & ~second).sum()), int((~first & second).sum())
    z = float(ndtri(check_confidence(confidence)))
    low, high = max((lost - won) / n, -1 + 1e-12), 1.0
    if z <= 0:
        raise WrongSetting(f"confidence {confidence} of a one-sided bound", "give more than 0.5", path="confidence")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _score(middle, lost, won, n) > -z else (low, middle)
    return (lost - won) / n, high


def _score(delta: float, lost: int, won: int, n: int) -> float:
    a, b, c = 2 * n, -lost - won + (2 * n - lost + won) * delta, -won * delta * (1 - delta)
    share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * share + delta * (1 - delta))
    distance = lost - won - n * delta
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)
