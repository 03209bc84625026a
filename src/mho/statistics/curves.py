"""Lifetime and yield from a matrix of accuracies, chips × ages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mho.errors import WrongSetting
from mho.statistics.intervals import t_quantile, wilson_interval
from mho.statistics.tails import TAIL, chips_to_see, ranks, unseen
from mho.units import show_time

Floats = NDArray[np.float64]
Statistic = Literal["mean"] | float
RESAMPLES = 2_000
_EQUAL = 1e-12
"""An accuracy this close below the floor is on it: 0.92 - 0.01 is not 0.91 in binary."""


@dataclass(frozen=True)
class Lifetime:
    """The age at which a statistic over chips first leaves the budget.

    Args:
        t_s: The age in seconds. The last measured age when `beyond`, the first when `before`.
        low_s: Lower bound of its interval; 0 when that lies before the first measured age.
        high_s: Upper bound; inf when that lies beyond the last measured age.
        beyond: Still inside at the last measured age: `t_s` is a lower bound.
        before: Already outside at the first measured age: `t_s` is an upper bound.
        chips_wanted: Chips with which the lower bound of a percentile over chips would be known; 0 where it is, and for the
            mean.
    """

    t_s: float
    low_s: float
    high_s: float
    beyond: bool = False
    before: bool = False
    chips_wanted: int = 0

    def __str__(self) -> str:
        if self.chips_wanted and not self.before:
            text = f"at least {show_time(self.t_s)}" if self.beyond else _roughly(self.t_s)
            return f"{text} [tail not known; {self.chips_wanted} chips would tell]"
        if self.beyond:
            return f"at least {show_time(self.t_s)}"
        if self.before:
            return "none" if self.t_s == 0 else f"less than {show_time(self.t_s)}"
        text = _roughly(self.t_s)
        return f"{text} [{', '.join(self._bounds(text)) if self.known else 'unknown'}]"

    @property
    def known(self) -> bool:
        """Whether at least one bound lies among the measured ages."""
        return self.low_s > 0 or self.high_s < math.inf

    def _bounds(self, text: str) -> list[str]:
        known = [_roughly(t) for t in (self.low_s, self.high_s) if 0 < t < math.inf]
        units = {shown.split()[1].rstrip("s") for shown in [text, *known]}
        if len(units) == 1:
            known = [shown.split()[0] for shown in known]
        low = [] if self.low_s > 0 else ["before the first age"]
        high = [] if self.high_s < math.inf else ["beyond the last age"]
        return [*low, *known, *high]


@dataclass(frozen=True)
class Yield:
    """The share of chips inside the budget at an age, with its Wilson interval.

    Args:
        age_s: The age, s.
        inside: Chips inside.
        chips: Chips measured.
        share: Their quotient.
        low: Lower bound of its interval.
        high: Upper bound.
        confidence: Level of the interval.
    """

    age_s: float
    inside: int
    chips: int
    share: float
    low: float
    high: float
    confidence: float = 0.95

    @property
    def tail(self) -> str:
        """What is not known of rare chips, in words; empty where one was seen outside, or as many as would show one in twenty."""
        wanted = chips_to_see(TAIL, self.confidence)
        if self.inside < self.chips or self.chips >= wanted:
            return ""
        return (
            f"up to {100 * unseen(self.chips, self.confidence):.0f} % of all chips may be worse than the "
            f"{self.chips} measured; {wanted} would tell of one in twenty"
        )

    def __str__(self) -> str:
        return f"{100 * self.share:.0f} % [{100 * self.low:.0f}, {100 * self.high:.0f}]"


def _roughly(t_s: float) -> str:
    """`show_time` with two significant digits: an interpolated age is not known better."""
    number, unit = show_time(t_s).split(" ")
    return f"{float(f'{float(number):.2g}'):g} {unit}"


def log_age(t_s: ArrayLike, ages_s: Sequence[float]) -> Floats:
    """The time axis on which everything is interpolated: ln(t + offset).

    The offset is 0, and a tenth of the first positive age where an age of 0 was measured, so that "just
    programmed" has a place on the axis, one decade before the next age.
    """
    return np.log(np.asarray(t_s, dtype=np.float64) + _offset(ages_s))


def _offset(ages_s: Sequence[float]) -> float:
    if ages_s[0] > 0:
        return 0.0
    return ages_s[1] / 10 if len(ages_s) > 1 else 1.0


def _checked(ages_s: Sequence[float], accuracy: ArrayLike) -> tuple[list[float], Floats]:
    ages, table = [float(t) for t in ages_s], np.asarray(accuracy, dtype=np.float64)
    if not ages or ages[0] < 0 or ages != sorted(set(ages)) or not math.isfinite(ages[-1]):
        raise WrongSetting(f"ages {ages} s", "ages increase, are finite and >= 0")
    if table.ndim != 2 or table.shape[1] != len(ages) or table.shape[0] < 1:
        raise WrongSetting(
            f"accuracy of shape {table.shape}", f"it needs shape (chips, {len(ages)}), at least one chip"
        )
    return ages, table


def _statistic(table: Floats, statistic: Statistic) -> Floats:
    if statistic == "mean":
        return np.asarray(table.mean(axis=0))
    return np.asarray(np.percentile(table, statistic, axis=0))


def _check_statistic(statistic: Statistic) -> None:
    number = isinstance(statistic, (int, float)) and not isinstance(statistic, bool)
    if statistic != "mean" and not (number and 0 <= float(statistic) <= 100):
        raise WrongSetting(
            f"statistic {statistic!r}",
            "'mean', or a percentile over chips between 0 and 100",
            path="statistic",
        )


def _first_crossing(ages: list[float], curves: Floats, floor: float) -> Floats:
    """Ages (B,) at which curves (B, A) first fall below the floor: 0 if they begin below, inf if never."""
    x = log_age(ages, ages)
    below = curves < floor - _EQUAL
    after = np.maximum(below.argmax(axis=1), 1) if len(ages) > 1 else np.zeros(len(curves), dtype=np.int64)
    rows, before = np.arange(len(curves)), np.maximum(after - 1, 0)
    high, low = curves[rows, before], curves[rows, after]
    fall = np.where(high > low, high - low, 1.0)
    share = np.clip((high - floor) / fall, 0.0, 1.0)
    t = np.exp(x[before] + share * (x[after] - x[before])) - _offset(ages)
    t = np.clip(t, ages[0], ages[-1])
    t[~below.any(axis=1)] = np.inf
    t[below[:, 0]] = 0.0
    return np.asarray(t)


def resampled(table: Floats, rng: np.random.Generator) -> Floats:
    """The mean curve (RESAMPLES, places) over chips, or other curves, drawn with replacement."""
    chips = len(table)
    counts = rng.multinomial(chips, np.full(chips, 1 / chips), size=RESAMPLES)
    return np.asarray(counts @ table / chips)


def expanded(statistics: Floats, n: int, confidence: float) -> tuple[float, float]:
    """Expanded percentiles, Φ(∓ t(confidence, n - 1)·sqrt(n/(n - 1))), of a bootstrap over n things; plain ones are too narrow.

    References:
        Hesterberg 2015, The American Statistician 69:371, section 3.3.
    """
    from scipy.special import ndtr

    found = np.sort(statistics)
    tail = float(ndtr(-t_quantile(confidence, n - 1) * math.sqrt(n / (n - 1))))
    last = len(found) - 1
    return float(found[math.floor(tail * last)]), float(found[math.ceil((1 - tail) * last)])


def lifetime(
    ages_s: Sequence[float],
    accuracy: ArrayLike,
    floor: float,
    *,
    statistic: Statistic = "mean",
    confidence: float = 0.95,
    seed: int = 0,
) -> Lifetime:
    """The age at which the mean accuracy, or a percentile over chips, first falls below `floor`.

    Between measured ages accuracy is linear in ln t (`log_age`). The interval of the mean is a bootstrap over chips,
    2,000 resamples, each a whole chip with all its ages: it holds for this test set. Its percentiles are
    the *expanded* ones, Φ(∓ t(confidence, C - 1)·sqrt(C/(C - 1))), because plain ones are too narrow for
    few chips. One chip gives [0, inf].

    The interval of a percentile lies between two of the chips' own lifetimes in their order (`tails.ranks`), whatever their
    distribution. Few chips say nothing about a tail: its lower bound is then 0, and `chips_wanted` how many would tell.

    Args:
        ages_s: Measured ages (A,) in seconds, increasing.
        accuracy: Accuracies (C, A) in [0, 1].
        floor: Lowest accuracy inside the budget.
        statistic: "mean", or a percentile such as 5: the age until which 95 % of chips are inside.
        confidence: Level of the interval.
        seed: Seed of the bootstrap.

    Raises:
        WrongSetting: Ages that do not increase, a table of another shape, or an unknown statistic.

    References:
        Hesterberg 2015, The American Statistician 69:371, section 3.3 (expanded percentile interval).
    """
    ages, table = _checked(ages_s, accuracy)
    _check_statistic(statistic)
    estimate = float(_first_crossing(ages, _statistic(table, statistic)[None], floor)[0])
    chips, wanted = len(table), 0
    if statistic != "mean":
        own = np.sort(_first_crossing(ages, table, floor))
        lower, upper = ranks(chips, statistic / 100, confidence)
        low = float(own[lower - 1]) if lower else 0.0
        high = float(own[upper - 1]) if upper <= chips else math.inf
        wanted = 0 if lower or not 0 < statistic < 100 else chips_to_see(statistic / 100, confidence)
    elif chips == 1:
        low, high = 0.0, math.inf
    else:
        curves = resampled(table, np.random.default_rng(abs(int(seed))))
        low, high = expanded(_first_crossing(ages, curves, floor), chips, confidence)
    beyond, before = math.isinf(estimate), bool(_statistic(table, statistic)[0] < floor - _EQUAL)
    t_s = ages[-1] if beyond else ages[0] if before else estimate
    return Lifetime(t_s, min(low, t_s), max(high, t_s), beyond=beyond, before=before, chips_wanted=wanted)


def accuracy_at(ages_s: Sequence[float], accuracy: ArrayLike, time_s: ArrayLike) -> Floats:
    """Accuracy of every chip at other ages, linear in ln t between the measured ones.

    Args:
        ages_s: Measured ages (A,) in seconds.
        accuracy: Accuracies (C, A).
        time_s: Ages (T,) asked for, or one.

    Returns:
        Accuracies (C, T).

    Raises:
        WrongSetting: An age outside the measured range: curves are not extrapolated.
    """
    ages, table = _checked(ages_s, accuracy)
    times = np.atleast_1d(np.asarray(time_s, dtype=np.float64))
    for t in times[(times < ages[0]) | (times > ages[-1])]:
        raise WrongSetting(
            f"age {show_time(float(t))} is not between {show_time(ages[0])} and {show_time(ages[-1])}",
            "measure it: curves are not extrapolated",
            path="time",
        )
    x, asked = log_age(ages, ages), log_age(times, ages)
    return np.stack([np.interp(asked, x, row) for row in table])


def yield_at(
    ages_s: Sequence[float], accuracy: ArrayLike, floor: float, time_s: float, *, confidence: float = 0.95
) -> Yield:
    """The share of chips whose accuracy is at or above `floor` at an age, with its Wilson interval.

    Raises:
        WrongSetting: An age outside the measured range.
    """
    values = accuracy_at(ages_s, accuracy, time_s)[:, 0]
    inside = int(np.count_nonzero(values >= floor - _EQUAL))
    share = wilson_interval(inside, len(values), confidence)
    return Yield(float(time_s), inside, len(values), share.value, share.low, share.high, confidence)
