"""From weights to the unit interval that an array can hold, and the digital scale that undoes it."""

from __future__ import annotations

import torch
from torch import Tensor

from mho.crossbar.plan import Plan
from mho.crossbar.scheme import Scheme
from mho.hardware import Mapping


def weight_scale(matrix: Tensor, plan: Plan, mapping: Mapping) -> Tensor:
    """The weight that full conductance stands for.

    Args:
        matrix: Weights, (groups, columns, rows).
        plan: Where they stand.
        mapping: One scale a tensor, a column, an array (also where columns are read unscaled), or a column of an array; or 1.

    Returns:
        Positive scales, (blocks, groups, columns); all-zero columns get 1.
    """
    size = matrix.detach().abs()
    if mapping.scale == "unit":
        return size.new_ones((len(plan.blocks), plan.groups, plan.columns))
    if mapping.scale in ("array", "none"):
        scale = torch.stack([_array_max(size, plan, b) for b in range(len(plan.blocks))])
    elif mapping.scale == "column_of_array":
        scale = torch.stack([size[..., block.start : block.stop].amax(-1) for block in plan.blocks])
    elif mapping.scale == "column":
        scale = size.amax(-1).expand(len(plan.blocks), -1, -1)
    else:
        scale = size.amax().expand(len(plan.blocks), plan.groups, plan.columns)
    if mapping.clip_sigma is not None:
        scale = torch.minimum(scale, mapping.clip_sigma * matrix.detach().std(correction=0))
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def scaled(matrix: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Weights in units of their scale, within [-1, 1], (groups, columns, rows), and the scale; see `weight_scale`."""
    mapping = scheme.hw.mapping
    scale = weight_scale(matrix, scheme.plan, mapping)
    unit = matrix / scheme.plan.spread(scale)
    return unit.clamp(-1, 1) if mapping.clips else unit, scale


def read_unit(scale: Tensor, plan: Plan, mapping: Mapping) -> Tensor | None:
    """What a full weight counts at the columns, in the unit of noise and converters; broadcast against weights.

    None is 1; where nothing is scaled (`mapping.scale` 'none') it is the weight that a full weight stands for.
    """
    return plan.spread(scale) if mapping.scale == "none" else None


def _array_max(size: Tensor, plan: Plan, b: int) -> Tensor:
    block = plan.blocks[b]
    index = plan.array_index(block).to(size.device).flatten()
    columns = size[..., block.start : block.stop].amax(-1).flatten()
    largest = torch.zeros(int(plan.array_index(block).max()) + 1, dtype=size.dtype, device=size.device)
    return largest.scatter_reduce_(0, index, columns, "amax")[index].reshape(plan.groups, plan.columns)
