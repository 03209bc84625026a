"""The mean of a table of chips × samples, with an interval over both."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mho.errors import WrongSetting
from mho.statistics.intervals import Interval, mean_interval, t_quantile


def crossed(table: NDArray[np.float64], confidence: float) -> Interval:
    """Mean of a table of C chips × N samples with Student's interval over both as random draws.

    V = (MS_chip + MS_sample - MS_e)/(C·N) as in `VarianceSplit.interval`, but never less than MS_chip/(C·N) or
    MS_sample/(C·N), and with the freedom of the larger of the two where that bound holds: where few chips say nothing,
    the wider interval counts. Equal entries everywhere give an interval of width zero.

    Raises:
        WrongSetting: Fewer than two chips or two samples.
    """
    c, n = table.shape
    if c < 2 or n < 2:
        raise WrongSetting(f"a table of {c} chips and {n} samples", "measure two chips and two samples at least")
    mean = float(table.mean())
    chip, sample, rest = mean_squares(table)
    total, least = chip + sample - rest, max(chip, sample)
    if least <= 0:
        return Interval(mean, mean, mean)
    if total > least:
        freedom = total**2 / (chip**2 / (c - 1) + sample**2 / (n - 1) + rest**2 / ((c - 1) * (n - 1)))
    else:
        total, freedom = least, float(c - 1 if chip >= sample else n - 1)
    half = t_quantile(confidence, freedom) * math.sqrt(total / (c * n))
    return Interval.around(mean, half)


def over_units(table: NDArray[np.float64], confidence: float) -> Interval:
    """Mean of a table of two kinds of random draws, such as training seeds × chips, with its interval over both (`crossed`);
    over the one where there is but one of the other."""
    return crossed(table, confidence) if min(table.shape) > 1 else mean_interval(table, confidence)


def mean_squares(table: NDArray[np.float64]) -> tuple[float, float, float]:
    """MS_chip, MS_sample and MS_e of a table of chips × samples, two at least of each."""
    (c, n), mean = table.shape, float(table.mean())
    by_chip, by_sample = table.mean(axis=1), table.mean(axis=0)
    chip = n * float(np.sum((by_chip - mean) ** 2)) / (c - 1)
    sample = c * float(np.sum((by_sample - mean) ** 2)) / (n - 1)
    whole = float(np.sum((table - mean) ** 2))
    rest = max(whole - (c - 1) * chip - (n - 1) * sample, 0.0) / ((c - 1) * (n - 1))
    return chip, sample, rest
