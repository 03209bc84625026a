"""`Placed`: reads the rows of an arm that was measured digitally, over σ of its cells, and over age."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mho.data import Dataset
from mho.rng import key
from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval, mean_interval
from mho.studies.definitions import SIGMAS
from mho.studies.outcome import NotStored, Outcome

Rows = list[dict[str, Any]]
Values = NDArray[np.float64]
Place = tuple[str, str]
"""Setting and age."""
DIGITAL: Place = ("digital", "0 s")
_CHOICE = 500
"""Images on which thresholds, exits and blocks are chosen, at most; at most a quarter of all."""


def apart(data: Dataset, reported: int | None) -> tuple[Dataset, Dataset]:
    """Test images to choose on, and others that are reported; None: all others. Both are drawn from all, once and for good: a
    test set may have an order (MNIST's first half is by other writers than its second)."""
    count = len(data.labels)
    mixed = torch.randperm(count, generator=torch.Generator().manual_seed(key("choice")))
    first = count - min(_CHOICE, count // 4)
    parts = mixed[first:], mixed[: first if reported is None else min(reported, first)]
    choice, test = (replace(data, inputs=data.inputs[part], labels=data.labels[part]) for part in parts)
    return choice, test


@dataclass(frozen=True)
class Placed:
    """Reads the rows of an arm; the first is that of the digital network. Tables are chips × training seeds.

    Attributes:
        outcome: The arm with its rows.
    """

    outcome: Outcome[Any, Rows]

    @property
    def label(self) -> str:
        """Of the arm."""
        return self.outcome.arm.label

    @property
    def name(self) -> str:
        """Of the arm."""
        return self.outcome.arm.name  # type: ignore[no-any-return]

    @property
    def seeds(self) -> list[int]:
        """Training seeds that were measured."""
        return sorted(self.outcome.runs)

    @property
    def digitals(self) -> list[dict[str, Any]]:
        """The rows of the digital network, one a training seed."""
        return [self.digital(seed) for seed in self.seeds]

    def digital(self, seed: int | None = None) -> dict[str, Any]:
        """That of a training seed; of the lowest by default."""
        return (self.outcome.first if seed is None else self.outcome.runs[seed])[0]

    @property
    def places(self) -> list[Place]:
        """Every setting and age of chips."""
        there = dict.fromkeys((row["setting"], row["age"]) for row in self.outcome.first)
        return [place for place in there if place != DIGITAL]

    @property
    def varied(self) -> list[Place]:
        """Those where chips differ: not σ = 0."""
        return [place for place in self.places if place[0] != "σ 0"]

    @property
    def sigmas(self) -> list[float]:
        """Sizes of σ, drawn once a chip, that were measured."""
        return [s for s in SIGMAS if (f"σ {s:g}", "0 s") in self.places]

    @property
    def noisy(self) -> list[Place]:
        """Places of a σ above 0, drawn once a chip."""
        return [(f"σ {s:g}", "0 s") for s in self.sigmas if s]

    @property
    def aged(self) -> list[Place]:
        """Places of pcm."""
        return [place for place in self.places if place[0] == "pcm"]

    def at(self, place: Place, seed: int | None = None) -> Rows:
        """The rows of the chips at a place; of the lowest training seed by default."""
        rows = self.outcome.first if seed is None else self.outcome.runs[seed]
        return [row for row in rows if (row["setting"], row["age"]) == place and "chip" in row]

    def held(self, place: Place) -> Rows:
        """What is known of all chips of a place together: a row a training seed."""
        return [
            next(row for row in self.outcome.runs[seed] if (row["setting"], row["age"]) == place and "chip" not in row)
            for seed in self.seeds
        ]

    def gain(self, place: Place, name: str) -> Interval:
        """What choices gain, by the names of the study, over chips, images and training seeds."""
        return over_seeds([Interval(*row["gains"][name]) for row in self.held(place)])

    def each(self, place: Place, of: Callable[[dict[str, Any]], float]) -> Values:
        """Something that each row says at a place."""
        return np.array([[of(row) for row in self.at(place, seed)] for seed in self.seeds], dtype=np.float64).T


def over(table: Values) -> Interval:
    """Mean of a table, with its interval over chips and training seeds; of width 0 for a single value."""
    return Interval(*[float(table.mean())] * 3) if table.size == 1 else over_units(table, 0.95)


def over_seeds(found: Sequence[Interval], confidence: float = 0.95) -> Interval:
    """The mean of what each training seed gives, with its interval; `confidence` is that of the given ones, too.

    Chips and images are the same for all seeds, so that their half-widths stay (root of the mean square); that over seeds is
    added in squares.
    """
    values = [each.value for each in found]
    if len(values) == 1:
        return found[0]
    within = np.mean([((each.high - each.low) / 2) ** 2 for each in found])
    half = math.sqrt(float(within) + mean_interval(values, confidence).half_width ** 2)
    mean = float(np.mean(values))
    return Interval.around(mean, half)


def with_images(found: Interval, scores: Sequence[float], images: int) -> Interval:
    """A difference of two shares of right answers on the same images, with those as random draws, too.

    What they add, in squares, is as if the answers of both were independent: more than they do, for networks err on the same
    images. Where answers themselves are at hand, `mho.statistics.crossed` says it exactly.
    """
    error = 1.96 * math.sqrt(sum(s * (1 - s) for s in scores) / images)
    half = math.hypot(found.half_width, error)
    return Interval.around(found.value, half)


def common(one: Placed, other: Placed) -> list[int]:
    """Training seeds that two arms have in common.

    Raises:
        NotStored: There are none.
    """
    both = [seed for seed in one.seeds if seed in other.seeds]
    if not both:
        raise NotStored(f"'{one.name}' and '{other.name}' have no seed in common", "measure both", path=one.name)
    return both


def paired(one: Placed, left: Values, other: Placed, right: Values) -> Values:
    """A table of one arm less that of another, in the training seeds that both have."""
    a, b = ([arm.seeds.index(seed) for seed in common(one, other)] for arm in (one, other))
    return np.asarray(left[:, a] - right[:, b])


def shown(place: Place) -> str:
    """A place in words."""
    return place[0] if place[0] != "pcm" else f"pcm, {place[1]}"
