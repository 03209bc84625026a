"""`least`: where a function that was computed on a grid is least."""

from __future__ import annotations

import numpy as np

from mho.fitting.measurements import Floats


def least(grid: Floats, sums: Floats) -> Floats:
    """Where each column of sums over a geometric grid is least, by a parabola through the least and its neighbours."""
    i = np.clip(sums.argmin(axis=0), 1, len(grid) - 2)
    before, at, after = (sums[i + k, np.arange(sums.shape[1])] for k in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.clip(np.where(bend > 0, 0.5 * (before - after) / np.where(bend > 0, bend, 1.0), 0.0), -1, 1)
    return np.asarray(grid[i] * (grid[1] / grid[0]) ** shift)
