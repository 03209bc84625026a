"""`Outcome`: what is stored of an arm, and how arms compare."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mho.errors import BadResults, WrongSetting
from mho.measure import DriftResult, paired
from mho.statistics.intervals import Interval, mean_interval
from mho.tasks.score import ACCURACY, Score
from mho.units import seconds

if TYPE_CHECKING:
    from mho.studies.study import Arm, Scale

A = TypeVar("A", bound="Arm")
R = TypeVar("R")


class NotStored(BadResults):
    """An arm that is asked for has not been measured."""


@dataclass(frozen=True)
class Gain(Interval):
    """A difference of scores that knows which; for `show_points`."""

    score: Score = ACCURACY


def _column(run: DriftResult, age: str | float) -> NDArray[np.float64]:
    """Worths of the chips at an age: accuracies as shares, losses negated (`mho.tasks.Score`)."""
    if seconds(age) not in run.ages_s:
        raise WrongSetting(f"age {age} was not measured", "ask for a measured age", path=run.header.model)
    return run.scores[:, run.ages_s.index(seconds(age))]


@dataclass(frozen=True)
class Outcome(Generic[A, R]):
    """What is stored of an arm. All but `first` is for arms that measure a `DriftResult`.

    Where one run is stored, values and intervals are over its chips; where several, over training seeds.

    Attributes:
        arm: The arm.
        runs: By training seed; the seed is 0 where nothing is trained.
    """

    arm: A
    runs: Mapping[int, R]

    @property
    def first(self) -> R:
        """The run of the lowest seed."""
        return self.runs[min(self.runs)]

    def level(self: Drifted[A], age: str | float) -> Interval:
        """Mean score at an age, as a worth.

        Raises:
            WrongSetting: The age was not measured.
        """
        return mean_interval(_units([_column(run, age) for run in self.runs.values()]))

    def curve(self: Drifted[A]) -> list[Interval]:
        """`level` at every age that was measured."""
        return [self.level(age) for age in self.first.ages_s]

    def differences(self: Drifted[A], base: Drifted[Any], age: str | float) -> NDArray[np.float64]:
        """Score above that of `base` on the same chips, one value a chip or training seed.

        A seed is paired with the same seed of `base`, or with its first run where it has no such seed.

        Raises:
            WrongSetting: The two were not measured on the same chips and samples, or not at this age.
        """
        found = []
        for seed, run in self.runs.items():
            other = base.runs.get(seed, base.first)
            paired(run, other)  # refuses what is no pair
            found.append(_column(run, age) - _column(other, age))
        return _units(found)

    def gain(self: Drifted[A], base: Drifted[Any], age: str | float) -> Gain:
        """Mean of `differences`."""
        found = mean_interval(self.differences(base, age))
        return Gain(found.value, found.low, found.high, self.first.score)

    @property
    def digital(self: Drifted[A]) -> float:
        """Score of the digital network, mean over training seeds."""
        return float(np.mean([run.digital_score for run in self.runs.values()]))

    def spread(self: Drifted[A], age: str | float) -> float:
        """σ_chip, how much chips differ at an age: root of the mean square over training seeds."""
        found = [s.sigma_chip for run in self.runs.values() for s in run.summary() if s.age_s == seconds(age)]
        return math.sqrt(np.mean(np.square(found)))


Drifted: TypeAlias = Outcome[A, DriftResult]


class Results(dict[str, Outcome[A, R]]):
    """Outcomes by the arm's name, in the order of the study.

    Attributes:
        scale: At which they were measured.
        unfinished: Folders that are left out because not all of their chips are measured, and how many are.

    Raises:
        NotStored: ``results[name]`` of an arm that has not been measured; ``results.get(name)`` is None.
    """

    scale: Scale = "cpu"
    unfinished: Mapping[str, str] = MappingProxyType({})

    def __missing__(self, name: str) -> Outcome[A, R]:
        raise NotStored(f"arm '{name}' is not stored", "measure it: mho study run", path=name)


def _units(tables: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Values of the chips of one run, or the means of several."""
    return tables[0] if len(tables) == 1 else np.array([table.mean() for table in tables])


def show_points(found: Interval) -> str:
    """A difference: of shares in percentage points, ``+1.1 [+0.5, +1.8]``; a `Gain` of another score with its unit."""
    if isinstance(found, Gain) and not found.score.share:
        return found.score.show_gain(found.value, found.low, found.high)
    return f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def show_level(found: Interval) -> str:
    """A share in percent with its half-width: ``90.2 ± 0.4``."""
    return f"{100 * found.value:.1f} ± {100 * found.half_width:.1f}"
