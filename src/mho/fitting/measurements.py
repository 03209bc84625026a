"""`Measurements`: conductances that cells were programmed to and that were read from them, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mho.errors import BadInput
from mho.units import show_time

Floats = NDArray[np.float64]
_LONGEST_S = 40 * 365 * 86400.0
"""Longest age that is believed, s: a clock's time stamp is longer."""
_FEWEST_CELLS = 5
_LARGEST_US = 1e6
"""Largest conductance that is believed, µS: 1 S."""
_ODD = 30.0
"""Factor between targets and readings from which on a unit must be wrong."""


@dataclass(frozen=True)
class Measurements:
    """Readings of C cells, J at most of each; places without a reading hold NaN.

    Attributes:
        cells: Their names.
        target_us: What each was programmed to, (C,), µS.
        time_s: Times of its readings after programming, (C, J), s; rising.
        g_us: The readings, (C, J), µS.
        source: Where they come from, for sentences.
        notes: What was left out or assumed in reading them.
        temperature_c: At which all were read, where it is told.
    """

    cells: tuple[str, ...]
    target_us: Floats
    time_s: Floats
    g_us: Floats
    source: str = "measurements"
    notes: tuple[str, ...] = ()
    temperature_c: float | None = None

    @property
    def readings(self) -> int:
        """How many there are."""
        return int(np.isfinite(self.g_us).sum())

    @property
    def times_s(self) -> Floats:
        """All times at which anything was read, rising."""
        return np.unique(self.time_s[np.isfinite(self.time_s)])

    def shown(self) -> str:
        """One sentence."""
        times = self.times_s
        span = show_time(times[0]) if len(times) == 1 else f"{show_time(times[0])} to {show_time(times[-1])}"
        targets = len(np.unique(self.target_us))
        return (
            f"{len(self.cells):,} cells, {self.readings:,} readings at {len(times)} time{'s' * (len(times) > 1)} ({span}), "
            f"{targets} target{'s' * (targets > 1)} from {self.target_us.min():.3g} to {self.target_us.max():.3g} µS"
        )


def gathered(
    cells: list[str], target_us: Floats, time_s: Floats, g_us: Floats, *, source: str, notes: tuple[str, ...] = (),
    temperature_c: float | None = None, repeats: bool = False,
) -> Measurements:  # fmt: skip
    """One line a reading as one row a cell.

    Args:
        cells: Name of the cell of each reading.
        target_us: Its target, µS.
        time_s: When it was read, s after programming.
        g_us: The reading, µS.
        source: Where they come from.
        notes: What is to be said with them.
        temperature_c: At which all were read.
        repeats: Readings of a cell at one time are told apart by a number of their own.

    Raises:
        BadInput: A cell of two targets, one read twice at one time, one cell or too few, times or units that cannot be.
    """
    _check_values(target_us, time_s, g_us, source)
    names, first, index = np.unique(np.asarray(cells), return_index=True, return_inverse=True)
    where = np.argsort(first)  # in the order of the file
    rank = np.empty_like(where)
    rank[where] = np.arange(len(where))
    index = rank[index]
    names = names[where]
    targets = np.full(len(names), np.nan)
    targets[index] = target_us
    if (other := np.flatnonzero(targets[index] != target_us)).size:
        cell = names[index[other[0]]]
        found = sorted(set(target_us[index == index[other[0]]].tolist()))
        raise BadInput(
            f"cell {cell} has {len(found)} targets: {', '.join(f'{t:.4g} µS' for t in found[:3])}",
            "give every programming of a cell a cell id of its own", path=source,
        )  # fmt: skip
    if len(names) < _FEWEST_CELLS:
        raise BadInput(
            f"{len(names)} cell{'s' * (len(names) > 1)}: how cells differ cannot be known from "
            f"{'so few' if len(names) > 1 else 'one'}",
            f"measure {_FEWEST_CELLS} cells at least, better 100; several cells are told apart by a column 'cell'",
            path=source,
        )
    order = np.lexsort((time_s, index))
    index, time_s, g_us = index[order], time_s[order], g_us[order]
    place = np.arange(len(index)) - np.searchsorted(index, index)
    table_t, table_g = (np.full((len(names), int(place.max()) + 1), np.nan) for _ in range(2))
    table_t[index, place], table_g[index, place] = time_s, g_us
    twice = np.flatnonzero((np.diff(table_t, axis=1) == 0).any(axis=1))
    if twice.size and not repeats:
        row = table_t[twice[0]]
        t = row[1:][np.diff(row) == 0][0]
        raise BadInput(
            f"cell {names[twice[0]]} has several readings at {show_time(float(t))}",
            "number repeated readings in a column 'read', or leave out the rows that are there twice", path=source,
        )  # fmt: skip
    return Measurements(tuple(map(str, names)), targets, table_t, table_g, source, notes, temperature_c)


def _check_values(target: Floats, time: Floats, g: Floats, source: str) -> None:
    for what, values in (("target", target), ("conductance", g)):
        if (bad := np.flatnonzero(values < 0)).size:
            raise BadInput(
                f"{bad.size} negative {what}{'s' * (bad.size > 1)}, the first {values[bad[0]]:.4g} µS",
                "a conductance is 0 or more: take off the instrument's offset, or leave them out: skip (--skip-invalid)",
                path=source,
            )  # fmt: skip
        if (bad := np.flatnonzero(values > _LARGEST_US)).size:
            raise BadInput(
                f"{bad.size} {what}{'s' * (bad.size > 1)} beyond 1 S, the first {values[bad[0]] * 1e-6:.4g} S",
                "give the right unit, as in 'g [uS]', or take such readings out of the table", path=source,
            )  # fmt: skip
    if (bad := np.flatnonzero(time > _LONGEST_S)).size:
        raise BadInput(
            f"{bad.size} times beyond 40 years, the first {time[bad[0]]:.6g} s",
            "give the time since programming, not a clock's time stamp, in the right unit", path=source,
        )  # fmt: skip
    if target.max() <= 0:
        raise BadInput("every target is 0", "cells of several conductances are needed", path=source)
    at = target > 0
    ratio = float(np.median(g[at]) / np.median(target[at]))
    if not 1 / _ODD < ratio < _ODD:
        raise BadInput(
            f"readings are {ratio:.3g} times their targets (median)",
            "give both columns their unit, as in 'target [uS]' and 'g [nS]'", path=source,
        )  # fmt: skip
