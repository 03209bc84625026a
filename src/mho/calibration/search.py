"""The range at which an error is smallest."""

from __future__ import annotations

from collections.abc import Callable

_STEP, _PATIENCE, _MOST = 0.5, 4, 40
"""Octaves between candidates; how many in a row may fail to improve; most candidates on one side."""
_FINER = (0.25, 0.125, 0.0625)


def smallest_error(error: Callable[[float], float], largest: float, *, upwards: bool = False) -> float:
    """A range r with the smallest error, on a grid that is refined around the best: to 1/16 of an octave, 4.4 %.

    The error of a converter falls with its range while rounding dominates and rises once clipping does. The search
    starts at the largest value and halves it until four candidates in a row, a factor 4, have not helped.

    Args:
        error: The error at a range.
        largest: The largest value, r > 0; a larger range only rounds more coarsely.
        upwards: Look above it, too.
    """
    seen: dict[float, float] = {}

    def at(octaves: float) -> float:
        if octaves not in seen:
            seen[octaves] = error(largest * 2.0**octaves)
        return seen[octaves]

    best = 0.0
    for direction in (-_STEP, _STEP) if upwards else (-_STEP,):
        turn = best
        for i in range(1, _MOST + 1):
            here = direction * i
            if at(here) < at(turn):
                turn = here
            elif abs(here - turn) >= _PATIENCE * _STEP:
                break
        best = min(best, turn, key=at)
    for step in _FINER:
        around = [best, best - step, best + step]
        best = min((o for o in around if upwards or o <= 0), key=at)
    return largest * 2.0**best
