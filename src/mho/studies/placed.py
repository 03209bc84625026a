"""`Placed`: reads the rows of an arm that was measured digitally, over σ of its cells, and over age."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mho.data import Dataset
from mho.studies.definitions import SIGMAS
from mho.studies.outcome import Outcome

Rows = list[dict[str, Any]]
Place = tuple[str, str]
"""Setting and age."""
_CHOICE = 500
"""Images on which thresholds, exits and blocks are chosen, at most; at most a quarter of all."""


def apart(data: Dataset, reported: int | None) -> tuple[Dataset, Dataset]:
    """Test images to choose on, the last ones, and others that are reported, the first ones; None: all others."""
    first = len(data.labels) - min(_CHOICE, len(data.labels) // 4)
    choice = replace(data, inputs=data.inputs[first:], labels=data.labels[first:])
    return choice, data.subset(first if reported is None else min(reported, first))


@dataclass(frozen=True)
class Placed:
    """Reads the rows of an arm; the first is that of the digital network.

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
    def digital(self) -> dict[str, Any]:
        """The row of the digital network."""
        return self.outcome.first[0]

    @property
    def places(self) -> list[Place]:
        """Every setting and age of chips."""
        return list(dict.fromkeys((row["setting"], row["age"]) for row in self.outcome.first[1:]))

    @property
    def varied(self) -> list[Place]:
        """Those where chips differ: not σ = 0."""
        return [place for place in self.places if place[0] != "σ 0"]

    @property
    def sigmas(self) -> list[float]:
        """Sizes of σ, drawn once a chip, that were measured."""
        return [s for s in SIGMAS if (f"σ {s:g}", "0 s") in self.places]


def shown(place: Place) -> str:
    """A place in words."""
    return place[0] if place[0] != "pcm" else f"pcm, {place[1]}"
