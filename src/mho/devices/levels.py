"""Cells with a finite number of programmable states."""

from __future__ import annotations

from torch import Tensor

from mho.hardware import Cell


def round_to_levels(target: Tensor, cell: Cell) -> Tensor:
    """The nearest of `cell.levels` states, evenly spaced from g_min to g_max (µS); continuous cells keep the target."""
    if cell.levels is None:
        return target
    step = (cell.g_max_us - cell.g_min_us) / (cell.levels - 1)
    return cell.g_min_us + step * ((target - cell.g_min_us) / step).round().clamp(0, cell.levels - 1)
