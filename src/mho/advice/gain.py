"""What one result has over another on the same chips and samples, with an interval over other chips *and* other samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mho.errors import WrongSetting
from mho.measure.result import DriftResult
from mho.statistics.crossed import crossed, mean_squares
from mho.statistics.intervals import Interval, t_quantile


def gain(a: DriftResult, b: DriftResult, confidence: float = 0.95) -> Interval:
    """Score of `a` less that of `b`, mean over the ages, as a share or in the score's unit (a difference of worths).

    The differences of the samples' values, averaged over ages, make a table of chips × samples, and the interval is over both:
    a remedy that changes the same few answers on every chip has a difference that is certain for these samples and
    nothing else. See `crossed`.

    Raises:
        WrongSetting: Another task, other chips, ages or numbers of samples.
    """
    return crossed(_differences(a, b), confidence)


@dataclass(frozen=True)
class Enough:
    """About how much measuring would decide a gain that is as large as it looks; None where no number would.

    Attributes:
        samples: Test samples, on as many chips as were measured.
        chips: Chips, on as many samples.
    """

    samples: int | None
    chips: int | None

    def __str__(self) -> str:
        ways = [f"{n:,} {what}" for n, what in ((self.samples, "samples"), (self.chips, "chips")) if n is not None]
        return " or ".join(f"about {way}" for way in ways)


def enough(a: DriftResult, b: DriftResult, confidence: float = 0.95) -> Enough:
    """With how many samples, or chips, the interval of this gain would not hold zero any more, were it as large as it looks.

    The variance of the mean over C chips and N samples is σ_c²/C + σ_s²/N + σ_e²/(CN), with the three parts of `crossed`; a
    gain g is told from zero where that is below (g/t)². Samples alone cannot help where the chips' part is above it already,
    nor chips where the samples' is.

    Raises:
        WrongSetting: As `gain`.
    """
    table = _differences(a, b)
    chip, sample, rest = mean_squares(table)
    c, n = table.shape
    of_chip, of_sample = max(chip - rest, 0.0) / n, max(sample - rest, 0.0) / c
    wanted = (float(table.mean()) / t_quantile(confidence, c - 1)) ** 2

    def number(own: float, other: float, size: int) -> int | None:
        left = wanted - other / size
        return None if left <= 0 else _two_digits((own + rest / size) / left)

    if table.mean() <= 0:
        return Enough(None, None)
    return Enough(number(of_sample, of_chip, c), number(of_chip, of_sample, n))


def _two_digits(number: float) -> int | None:
    """Rounded up to two digits; None for more than anyone measures."""
    if not number < 1e9:
        return None
    step = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return max(2, math.ceil(number / step) * step)


def _differences(a: DriftResult, b: DriftResult) -> NDArray[np.float64]:
    """Values of `a` less those of `b`, mean over ages, (chips, samples), as worths."""
    if a.header.task != b.header.task:
        raise WrongSetting("results of other tasks", "measure both alike", path="task")
    if a.chips != b.chips or a.ages_s != b.ages_s or a.digital.samples != b.digital.samples:
        raise WrongSetting("results over other chips, ages or samples", "measure both alike")
    table = np.zeros((len(a.chips), a.digital.samples))
    for age in a.ages_s:
        for row, one, other in zip(table, a.at(age), b.at(age), strict=True):
            row += one.values.astype(np.float64) - other.values
    return a.score.worth(table) / len(a.ages_s)
