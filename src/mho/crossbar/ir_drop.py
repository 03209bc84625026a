"""Voltage drop along the columns, at first order."""

from __future__ import annotations

import torch
from torch import Tensor

from mho.crossbar.inputs import Inputs
from mho.hardware import IRDrop


def ir_drop(inputs: Inputs, weight: Tensor, placed: Tensor, rows: int, drop: IRDrop, factor: float = 1.0) -> Tensor:
    """What the wire's resistance takes from the column outputs.

    With n rows, row j = 0 next to the converter, and γ the wire's conductance over g_max,
    a_i = (n/γ) Σ_j |w_ij||u_j|,  c(a) = a (a (0.05 a - 0.2) + 0.5),
    Δy_i = s c(a_i) Σ_j w_ij u_j (1 - (1 - j/n)²)
    (Rasch et al. 2019, arXiv 1906.02698; AIHWKit `rpu_forward_backward_pass.cpp`). To first order in a it is the exact
    drop of a column under a mean-field current, for inputs coded as pulses on rows that float in
    between. Rows that are held at 0 V between pulses, and inputs coded as voltages, lose about 1 / mean(u) times more.

    Args:
        inputs: Inputs of the block.
        weight: The block's weight in the operator's layout.
        placed: `weight` times 1 - (1 - j/n)², same layout.
        rows: n.
        drop: s and γ.
        factor: Reduction of the inputs.
    """
    a = inputs.moment(torch.abs, 1, weight.abs(), factor) * (rows / drop.conductance_ratio)
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    return drop.scale * c * inputs.moment(_same, 1, placed, factor)


def position_factor(rows: int, like: Tensor) -> Tensor:
    """1 - (1 - j/n)² for j = 0 … n - 1."""
    j = torch.arange(rows, dtype=like.dtype, device=like.device) / rows
    return 1 - (1 - j).square()


def _same(u: Tensor) -> Tensor:
    return u
