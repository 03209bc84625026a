"""What one result has over another on the same chips and samples, with an interval over other chips *and* other samples."""

from __future__ import annotations

import numpy as np

from mho.errors import WrongSetting
from mho.measure.result import DriftResult
from mho.statistics.crossed import crossed
from mho.statistics.intervals import Interval


def gain(a: DriftResult, b: DriftResult, confidence: float = 0.95) -> Interval:
    """Score of `a` less that of `b`, mean over the ages, as a share or in the score's unit (a difference of worths).

    The differences of the samples' values, averaged over ages, make a table of chips × samples, and the interval is over both:
    a remedy that changes the same few answers on every chip has a difference that is certain for these samples and
    nothing else. See `crossed`.

    Raises:
        WrongSetting: Another task, other chips, ages or numbers of samples.
    """
    if a.header.task != b.header.task:
        raise WrongSetting("results of other tasks", "measure both alike", path="task")
    if a.chips != b.chips or a.ages_s != b.ages_s or a.digital.samples != b.digital.samples:
        raise WrongSetting("results over other chips, ages or samples", "measure both alike")
    table = np.zeros((len(a.chips), a.digital.samples))
    for age in a.ages_s:
        for row, one, other in zip(table, a.at(age), b.at(age), strict=True):
            row += one.values.astype(np.float64) - other.values
    return crossed(a.score.worth(table) / len(a.ages_s), confidence)
