"""What a run tells while it goes on: what is known so far, and after how many chips it will probably end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mho.measure.result import DriftResult, half_width
from mho.store import Measurement, RunHeader
from mho.units import show_time

MIN_CHIPS = 8
"""Fewest chips, or shared passes, of an automatic run: a spread estimated from fewer stops too early too often."""


def so_far(header: RunHeader, digital: Measurement, measurements: Sequence[Measurement]) -> str:
    """The score at the last age, and the widest interval, in words; arguments as for `DriftResult`."""
    result, score = DriftResult(header, digital, measurements), header.score
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
