"""Confidence intervals: Student's t for a mean, Wilson's for a share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mho.errors import WrongSetting
from mho.units import share


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, in the unit of the values."""

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, half: float) -> Interval:
        """value ± half."""
        return cls(value, value - half, value + half)

    @property
    def half_width(self) -> float:
        """Half the distance between the bounds; inf for a mean of one value."""
        return (self.high - self.low) / 2


def check_confidence(confidence: float | str) -> float:
    """The level as a number; a text such as "95%" is read as one.

    Raises:
        WrongSetting: It is no number, or does not lie between 0 and 1.
    """
    found = share(confidence, "confidence")
    if not 0 < found < 1:
        raise WrongSetting(f"confidence = {confidence}", "give a value between 0 and 1, as 0.95", path="confidence")
    return found


def t_quantile(confidence: float, freedom: float) -> float:
    """The t with P(|T| <= t) = confidence for Student's T; `freedom` = inf is the normal distribution."""
    from scipy.special import ndtri, stdtrit  # imported here: a third of a second, and few callers need it

    upper = (1 + check_confidence(confidence)) / 2
    return float(ndtri(upper) if math.isinf(freedom) else stdtrit(freedom, upper))


def mean_interval(values: ArrayLike, confidence: float = 0.95, *, widened: float = 1.0) -> Interval:
    """Student-t interval of the mean of n independent values.

    mean ± t(confidence, n - 1) · s / sqrt(n) with s² = Σ(x - mean)² / (n - 1).

    One value says nothing about the spread: the bounds are then -inf and +inf (never NaN), so that "run
    until the half-width is below 0.5" cannot stop after one chip. Equal values give an interval of width
    zero, which the formula means and few would believe: ask for more than two.

    Args:
        values: The n values.
        confidence: Level, e.g. 0.95.
        widened: Factor on the half-width.

    Raises:
        WrongSetting: No values, or a level outside (0, 1).
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    check_confidence(confidence)
    if x.size == 0:
        raise WrongSetting("a mean of no values", "measure at least one chip")
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, -math.inf, math.inf)
    half = widened * t_quantile(confidence, x.size - 1) * float(x.std(ddof=1)) / math.sqrt(x.size)
    return Interval.around(mean, half)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share.

    (p + z²/2n ± z·sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n) with p = successes/n. It stays inside [0, 1] and
    is not empty at 0 of n and n of n, where p ± z·sqrt(p(1 - p)/n) is. For n = 1 at 95 %: [0, 0.79] or
    [0.21, 1].

    Args:
        successes: How many of the trials.
        trials: n.
        confidence: Level, e.g. 0.95.

    Raises:
        WrongSetting: Not 0 <= successes <= trials, or no trials.

    References:
        Wilson 1927, J. Am. Stat. Assoc. 22:209; Brown, Cai, DasGupta 2001, Stat. Sci. 16:101.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise WrongSetting(f"{successes} of {trials}", "give 0 <= successes <= trials, and at least one trial")
    share, z = successes / trials, t_quantile(confidence, math.inf)
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if successes == 0 else (middle - spread) / scale
    high = 1.0 if successes == trials else (middle + spread) / scale
    return Interval(share, low, high)
