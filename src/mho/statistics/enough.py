"""`enough`: how much measuring would decide a difference that is undecided."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mho.statistics.crossed import mean_squares
from mho.statistics.intervals import t_quantile


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


def enough(table: NDArray[np.float64], confidence: float) -> Enough:
    """With how many samples, or chips, the interval `crossed` would not hold zero any more, were the mean as large as it looks.

    The variance of the mean over C chips and N samples is σ_c²/C + σ_s²/N + σ_e²/(CN), with the three parts of `crossed`; a
    gain g is told from zero where that is below (g/t)². Samples alone cannot help where the chips' part is above it already,
    nor chips where the samples' is.

    Args:
        table: Differences (chips, samples), two at least of each.
        confidence: Of the interval.
    """
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
