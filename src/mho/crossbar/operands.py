"""What one row block multiplies with, brought into the operator's layout once and then reused for every batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.crossbar.cells import Cells
from mho.crossbar.inputs import Inputs
from mho.crossbar.ir_drop import ir_drop, position_factor
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Block, Plan
from mho.hardware import Hardware, IRDrop
from mho.kernels import Drop


class Operand(NamedTuple):
    """One readout of one row block; weights in the operator's layout.

    Attributes:
        weight: What the columns multiply with.
        gain: Digital factor of each column, (columns,).
        variance: Variance of each entry of `weight` from product to product, or None.
        size: |weight| · n / γ for the mean current of IR drop, or None.
        placed: `weight` times 1 - (1 - j/n)², or None.
    """

    weight: Tensor
    gain: Tensor
    variance: Tensor | None = None
    size: Tensor | None = None
    placed: Tensor | None = None


class Reference(NamedTuple):
    """The reference column of an offset encoding in one row block.

    Attributes:
        ones: Weights of 1 in the operator's layout.
        scale: What its output is multiplied with, (columns,).
    """

    ones: Tensor
    scale: Tensor


class Operands(NamedTuple):
    """A matrix by row block.

    Attributes:
        blocks: For each row block its readouts.
        references: For each row block its reference column, or None.
    """

    blocks: tuple[tuple[Operand, ...], ...]
    references: tuple[Reference | None, ...]


def operands(cells: Cells, operator: Operator, plan: Plan, kernel: tuple[int, ...], hw: Hardware) -> Operands:
    """The operands of `cells`; differentiable in their weights."""

    def part(matrix: Tensor, block: Block) -> Tensor:
        return operator.part(matrix, block, plan, kernel)

    offset = hw.encoding.readouts(hw.cell).offset
    blocks: list[tuple[Operand, ...]] = []
    references: list[Reference | None] = []
    for b, block in enumerate(plan.blocks):
        readouts = []
        for k in range(len(cells.weight)):
            weight, size, placed = part(cells.weight[k], block), None, None
            if hw.ir_drop.scale:
                size = weight.abs() * (block.rows / hw.ir_drop.conductance_ratio)
                placed = part(_placed(cells.weight[k], block), block)
            variance = None if cells.variance is None else part(cells.variance[k], block)
            readouts.append(Operand(weight, cells.gain[k, b].flatten(), variance, size, placed))
        blocks.append(tuple(readouts))
        if offset:
            ones = part(torch.ones_like(cells.weight[0]), block)
            references.append(Reference(ones, offset * cells.scale[b].flatten()))
        else:
            references.append(None)
    return Operands(tuple(blocks), tuple(references))


def products(
    inputs: Inputs, operand: Operand, drop: IRDrop, factor: float = 1.0
) -> tuple[Tensor, Tensor | None, Drop | None]:
    """Product of one readout, the variance that its weights add to it, and what IR drop takes from it."""
    y, spread, taken = inputs.multiply(operand.weight, factor), None, None
    if operand.size is not None and operand.placed is not None:
        taken = ir_drop(inputs, operand.size, operand.placed, drop, factor)
    if operand.variance is not None:
        spread = inputs.moment(torch.square, 2, operand.variance, factor)
    return y, spread, taken


def _placed(matrix: Tensor, block: Block) -> Tensor:
    """`matrix` with the rows of the block multiplied by their position factor, zero elsewhere."""
    rows = matrix[..., block.start : block.stop] * position_factor(block.rows, matrix)
    return F.pad(rows, (block.start, matrix.shape[-1] - block.stop))
