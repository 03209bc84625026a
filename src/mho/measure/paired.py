"""Two results on the same chips: the difference in the score, with what the chips have in common taken out."""

from __future__ import annotations

from typing import Any

from mho.errors import WrongSetting
from mho.measure.result import DriftResult
from mho.statistics.intervals import Interval, mean_interval


def paired(a: DriftResult, b: DriftResult, confidence: float = 0.95) -> list[Interval]:
    """Score of `a` less that of `b` at each age, with Student's interval of the mean of the chips' differences.

    Chip i of both has the same address of its draws, and both saw the same samples, so that what is common to the two
    drops out: Var(a - b) = Var(a) + Var(b) - 2 Cov(a, b). Where chips share passes, passes are paired. What is known is
    how the two differ over chips on these samples. A number of chips fixed beforehand is supposed; with
    ``chips="auto"`` runs end at different numbers.

    Args:
        a: One result.
        b: Another, of other hardware, weights or recalibration.
        confidence: Level of the intervals.

    Returns:
        One interval an age; of accuracies as shares: 0.01 is one point; else of worths (`mho.tasks.Score`).

    Raises:
        WrongSetting: Another task, other chips, seed, ages, samples or passes; the message names what differs.
    """
    for result in (a, b):
        if not isinstance(result, DriftResult):
            raise WrongSetting(f"a {type(result).__name__} is no result", "give what mho.drift returned", path="paired")
    kept: list[tuple[str, Any, Any]] = [
        ("task", a.header.task, b.header.task),
        ("seed", a.header.seed, b.header.seed),
        ("data", a.header.data.digest, b.header.data.digest),
        ("samples", a.digital.samples, b.digital.samples),
        ("times", a.ages_s, b.ages_s),
        ("images", a.header.chips_per_pass, b.header.chips_per_pass),
        ("chips", a.chips, b.chips),
    ]
    for name, one, other in kept:
        if one != other:
            raise WrongSetting(
                f"{name} {_short(one)} and {_short(other)} are no pairs",
                "measure both with the same data, times, seed, images and number of chips",
                path=name,
            )
    return [mean_interval(difference, confidence) for difference in (a.scores - b.scores).T]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
