"""`Effect`: what a factor, or two together, do to the score at an age, and `effects`: all of them, tested as one family."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mho.statistics.holm import holm
from mho.statistics.intervals import Interval
from mho.sweeps.effects.measured import Measured


@dataclass(frozen=True)
class Effect:
    """The main effect of a factor, or the interaction of two.

    Attributes:
        paths: The factor, or both.
        age_s: The age.
        p: Of the hypothesis that there is none; NaN where nothing is tested.
        adjusted: The same within the family of all effects at all ages (Holm).
        share: Share of the variance between the points of the design.
        largest: Of the differences between two levels the largest, in worths; of an interaction, how much the difference
            between two levels of the first differs between two levels of the second. Its interval holds for all pairs at once.
        between: These levels, in words: better, then worse.
        test: The statistic with its degrees of freedom, in words.
        left_out: What is missing in it, in words; often nothing.
    """

    paths: tuple[str, ...]
    age_s: float
    p: float
    share: Interval
    largest: Interval
    between: str
    test: str
    left_out: str = ""
    adjusted: float = math.nan

    @property
    def name(self) -> str:
        """The factor, or both."""
        return " × ".join(self.paths)

    def found(self, confidence: float) -> bool:
        """Whether it acts, with the chance of any false finding among all effects at all ages at most 1 - confidence."""
        return self.adjusted <= 1 - confidence


def effects(measured: Measured) -> list[Effect]:
    """Main effects, then two-factor interactions, each at every age, tested as one family.

    In a grid and around a base from cell means over chips and training seeds (`mho.sweeps.effects.anova`); where points are
    drawn by a regression over points (`mho.sweeps.effects.regression`).
    """
    from mho.sweeps.effects.anova import of_cells
    from mho.sweeps.effects.regression import of_points

    found = of_points(measured) if measured.plan.design.drawn else of_cells(measured)
    return [replace(effect, adjusted=float(p)) for effect, p in zip(found, holm([e.p for e in found]), strict=True)]
