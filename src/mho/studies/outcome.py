"""`Outcome`: what is stored of an arm, and how arms compare."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mho.errors import BadResults, WrongSetting
from mho.measure import DriftResult, paired
from mho.statistics.intervals import Interval, mean_interval
from mho.units import seconds

if TYPE_CHECKING:
    from mho.studies.study import Arm

A = TypeVar("A", bound="Arm")
R = TypeVar("R")


class NotStored(BadResults):
    """An arm that is asked for has not been measured."""


@dataclass(frozen=True)
class Outcome(Generic[A, R]):
    """What is stored of an arm.

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


class Results(dict[str, Outcome[A, R]]):
    """Outcomes by the arm's name, in the order of the study.

    Raises:
        NotStored: ``results[name]`` of an arm that has not been measured; ``results.get(name)`` is None.
    """

    def __missing__(self, name: str) -> Outcome[A, R]:
        raise NotStored(f"arm '{name}' is not stored", "measure it: mho study run", path=name)


def column(result: DriftResult, age: str | float) -> int:
    """Place of an age among those measured.

    Raises:
        WrongSetting: It was not measured.
    """
    if seconds(age) not in result.ages_s:
        raise WrongSetting(f"age {age} was not measured", "ask for a measured age", path=result.header.model)
    return result.ages_s.index(seconds(age))


def level(outcome: Outcome[A, DriftResult], age: str | float) -> Interval:
    """Mean accuracy at an age; the interval is over training seeds, or over chips where there is one run."""
    tables = [run.accuracy[:, column(run, age)] for run in outcome.runs.values()]
    return mean_interval(tables[0] if len(tables) == 1 else [table.mean() for table in tables])


def curve(outcome: Outcome[A, DriftResult]) -> list[Interval]:
    """`level` at every age that was measured."""
    return [level(outcome, age) for age in outcome.first.ages_s]


def differences(
    outcome: Outcome[A, DriftResult], base: Outcome[A, DriftResult], age: str | float
) -> NDArray[np.float64]:
    """Accuracy above that of `base` on the same chips: one value a training seed, or a chip where there is one run.

    A seed is paired with the same seed of `base`, or with its first run where it has no such seed.

    Raises:
        WrongSetting: The two were not measured on the same chips and samples.
    """
    found = []
    for seed, run in outcome.runs.items():
        other = base.runs.get(seed, base.first)
        paired(run, other)  # refuses what is no pair
        found.append((run.accuracy - other.accuracy)[:, column(run, age)])
    return found[0] if len(found) == 1 else np.array([table.mean() for table in found])


def gain(outcome: Outcome[A, DriftResult], base: Outcome[A, DriftResult], age: str | float) -> Interval:
    """Mean of `differences` with its interval."""
    return mean_interval(differences(outcome, base, age))


def digital(outcome: Outcome[A, DriftResult]) -> float:
    """Accuracy of the digital network, mean over training seeds."""
    return float(np.mean([run.digital.accuracy for run in outcome.runs.values()]))


def spread(outcome: Outcome[A, DriftResult], age: str | float) -> float:
    """σ_chip: how much chips differ, root of the mean square over training seeds."""
    return math.sqrt(np.mean([run.summary()[column(run, age)].sigma_chip ** 2 for run in outcome.runs.values()]))


def show_points(found: Interval) -> str:
    """A difference of shares in percentage points: ``+1.1 [+0.5, +1.8]``."""
    return f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def show_level(found: Interval) -> str:
    """A share in percent with its half-width: ``90.2 ± 0.4``."""
    return f"{100 * found.value:.1f} ± {100 * found.half_width:.1f}"
