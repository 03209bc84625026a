"""Voltage drop along the columns, at first order.

With n rows, row j = 0 next to the converter, and γ the wire's conductance over g_max,
a_i = (n/γ) Σ_j |w_ij||u_j|,  c(a) = a (a (0.05 a - 0.2) + 0.5),
Δy_i = s c(a_i) Σ_j w_ij u_j (1 - (1 - j/n)²)
(Rasch et al. 2019, arXiv 1906.02698; AIHWKit `rpu_forward_backward_pass.cpp`). To first order in a it is the exact
drop of a column under a mean-field current, for inputs coded as pulses on rows that float in
between. Rows that are held at 0 V between pulses, and inputs coded as voltages, lose about 1 / mean(u) times more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mho.crossbar.inputs import Inputs
from mho.hardware import IRDrop
from mho.kernels import Drop


def ir_drop(inputs: Inputs, size: Tensor, placed: Tensor, drop: IRDrop, factor: float = 1.0) -> Drop:
    """What the wire's resistance takes from the column outputs.

    Args:
        inputs: Inputs of the block.
        size: |w| n / γ in the operator's layout.
        placed: w times 1 - (1 - j/n)², same layout.
        drop: s.
        factor: Reduction of the inputs.
    """
    return Drop(inputs.moment(torch.abs, 1, size, factor), inputs.moment(_same, 1, placed, factor), drop.scale)


def position_factor(rows: int, like: Tensor) -> Tensor:
    """1 - (1 - j/n)² for j = 0 … n - 1."""
    j = torch.arange(rows, dtype=like.dtype, device=like.device) / rows
    return 1 - (1 - j).square()


def _same(u: Tensor) -> Tensor:
    return u
