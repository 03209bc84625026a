"""`Measured`: what is stored of an arm, as tables of draws × training seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.perturbation import NoiseCurve
from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval, mean_interval
from mho.studies.outcome import NotStored, Outcome

Rows = Sequence[Mapping[str, Any]]
Table = NDArray[np.float64]
_CONFIDENCE = 0.95


class Measured:
    """The rows of an arm under some settings. Seeds whose network learned nothing are left out: they have no a(η).

    Args:
        outcome: Of the arm.
        part: Which of several networks of each seed; rows say it under "part".

    Attributes:
        name: Of the arm.
        label: Of the arm.
        group: Of the arm.
        seeds: Training seeds whose network learned.
        failed: Those whose network did not.
    """

    def __init__(self, outcome: Outcome[Any, Rows], part: str = "") -> None:
        self.name, self.label, self.group = outcome.arm.name, outcome.arm.label, outcome.arm.group
        runs = {seed: [row for row in rows if row.get("part", "") == part] for seed, rows in outcome.runs.items()}
        self._runs = {seed: rows for seed, rows in sorted(runs.items()) if rows}
        self.seeds = [seed for seed in self._runs if self._clean(seed)["learned"]]
        self.failed = [seed for seed in self._runs if seed not in self.seeds]

    def _clean(self, seed: int) -> Mapping[str, Any]:
        return next(row for row in self._runs[seed] if row["setting"] == "clean")

    def has(self, setting: str) -> bool:
        """Whether it was measured under a setting."""
        return any(row["setting"] == setting for seed in self.seeds for row in self._runs[seed])

    def about(self, what: str) -> Table:
        """Something that the rows without noise say, (seeds,)."""
        return np.array([self._clean(seed)[what] for seed in self.seeds], dtype=np.float64)

    @property
    def clean(self) -> Interval:
        """Score without noise, over training seeds."""
        return mean_interval(self.about("score")) if self.seeds else Interval(float("nan"), 0.0, 1.0)

    def curves(self, setting: str, guessed: bool = False) -> list[NoiseCurve]:
        """Scores under noise, one curve a training seed with a row a draw.

        Args:
            setting: Which noise.
            guessed: Answers that were not finite count as guesses, right as often as chance, and not as wrong.

        Raises:
            NotStored: It was not measured, or no network learned.
        """
        found = []
        for seed in self.seeds:
            rows = sorted(
                (row for row in self._runs[seed] if row["setting"] == setting), key=lambda row: float(row["eta"])
            )
            if not rows:
                raise NotStored(f"arm '{self.name}' was not measured under '{setting}'", "measure it", path=self.name)
            etas, clean = tuple(float(row["eta"]) for row in rows), self._clean(seed)
            scores = np.array([row["scores"] for row in rows])
            if guessed:
                scores = scores + clean["chance"] / clean["images"] * np.array([row["not_finite"] for row in rows])
            found.append(NoiseCurve(etas, clean["score"], scores.T))
        if not found:
            raise NotStored(f"no network of arm '{self.name}' learned", "measure it", path=self.name)
        return found

    def scores(self, setting: str) -> list[Table]:
        """Scores at each η, draws × seeds."""
        return [*np.stack([curve.means for curve in self.curves(setting)], axis=1).transpose(2, 0, 1)]

    def averages(self, setting: str, guessed: bool = False) -> Table:
        """A_avg, draws × seeds."""
        return np.stack([curve.averages() for curve in self.curves(setting, guessed)], axis=1)

    def kept(self, setting: str) -> Table:
        """What is left above chance, mean over η, draws × seeds."""
        curves, chance = self.curves(setting), self.about("chance")
        return np.stack([c.corrected(float(low)).mean(axis=1) for c, low in zip(curves, chance, strict=True)], axis=1)

    def areas(self, setting: str) -> Table:
        """Area under a(η), draws × seeds."""
        return np.stack([curve.areas() for curve in self.curves(setting)], axis=1)

    def shares(self, setting: str) -> tuple[tuple[float, ...], list[Interval]]:
        """Sizes of the noise, and a(η) at each, over draws and seeds."""
        curves = self.curves(setting)
        tables = np.stack([curve.shares() for curve in curves], axis=1)
        return curves[0].etas, [interval(tables[:, :, i]) for i in range(tables.shape[2])]

    def chips(self, where: str) -> tuple[Table, Table]:
        """Scores on chips, chips × seeds, and those of the digital network on the same samples, (seeds,).

        Raises:
            NotStored: It was not measured there.
        """
        rows = [row for seed in self.seeds for row in self._runs[seed] if row["setting"] == where]
        if not rows:
            raise NotStored(f"arm '{self.name}' was not measured on '{where}'", "measure it", path=self.name)
        return np.array([row["scores"] for row in rows]).T, np.array([row["digital"] for row in rows], dtype=np.float64)

    def lost_at(self, setting: str, worth: float) -> Interval:
        """The η at which so much of the score is lost, over training seeds; of one training over draws."""
        curves = self.curves(setting)
        if len(curves) == 1:
            return curves[0].lost_at(worth)
        means = np.stack([curve.means.mean(axis=0) for curve in curves])
        return NoiseCurve(curves[0].etas, self.about("score"), means).lost_at(worth)

    def not_finite(self, setting: str) -> int:
        """Answers that were not finite."""
        rows = (row for seed in self.seeds for row in self._runs[seed] if row["setting"] == setting)
        return sum(sum(row["not_finite"]) for row in rows)


def interval(table: Table) -> Interval:
    """Mean of draws × seeds with its interval over both."""
    return over_units(table, _CONFIDENCE)


def difference(a: Measured, b: Measured, setting: str, other: str = "") -> Interval:
    """A_avg of `a` less that of `b`, paired by draws and training seeds.

    Args:
        a: An arm.
        b: What it is held against.
        setting: Of both.
        other: Setting of `b`, where it is another.

    Raises:
        NotStored: One was not measured, or they have no learned seed in common.
    """
    return interval(paired(a, b, a.averages(setting), b.averages(other or setting)))


def above_chance(a: Measured, b: Measured, setting: str) -> Interval:
    """As `difference`, of what is left above chance."""
    return interval(paired(a, b, a.kept(setting), b.kept(setting)))


def clean_difference(a: Measured, b: Measured) -> Interval:
    """Accuracy without noise of `a` less that of `b`, over the training seeds that both have."""
    return interval(paired(a, b, a.about("score")[None], b.about("score")[None]))


def at_sizes(a: Measured, b: Measured, setting: str) -> list[tuple[str, Interval]]:
    """Accuracy under noise of `a` less that of `b`, paired as `difference`: mean over the sizes, then at each, in words."""
    etas = a.curves(setting)[0].etas
    tables = [paired(a, b, *both) for both in zip(a.scores(setting), b.scores(setting), strict=True)]
    each = [(f"at η = {eta:g}", interval(table)) for eta, table in zip(etas, tables, strict=True)]
    return [("mean over the sizes", interval(np.mean(tables, axis=0))), *each]


def paired(a: Measured, b: Measured, of_a: Table, of_b: Table) -> Table:
    """Differences of tables of two arms, in the training seeds that both have."""
    both = [seed for seed in a.seeds if seed in b.seeds]
    if not both:
        raise NotStored(f"'{a.name}' and '{b.name}' have no seed in common", "measure both", path=a.name)
    left, right = (table[:, [arm.seeds.index(seed) for seed in both]] for arm, table in ((a, of_a), (b, of_b)))
    found: Table = left - right
    return found
