"""Columns whose read-out has an offset and an S-shaped curve: `mho.hardware.Columns`."""

from __future__ import annotations

import torch
from torch import Tensor

from mho.crossbar.plan import Plan
from mho.hardware import Columns
from mho.rng import Stream


def draw_columns(columns: Columns, plan: Plan, draw: Stream) -> Tensor:
    """Offset v and curve n of each column of a block, (columns, 2), drawn once per chip."""
    noise = draw.normal("columns", (plan.groups * plan.columns, 2))
    offset = (columns.offset * noise[:, 0]).clamp(min=0)
    return torch.stack([offset, (columns.nonlinearity * (1 + columns.nonlinearity_std * noise[:, 1])).abs()], 1)


def mean_columns(columns: Columns, plan: Plan) -> Tensor:
    """The same of columns without differences, for a network that is no chip."""
    return torch.tensor([[0.0, columns.nonlinearity]], dtype=torch.float64).expand(plan.groups * plan.columns, 2)


def shifted(y: Tensor, inputs: Tensor | None, errors: Tensor, columns: Columns) -> Tensor:
    """y (1 - v) - 2 v w Σu.

    Args:
        y: Outputs.
        inputs: Σu, broadcast against `y`; None: 0.
        errors: v and n, shaped to broadcast against `y`, (2, ...).
        columns: Asked for w, its `reference`.
    """
    y = y * (1 - errors[0])
    return y if inputs is None else y - 2 * errors[0] * columns.reference * inputs


def curved(y: Tensor, errors: Tensor, columns: Columns) -> Tensor:
    """f y / (1 + n |y|); arguments as for `shifted`."""
    return (1 + columns.nonlinearity * columns.exact_at) * y / (1 + errors[1] * y.abs())
