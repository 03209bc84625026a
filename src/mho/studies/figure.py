"""`Figure`: what a figure shows, as data; `mho.reports` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mho.statistics.intervals import Interval


@dataclass(frozen=True)
class Series:
    """One line of a figure.

    Attributes:
        label: Its name.
        y: Values with their intervals (drawn as a band), in the unit of the axis; one value alone is a level right across.
        x: Where they stand; empty for a level.
        style: ``solid`` or ``dashed`` with marks; ``points``: marks alone with bars, where places have no order; ``reference`` is
            what the others are held against, ``limit`` a budget.
        single: Single values behind each point, such as those of training seeds.
        base: A level of its own, dotted.
    """

    label: str
    y: Sequence[Interval]
    x: Sequence[float] = ()
    style: Literal["solid", "dashed", "points", "reference", "limit"] = "solid"
    single: Sequence[Sequence[float]] = ()
    base: float | None = None


@dataclass(frozen=True)
class Figure:
    """Lines over one axis.

    Attributes:
        name: Name of its file.
        title: What it shows.
        series: Its lines.
        y_label: What is plotted, with its unit.
        x: ``age``: seconds after programming, logarithmic; ``linear`` or ``log``; or the names of the places 0, 1, 2 …
        x_label: What lies along the axis.
        low: Lower end of the y axis; what lies wholly below it is told in words. None: all is shown.
        high: Its upper end.
        legend: Names stand in a box, not at the ends of the lines.
    """

    name: str
    title: str
    series: Sequence[Series]
    y_label: str
    x: Literal["age", "linear", "log"] | Sequence[str] = "age"
    x_label: str = "age after programming"
    low: float | None = None
    high: float | None = None
    legend: bool = False


def reference(label: str, value: float) -> Series:
    """A level that the others are held against."""
    return Series(label, (Interval(value, value, value),), style="reference")


def limit(label: str, value: float) -> Series:
    """A level that is not to be left."""
    return Series(label, (Interval(value, value, value),), style="limit")


def points(values: Sequence[Interval], less: float = 0.0) -> list[Interval]:
    """Shares as percentage points, less another share."""
    return [Interval(*(100 * (part - less) for part in (v.value, v.low, v.high))) for v in values]
