"""`NoiseStudy`: what the studies of noise on stored tensors do alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from mho.statistics.intervals import Interval
from mho.studies.claim import Finding, Verdict
from mho.studies.noise.arm import NoiseArm
from mho.studies.noise.measured import Measured, Rows
from mho.studies.noise.shown import accuracies, averages
from mho.studies.outcome import Results, show_points
from mho.studies.study import Job, Study
from mho.studies.table import Table

PROTOCOL = (
    "Noise is Gaussian, drawn once for each stored tensor and frozen: w' = w + η·ref(w)·n, η from 0.01 to 0.4 of the tensor's "
    "standard deviation where nothing else is said (a quarter of that of its largest value, an eighth of its range). A_avg is "
    "the mean of accuracy(η)/accuracy(0) over the sizes; a network that is no better than chance has none. The sizes and the "
    "meaning of σ are this study's: those of the papers are not in what could be read of them. A_avg of a weak network stays "
    "high, for chance is a large share of its accuracy; what is left above chance, (accuracy(η) - chance)/(accuracy(0) - "
    "chance), mean over the same sizes, stands beside it. Answers that are not finite count as wrong. Tensors of the same name "
    "and shape have the same draws in every arm. Intervals are 95 %, over training seeds and draws as two crossed factors, for "
    "these test images."
)
CPU = (
    " At `cpu` scale: the first 10,000 training images of CIFAR-10, 12 epochs of SGD (64 images a step, one cycle up to a rate "
    "of 0.05, weight decay 5e-4, crops and flips), the first 1,000 test images, 3 training seeds, 10 draws."
)
A = TypeVar("A", bound=NoiseArm)


class NoiseStudy(Study[A, Rows]):
    """Arms are trained and measured apart, one in each process; tables are those of every setting that arms share.

    Attributes:
        settings: Whose tables are shown, in this order.
    """

    apart = True
    settings: ClassVar[Sequence[str]] = ("weights",)

    def run(self, arm: A, job: Job) -> Sequence[Mapping[str, Any]]:
        """Train, or take the network that is kept, and measure it."""
        return arm.rows(job)

    def tables(self, results: Results[A, Rows]) -> list[Table]:
        """Accuracy without noise; for each setting what is left under it."""
        arms = read(results)
        return [accuracies(arms), *averages(arms, self.settings)]


NORMED = {"smoke": ("cifar_resnet?width=4",), "cpu": ("cifar_resnet",), "full": ("cifar_resnet?depth=44", "vgg16")}
"""Networks of the studies of norms."""


def normed(results: Results[Any, Rows], kind: str) -> Measured:
    """An arm of the first network and data set, by the kind of its norms."""
    group = next(iter(results.values())).arm.group if results else ""
    return Measured(results[f"{group}-{kind}"])


def read(results: Results[Any, Rows]) -> list[Measured]:
    """The arms that are stored."""
    return [Measured(outcome) for outcome in results.values()]


def within(what: str, found: Interval, bound: float) -> Finding:
    """Whether a difference is smaller than a bound for sure, either way."""
    verdict: Verdict = "depends"
    if -bound < found.low and found.high < bound:
        verdict = "holds"
    elif found.low >= bound or found.high <= -bound:
        verdict = "fails"
    return Finding(verdict, f"{what} {show_points(found)}")
