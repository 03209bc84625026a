"""The logarithmic axis of ages that every figure over time has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from mho.measure.sentence import show_age
from mho.statistics.curves import log_age
from mho.units import show_time

_NICE = (1e-6, 1e-3, 1.0, 60.0, 3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0, 365 * 86400.0, 3650 * 86400.0)
_SHORT = {"month": "mo", "year": "y", "day": "d"}
_LETTER = 0.075
"""Width of a letter of a label, in inches, with what must be free beside a label."""


def age_axis(ax: Axes, ages: Sequence[float], *, width: float) -> None:
    """A logarithmic axis with ages as people write them; an age of 0 stands a decade before the next.

    The last age has a label, then the first, then the others from the last on, as far as there is room for them.

    Args:
        ax: The axes.
        ages: The ages, in seconds.
        width: Of the axis, in inches.
    """
    x = log_age(ages, ages)
    pad = 0.02 * (x[-1] - x[0]) or 1.0
    ax.set_xlim(float(x[0] - pad), float(x[-1] + pad))
    few = len(ages) <= 8
    wanted = ages if few else (ages[0], *(t for t in _NICE if ages[0] < t < ages[-1]), ages[-1])
    name: Callable[[float], str] = show_age if ages[0] == 0 and len(ages) == 1 else show_time
    names = {t: "0" if t == 0 and len(ages) > 1 else name(t) for t in wanted}
    inch = (x[-1] - x[0] + 2 * pad) / width
    kept: list[float] = []
    for t in dict.fromkeys([wanted[-1], wanted[0], *sorted(wanted, reverse=True)]):
        if all(_apart(t, other, ages) > inch * _LETTER * (len(names[t]) + len(names[other]) + 1) / 2 for other in kept):
            kept.append(t)
    ax.set_xticks([float(log_age(t, ages)) for t in wanted], [names[t] if t in kept else "" for t in wanted])
    ax.set_xlabel("age after programming")


def _apart(one: float, other: float, ages: Sequence[float]) -> float:
    return abs(float(log_age(one, ages)) - float(log_age(other, ages)))


def fewer(ages: Sequence[float], most: int) -> list[int]:
    """Places of at most `most` ages, the first and the last among them."""
    if len(ages) <= most:
        return list(range(len(ages)))
    return sorted({round(i * (len(ages) - 1) / (most - 1)) for i in range(most)})


def short_age(t_s: float) -> str:
    """An age for a narrow column: ``6 mo``."""
    if t_s == 0:
        return "start"
    number, unit = show_age(t_s).split(" ")
    return f"{number} {_SHORT.get(unit.rstrip('s'), unit)}"
