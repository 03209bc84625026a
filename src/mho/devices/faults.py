"""Stuck-at faults: cells that do not answer to programming."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mho.hardware import Cell, Faults
from mho.rng import Stream


def draw_faults(shape: Sequence[int], faults: Faults, draw: Stream) -> tuple[Tensor, Tensor]:
    """Masks of the cells stuck at g_min and at g_max; no cell is in both."""
    u = draw.uniform("faults", shape)
    low = u < faults.stuck_low
    return low, (u >= faults.stuck_low) & (u < faults.stuck_low + faults.stuck_high)


def lay_over(g: Tensor, masks: tuple[Tensor, Tensor], cell: Cell) -> Tensor:
    """Conductances (µS) with the stuck cells at their value."""
    low, high = (mask.to(g.device) for mask in masks)
    return torch.where(high, cell.g_max_us, torch.where(low, cell.g_min_us, g))
