"""`Known`: what a run knows so far, for progress bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mho.measure.result import DriftResult, half_width
from mho.store import Measurement, RunHeader
from mho.units import show_time

MIN_CHIPS = 8
"""Fewest chips, or shared passes, of an automatic run: a spread estimated from fewer stops too early too often."""


@dataclass(frozen=True)
class Known:
    """What is known after another chip. Called, it gives everything as a `DriftResult`.

    Attributes:
        header: What is run.
        digital: The digital network.
        measurements: Every chip so far.
    """

    header: RunHeader
    digital: Measurement
    measurements: tuple[Measurement, ...]

    @cached_property
    def result(self) -> DriftResult:
        """Everything so far."""
        return DriftResult(self.header, self.digital, self.measurements)

    def __call__(self) -> DriftResult:
        """Everything so far."""
        return self.result

    def words(self) -> str:
        """The score at the last age, and the widest interval so far."""
        result, score = self.result, self.result.score
        text = f"{score.label} {score.show(float(result.scores[:, -1].mean()), 2)} after {show_time(result.ages_s[-1])}"
        if len(result.scores) > 1:
            text += f", all ages within ±{(100 if score.share else 1) * result.half_width():.3g}"
        return text


def expected(means: Sequence[Sequence[float]], header: RunHeader, share: int, limit: int) -> int:
    """Chips after which the run will probably end: intervals narrow with the square root of the number of passes.

    Args:
        means: Of the passes so far, at each age.
        header: What is run.
        share: Chips in a pass.
        limit: Most chips.
    """
    wanted = header.target_half_width
    if wanted is None or len(means) < 2:
        return limit
    passes = len(means) * (half_width(means, header) / (wanted / 100 if header.score.share else wanted)) ** 2
    return limit if not math.isfinite(passes) else min(limit, share * max(MIN_CHIPS, len(means), math.ceil(passes)))
