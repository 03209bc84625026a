"""What one run has over another: paired where they can be, chip by chip and sample by sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mho.errors import WrongSetting
from mho.measure.result import DriftResult
from mho.statistics.crossed import crossed
from mho.statistics.intervals import Interval, mean_interval
from mho.statistics.split import variance_split


@dataclass(frozen=True)
class Gain:
    """What a run has over another at the ages that both measured; differences of worths (`mho.tasks.Score`).

    Attributes:
        ages_s: Ages that both have.
        over_chips: The mean difference with its interval over other chips, for these samples.
        over_both: The same over other chips and other samples.
        chips: Pairs of chips; 0 where they are not paired. Where chips share passes, passes are paired.
        why: Why they are not paired; empty where they are.
    """

    ages_s: tuple[float, ...]
    over_chips: tuple[Interval, ...]
    over_both: tuple[Interval, ...]
    chips: int = 0
    why: str = ""

    @property
    def paired(self) -> bool:
        """Whether chips were compared one by one."""
        return not self.why

    @property
    def how(self) -> str:
        """How the two were compared, in words."""
        return f"paired over {self.chips} chips and all samples" if self.paired else f"not paired: {self.why}"

    def widest(self) -> list[Interval]:
        """The wider of both intervals at each age: what may be concluded about other chips and samples."""
        return [max(pair, key=lambda i: i.half_width) for pair in zip(self.over_chips, self.over_both, strict=True)]


def gain_over(first: DriftResult, other: DriftResult, confidence: float = 0.95) -> Gain:
    """Worth of `other` less that of `first`.

    Chip i of both has the same address of its draws where the seeds are the same, so that on the same samples
    Var(a - b) = Var(a) + Var(b) - 2 Cov(a, b). The interval over chips is Student's of the chips' differences, that over
    chips and samples is `crossed`. What is not paired has the interval of the difference of two independent means, made from
    the intervals of both: d ± sqrt((u₁ - m₁)² + (m₂ - l₂)²).

    References:
        Zou, Donner 2008, Statistics in Medicine 27:1693 (a difference from two intervals).
    """
    ages = tuple(t for t in first.ages_s if t in other.ages_s)
    kept = sorted(_passes(first, 0) & _passes(other, 0)) if ages else []
    why = _no_pairs(first, other, len(kept))
    if not why:
        tables = [_differences(other, first, t, kept) for t in ages]
        chips = tuple(mean_interval(table.mean(axis=1), confidence) for table in tables)
        return Gain(
            ages, chips, tuple(crossed(table, confidence) for table in tables), len(kept) * first.header.chips_per_pass
        )
    singles, both = [], []
    for t in ages:
        (a, a_both), (b, b_both) = (_intervals(r, t, confidence) for r in (first, other))
        singles.append(_less(b, a))
        both.append(_less(b_both, a_both))
    return Gain(ages, tuple(singles), tuple(both), 0, why)


def mean_differences(result: DriftResult, base: DriftResult) -> NDArray[np.float64]:
    """Worths of `result` less those of `base`, mean over the ages, (chips, samples): what `crossed` takes.

    A remedy that changes the same few answers on every chip has a difference that is certain for these samples and
    nothing else; an interval over both says so.

    Raises:
        WrongSetting: Another task, other chips, ages or numbers of samples.
    """
    if result.header.task != base.header.task:
        raise WrongSetting("results of other tasks", "measure both alike", path="task")
    alike = [(r.chips, r.ages_s, r.digital.samples) for r in (result, base)]
    if alike[0] != alike[1]:
        raise WrongSetting("results over other chips, ages or samples", "measure both alike")
    chips = sorted(_passes(result, 0))
    total = sum(_differences(result, base, age, chips) for age in result.ages_s)
    return np.asarray(total / len(result.ages_s))


def _passes(result: DriftResult, place: int) -> set[int]:
    return {m.chip for m in result.at(result.ages_s[place])}


def _no_pairs(first: DriftResult, other: DriftResult, common: int) -> str:
    a, b = first.header, other.header
    if a.data.digest != b.data.digest or first.digital.samples != other.digital.samples:
        return "measured on other samples"
    if a.seed != b.seed:
        return f"chips of other seeds ({a.seed} and {b.seed})"
    if a.chips_per_pass != b.chips_per_pass:
        return f"{a.chips_per_pass} and {b.chips_per_pass} chips share a pass"
    return "" if common >= 2 else f"{common or 'no'} chip{'' if common == 1 else 's'} in common"


def _differences(result: DriftResult, base: DriftResult, age_s: float, chips: Sequence[int]) -> NDArray[np.float64]:
    """Worths of `result` less those of `base` at an age, (chips, samples)."""
    one, two = ({m.chip: m.values for m in r.at(age_s)} for r in (result, base))
    return base.score.worth(np.array([one[c].astype(np.float64) - two[c] for c in chips]))


def _intervals(result: DriftResult, age_s: float, confidence: float) -> tuple[Interval, Interval]:
    """The mean over other chips, and over other chips and samples."""
    row, score = result.at(age_s), result.score
    split = variance_split((score.signed(m.values) for m in row), result.header.chips_per_pass)
    return mean_interval(score.worth(np.array([m.mean for m in row])), confidence), split.interval(confidence)


def _less(one: Interval, other: Interval) -> Interval:
    value = one.value - other.value
    low = math.hypot(one.value - one.low, other.high - other.value)
    high = math.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, value - low, value + high)
