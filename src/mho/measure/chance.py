"""Whether a digital network is better than chance: where it is not, nothing can be said of what its chips lose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mho.measure.summary import majority
from mho.statistics.intervals import mean_interval, wilson_interval

if TYPE_CHECKING:
    from mho.store import DataInfo, Measurement, RunHeader
    from mho.tasks import Score


def at_chance(header: RunHeader, digital: Measurement, budget: float) -> str:
    """Why no verdict is possible, in words; empty where the digital network is known to be better than chance.

    It has to be better by more than the budget, with the lower bound of its interval: else a network that guesses would
    keep the budget, too. Chance depends on the task:

    - right or wrong, classes listed: the share that the network's own answers would have right in random order,
      Σ_k p_k q_k with the shares p of its answers and q of the labels (the agreement by chance of Cohen's κ), against
      Wilson's interval;
    - else the score of the best constant answer (`mho.tasks.Task.constant_score`), against Student's interval over samples.

    Where neither is known there is nothing to compare with.

    Args:
        header: What was run.
        digital: The digital network's measurement.
        budget: What may be lost, see `DriftResult.floor`.

    References:
        Cohen 1960, Educational and Psychological Measurement 20:37.
    """
    return of_chance(digital, header.score, header.data, header.constant, budget, header.confidence)


def of_chance(
    digital: Measurement, score: Score, data: DataInfo, constant: float | None, budget: float, confidence: float
) -> str:
    """`at_chance` for a measurement that belongs to no run.

    Args:
        digital: The digital network's measurement.
        score: What it is in.
        data: What it was made on.
        constant: Score of the best constant answer, or None.
        budget: What may be lost.
        confidence: Of the interval.
    """
    n = digital.samples
    if digital.values.dtype == np.bool_ and data.classes:
        labels, answers = np.array(data.label_counts), np.array(digital.predicted)
        guess = float(labels @ answers) / (labels.sum() * n) if len(answers) == len(labels) else majority(data)
        found = wilson_interval(int(np.count_nonzero(digital.values)), n, confidence)
        what = "the same answers in random order" if len(answers) == len(labels) else "the most frequent class"
    elif constant is not None:
        found = mean_interval(score.signed(digital.values).astype(np.float64), confidence)
        guess, what = score.worth(constant), "the best constant answer"
    else:
        return ""
    if math.isnan(guess) or found.low - guess > budget:
        return ""
    return (
        f"no verdict: the digital network is not known to be better than chance by more than the budget. It has "
        f"{score.label} {score.bracket(found.value, found.low, found.high)} on {n:,} samples; {what} would have "
        f"{score.show(guess)}. Check its weights, the preparation of its inputs and the labels"
    )
