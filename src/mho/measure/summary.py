"""One line per age, and one line per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mho.statistics.intervals import mean_interval
from mho.statistics.split import variance_split
from mho.store.header import DataInfo, RunHeader
from mho.store.measurement import Measurement


@dataclass(frozen=True)
class AgeSummary:
    """All chips at one age. Scores are worths, of which more is better (`mho.tasks.Score`): accuracies and other shares lie
    in [0, 1], and bounds of their intervals are clipped to it; errors and negative log-likelihoods are negated.

    Args:
        age_s: Seconds after the end of programming.
        chips: Number of chips C.
        mean: Mean score over chips.
        low: Lower bound of the Student-t interval over chips: other chips, *this* test set.
        high: Its upper bound.
        low_total: Lower bound over other chips *and* other test samples (`VarianceSplit.interval`).
        high_total: Its upper bound.
        std: Standard deviation of the score over chips; NaN for one chip, and where chips share passes, as are
            `minimum`, `p5`, `top_share` and `shift`, which need single chips.
        sigma_chip: σ_chip, the part of `std` that is not the luck of the finite test set.
        sigma_sample: σ_sample, how much test samples differ in difficulty.
        sigma_residual: σ_e, which sample fails on which chip, and noise drawn per product.
        minimum: Score of the worst chip.
        p5: 5th percentile over chips.
        normalised: mean / digital; NaN for what is no share.
        chance_corrected: (mean - chance)/(digital - chance) with chance = 1/classes; NaN without a list of
            classes.
        majority_corrected: The same, with the share of the most frequent label for chance.
        balanced: Balanced accuracy, the mean of the classes' recalls.
        loss: Mean of what training minimises: for classes the cross-entropy in nats.
        top_share: Share of predictions that go to a chip's most-predicted class, mean over chips.
        shift: Total-variation distance ½ Σ|p - p_digital| between a chip's distribution of predicted
            classes and the digital network's, mean over chips. A drop in accuracy with a large shift may be
            a bias, not lost information.
        scores: Means of the task's other scores, as they are.
    """

    age_s: float
    chips: int
    mean: float
    low: float
    high: float
    low_total: float
    high_total: float
    std: float
    sigma_chip: float
    sigma_sample: float
    sigma_residual: float
    minimum: float
    p5: float
    normalised: float
    chance_corrected: float
    majority_corrected: float
    balanced: float
    loss: float
    top_share: float
    shift: float
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassRecall:
    """Recall of one class: the share of its samples that are right.

    Args:
        label: Name of the class.
        samples: Samples of the class.
        digital: Recall of the digital network; NaN for a class without samples.
        recall: Mean recall over chips at each age.
    """

    label: str
    samples: int
    digital: float
    recall: tuple[float, ...]

    @property
    def known(self) -> bool:
        """Whether the class has samples, whose right answers were counted at every age."""
        return not any(map(math.isnan, (self.digital, *self.recall)))


def corrected(accuracy: float, digital: float, chance: float) -> float:
    """(accuracy - chance)/(digital - chance); NaN where the digital network is at chance itself."""
    return (accuracy - chance) / (digital - chance) if abs(digital - chance) > 1e-12 else math.nan


def chance(data: DataInfo) -> float:
    """1/classes; NaN without a list of classes."""
    return 1 / len(data.classes) if data.classes else math.nan


def majority(data: DataInfo) -> float:
    """Accuracy of always answering the most frequent label; NaN without a list of classes."""
    return max(data.label_counts) / sum(data.label_counts) if data.classes else math.nan


def recalls(measurement: Measurement, data: DataInfo) -> NDArray[np.float64]:
    """Recall per class (classes,); NaN for a class without samples, and where right answers were not counted by class."""
    counts = np.asarray(data.label_counts, dtype=np.float64)
    right = np.asarray(measurement.correct_by_class, dtype=np.float64)
    if right.size != counts.size:
        return np.full(counts.shape, np.nan)
    return np.divide(right, counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def summarise(
    row: Sequence[Measurement], digital: Measurement, header: RunHeader, *, widened: float = 1.0
) -> AgeSummary:
    """The summary of all measurements at one age, of chips or of passes that chips share."""
    data, confidence, score = header.data, header.confidence, header.score
    worths = score.worth(np.array([m.mean for m in row]))
    of_chips = mean_interval(worths, confidence, widened=widened)
    share = row[0].chips
    single = worths if share == 1 else np.full(1, np.nan)
    split = variance_split((score.signed(m.values) for m in row), share)
    total = split.interval(confidence)
    mean, of_digital = of_chips.value, score.worth(digital.mean)
    lowest, highest = (0.0, 1.0) if score.share else (-math.inf, math.inf)
    recall = np.array([recalls(m, data) for m in row])[:, np.asarray(data.label_counts, dtype=int) > 0]
    top_share, shift = _balance(row, digital)
    return AgeSummary(
        age_s=row[0].age_s,
        chips=share * len(row),
        mean=mean,
        low=max(of_chips.low, lowest),
        high=min(of_chips.high, highest),
        low_total=max(total.low, lowest),
        high_total=min(total.high, highest),
        std=float(single.std(ddof=1)) if len(single) > 1 else math.nan,
        sigma_chip=math.sqrt(split.chip),
        sigma_sample=math.sqrt(split.sample),
        sigma_residual=math.sqrt(split.residual),
        minimum=float(single.min()),
        p5=float(np.percentile(single, 5)),
        normalised=corrected(mean, of_digital, 0.0) if score.share else math.nan,
        chance_corrected=corrected(mean, of_digital, chance(data)) if data.classes else math.nan,
        majority_corrected=corrected(mean, of_digital, majority(data)) if data.classes else math.nan,
        balanced=float(recall.mean()) if recall.size else math.nan,
        loss=float(np.mean([m.loss for m in row])),
        top_share=top_share,
        shift=shift,
        scores={name: float(np.mean([m.scores[name] for m in row])) for name in digital.scores},
    )


def _balance(row: Sequence[Measurement], digital: Measurement) -> tuple[float, float]:
    if row[0].chips > 1 or not digital.predicted or any(len(m.predicted) != len(digital.predicted) for m in row):
        return math.nan, math.nan
    shares = np.array([m.predicted for m in row]) / row[0].samples
    expected = np.array(digital.predicted) / digital.samples
    return float(shares.max(axis=1).mean()), float(np.abs(shares - expected).sum(axis=1).mean() / 2)
