"""The contract of a design. One of the user's own is a subclass and an entry point of `mho.designs`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mho.errors import MhoError, WrongSetting
from mho.hardware.spec import Spec
from mho.registry import Registry
from mho.sweeps.factor import Factor, text_of
from mho.sweeps.sections import HELP

Point = dict[str, Any]
"""Levels by the path of their factor; a factor that is not there stays as in the base."""
MOST = 100_000
"""Points that a design may have."""


class Design(Spec, ABC):
    """Which combinations of levels are tried."""

    remedy: ClassVar[str] = HELP
    kind: str
    drawn: ClassVar[bool] = False
    """Whether points are drawn, so that levels meet other levels of the rest by chance."""

    adaptive: ClassVar[bool] = False
    """Whether points follow from what was measured at others, so that `points` gives but the first."""
    around_base: ClassVar[bool] = False
    """Whether each point is the base but for the factors that it names."""

    @abstractmethod
    def points(self, factors: Mapping[str, Factor], base: Mapping[str, Any]) -> list[Point]:
        """The points, some perhaps more than once.

        Args:
            factors: By path.
            base: Level of each factor in the base.

        Raises:
            WrongSetting: Factors that the design cannot do.
        """

    def total(self, drawn: int) -> int:
        """Points that there will be in all.

        Args:
            drawn: How many different ones `points` gives.
        """
        return drawn

    def mistakes(self, factors: Mapping[str, Factor], ages: Sequence[float], costs: Sequence[str]) -> list[MhoError]:
        """What a sweep has not that the design needs.

        Args:
            factors: By path.
            ages: At which chips are measured.
            costs: What is noted of each trial.
        """
        return []

    def choose(self, factors: Mapping[str, Factor], tried: Sequence[Any]) -> Point | None:
        """The next point of an adaptive design; None where there is no other one.

        Args:
            factors: By path.
            tried: The points before it (`mho.sweeps.designs.adaptive.Tried`).
        """
        return None


DESIGNS: Registry[type[Design]] = Registry(
    "design",
    "mho.designs",
    {
        "grid": "mho.sweeps.designs.grid:Grid",
        "one_at_a_time": "mho.sweeps.designs.one_at_a_time:OneAtATime",
        "random": "mho.sweeps.designs.sampled:Random",
        "lhs": "mho.sweeps.designs.sampled:LatinHypercube",
        "sobol": "mho.sweeps.designs.sampled:Sobol",
        "bayesian": "mho.sweeps.designs.adaptive:Bayesian",
        "multi_objective": "mho.sweeps.designs.adaptive:MultiObjective",
    },
)


def active(point: Point, factors: Mapping[str, Factor]) -> Point:
    """The point without the factors whose conditions it does not meet, one after the other."""
    while gone := [path for path in point if not factors[path].holds(point)]:
        point = {path: level for path, level in point.items() if path not in gone}
    return point


def distinct(points: list[Point]) -> list[Point]:
    """Each point once, in order."""
    return list({text_of(point): point for point in points}.values())


def levels_of(factors: Mapping[str, Factor], kind: str) -> dict[str, tuple[Any, ...]]:
    """The levels of each factor.

    Raises:
        WrongSetting: A span that is not cut into levels.
    """
    if spans := [path for path, factor in factors.items() if factor.listed is None]:
        raise WrongSetting(
            f"the design '{kind}' needs levels, and there is a span of {', '.join(spans)}",
            "add levels: N to it, or take the design random, lhs or sobol",
            path=f"factors.{spans[0]}",
        )
    return {path: factor.listed or () for path, factor in factors.items()}
