"""`Grid`: stored rows of networks trained and measured at levels of two noises, as tables of chips × training seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval, mean_interval, wilson_interval
from mho.studies.outcome import NotStored
from mho.units import seconds

Table = NDArray[np.float64]
Noise = tuple[float, float]
Rows = Sequence[Mapping[str, Any]]
_CONFIDENCE = 0.95
FACTORS = ("weight", "output")


class Grid:
    """Rows by what they are of.

    A table has one entry for each chip and training seed, the same in every table, so that differences are paired.

    Args:
        runs: Of each arm, its rows by training seed.

    Attributes:
        seeds: Those that every arm has.
        levels: Of each noise among networks that are measured with the noise they were trained with.

    Raises:
        NotStored: No arm, or no seed that all have.
    """

    def __init__(self, runs: Iterable[Mapping[int, Rows]]) -> None:
        held = list(runs)
        self.seeds = sorted(set.intersection(*(set(one) for one in held))) if held else []
        if not self.seeds:
            raise NotStored(
                "no training seed is stored whole", "measure it: mho study run squeezenet-drift", path="rows"
            )
        self._rows: dict[tuple[Any, ...], dict[tuple[int, int], Mapping[str, Any]]] = {}
        for one in held:
            for seed in self.seeds:
                for row in one[seed]:
                    key = (tuple(row["trained"]), tuple(row.get("noise", ())), row["compensation"])
                    self._rows.setdefault(key, {})[row.get("chip", 0), seed] = row
        matched = [trained for trained, noise, _ in self._rows if trained == noise]
        self.levels = tuple(tuple(sorted({noise[i] for noise in matched})) for i in range(2))

    def at(
        self, metric: str, age: str, noise: Noise, compensation: str = "GDC", *, trained: Noise | None = None
    ) -> Table:
        """A metric at an age, chips × seeds.

        Args:
            metric: Its name.
            age: When.
            noise: In the evaluation.
            compensation: Of the chips.
            trained: Noise in training; None: the same.

        Raises:
            NotStored: It was not measured.
        """
        key = (trained or noise, noise, compensation)
        if key not in self._rows:
            raise NotStored(
                f"nothing is stored of noise {key[0]} and {noise}, {compensation}", "measure it", path="rows"
            )
        found = self._rows[key]
        chips = sorted({chip for chip, _ in found})
        return np.array([[_value(found[chip, seed], metric, age) for seed in self.seeds] for chip in chips])

    def digital(self, metric: str, noise: Noise) -> Table:
        """A metric of the retrained networks in digital form, 1 × seeds."""
        found = self._rows.get((noise, (), "digital"))
        if found is None:
            raise NotStored(f"nothing is stored of the network trained with noise {noise}", "measure it", path="rows")
        return np.array([[found[0, seed][metric][0] for seed in self.seeds]])

    def digital_accuracy(self, noise: Noise) -> Interval:
        """Of the retrained networks in digital form: over training seeds, or over images where there is one seed."""
        found = self.digital("accuracy", noise)
        if found.size > 1:
            return mean_interval(found)
        images = int(next(iter(self._rows[noise, (), "digital"].values()))["images"])
        return wilson_interval(round(float(found[0, 0]) * images), images)

    def share(self, noise: Noise = (0.0, 0.0)) -> float:
        """Share of positives among the labels of all images."""
        found = self._rows.get((noise, (), "digital"), {})
        if not found:
            raise NotStored("nothing is stored of the digital network", "measure it", path="rows")
        return float(next(iter(found.values()))["share"])

    def marginal(self, metric: str, age: str, factor: str, level: float, compensation: str = "GDC") -> Table:
        """Mean over the levels of the other noise, trained and measured alike."""
        place = FACTORS.index(factor)
        others = self.levels[1 - place]
        noises = [(level, other) if place == 0 else (other, level) for other in others]
        return np.mean([self.at(metric, age, noise, compensation) for noise in noises], axis=0)

    def loss(self, age: str, factor: str, level: float, compensation: str = "GDC", than: float = 0.0) -> Table:
        """Accuracy that a level of a noise costs against another level."""
        found = [self.marginal("accuracy", age, factor, one, compensation) for one in (than, level)]
        cost: Table = found[0] - found[1]
        return cost


def interval(table: Table) -> Interval:
    """Mean of chips × seeds with its interval over both as random draws."""
    return over_units(table, _CONFIDENCE)


def _value(row: Mapping[str, Any], metric: str, age: str) -> float:
    ages = row["ages_s"]
    if seconds(age) not in ages:
        raise NotStored(f"age {age} is not stored", "measure it", path="rows")
    return float(row[metric][ages.index(seconds(age))])
