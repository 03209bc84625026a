"""What a product multiplies with: the cells in the operator's layout, made once and then used for every batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.crossbar.cells import Cells
from mho.crossbar.codes import Codes
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Block
from mho.crossbar.scaling import read_unit
from mho.crossbar.scheme import Scheme


class Operand(NamedTuple):
    """One readout of one row block; weights in the operator's layout.

    Attributes:
        weight: What the columns multiply with.
        gain: Digital factor of each column, (columns,).
        variance: Variance of each entry of `weight` from product to product, or None.
        size: |weight| · n / γ for the mean current of IR drop, or None.
        placed: `weight` times 1 - (1 - j/n)² for IR drop, or None.
    """

    weight: Tensor
    gain: Tensor
    variance: Tensor | None = None
    size: Tensor | None = None
    placed: Tensor | None = None


class Held(NamedTuple):
    """A matrix, ready to be multiplied.

    Attributes:
        scheme: The conversions; each names its operand.
        operands: See `Conversion.operand`.
        shift: Added to the digital sum of each column, real units, (columns,), or None.
        channels_last: Images may be answered in that layout, whatever the layout of the input.
        straight_through: Gradients pass noise of products and IR drop as if they were constants.
        codes: Where training keeps its converters' codes, or None.
    """

    scheme: Scheme
    operands: tuple[Operand, ...]
    shift: Tensor | None = None
    channels_last: bool = False
    straight_through: bool = False
    codes: Codes | None = None


def hold(cells: Cells, operator: Operator, scheme: Scheme) -> Held:
    """The operands of `cells`; differentiable in their weights."""
    plan, drop, offset = scheme.plan, scheme.hw.ir_drop, scheme.readouts.offset

    def part(matrix: Tensor, block: Block) -> Tensor:
        return operator.part(matrix, block, plan, scheme.kernel)

    size_of, scale = cells.weight, cells.scale
    if (unit := read_unit(cells.scale, plan, scheme.hw.mapping)) is not None:
        variance = None if cells.variance is None else cells.variance * unit**2
        cells, scale = cells._replace(weight=cells.weight * unit, variance=variance), torch.ones_like(cells.scale)
    found = []
    for b, block in enumerate(plan.blocks):
        for k, readout in enumerate(scheme.readouts.columns):
            weight, size, placed = part(cells.weight[k], block), None, None
            if drop.scale:
                size = part(size_of[k], block).abs() * (block.rows / drop.conductance_ratio)
                placed = part(_placed(cells.weight[k], block), block)
            drawn = None if cells.variance is None else part(cells.variance[k], block)
            found.append(Operand(weight, readout.factor * scale[b].flatten(), drawn, size, placed))
        if offset:
            ones = part(torch.ones_like(cells.weight[0]), block)
            found.append(Operand(ones, -offset * cells.scale[b].flatten()))
    return Held(scheme, tuple(found))


def with_factors(held: Held, factors: Sequence[Tensor | None]) -> Held:
    """`held` with the digital factors of each operand, (columns,), multiplied; None leaves one as it is."""
    pairs = zip(held.operands, factors, strict=True)
    return held._replace(operands=tuple(o if f is None else o._replace(gain=o.gain * f) for o, f in pairs))


def effective(held: Held, operator: Operator) -> Tensor:
    """The weight in torch's layout that the operands stand for, what converters, noise and IR drop add left out."""
    scheme = held.scheme
    plan, parts = scheme.plan, []
    for block, conversions in zip(plan.blocks, scheme.blocks, strict=True):
        first = block.start % plan.taps
        total: Tensor | None = None
        for at in dict.fromkeys(c.operand for c in conversions):  # slices share their operand
            operand = held.operands[at]
            rows = operator.to_matrix(operand.weight)[..., first : first + block.rows]
            term = rows * operand.gain.reshape(plan.groups, plan.columns, 1)
            total = term if total is None else total + term
        assert total is not None
        parts.append(total)
    return operator.to_weight(parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1), scheme.kernel)


def _placed(matrix: Tensor, block: Block) -> Tensor:
    """`matrix` with the rows of the block multiplied by 1 - (1 - j/n)², j = 0 next to the converter, zero elsewhere."""
    j = torch.arange(block.rows, dtype=matrix.dtype, device=matrix.device) / block.rows
    rows = matrix[..., block.start : block.stop] * (1 - (1 - j).square())
    return F.pad(rows, (block.start, matrix.shape[-1] - block.stop))
