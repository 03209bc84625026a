"""What a product multiplies with: the cells in the operator's layout, made once and then used for every batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.crossbar.cells import Cells
from mho.crossbar.codes import Codes
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Block
from mho.crossbar.read_voltage import mean_columns
from mho.crossbar.scaling import read_unit
from mho.crossbar.scheme import Scheme
from mho.hardware import Correction

UNCORRECTED = Correction()


class Operand(NamedTuple):
    """One readout of one row block; weights in the operator's layout.

    Attributes:
        weight: What the columns multiply with.
        gain: Digital factor of each column, (columns,).
        variance: Variance of each entry of `weight` from product to product, or None.
        size: |weight| · n / γ for the mean current of IR drop, or None.
        placed: `weight` times 1 - (1 - j/n)² for IR drop, or None.
        converter: Errors of each column's converter, (columns, any number), see `mho.hardware.Circuit`, or None.
        redrawn: Variance of each entry of `weight` from conversion to conversion of a batch, or None.
        column: Offset and curve of each column's read-out, (columns, 2), or None.
        ones: 1 where the block has rows, where an offset needs the sum of the inputs.
    """

    weight: Tensor
    gain: Tensor
    variance: Tensor | None = None
    size: Tensor | None = None
    placed: Tensor | None = None
    converter: Tensor | None = None
    redrawn: Tensor | None = None
    column: Tensor | None = None
    ones: Tensor | None = None


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


def hold(
    cells: Cells, operator: Operator, scheme: Scheme, correction: Correction = UNCORRECTED, *, join: bool = False,
    converters: Mapping[tuple[int, int], Tensor] | None = None,
    columns: Mapping[tuple[int, int], Tensor] | None = None,
) -> Held:  # fmt: skip
    """The operands of `cells`; differentiable in their weights.

    Args:
        cells: What the arrays hold.
        operator: The operator that reads them.
        scheme: The conversions of a product.
        correction: What compensation makes of the outputs.
        converters: Errors of the columns' converters by readout and block.
        columns: Offset and curve of the columns' read-out, alike; None: those of a network that is no chip.
        join: Conversions that nothing keeps apart are one product (`Scheme.joined`).
    """
    plan, kernel, drop, offset = scheme.plan, scheme.kernel, scheme.hw.ir_drop, scheme.readouts.offset
    factor, shift = correction.factor, correction.shift
    size_of, scales, of_offset = cells.weight, cells.scale, cells.scale
    if (unit := read_unit(scales, plan, scheme.hw.mapping)) is not None:
        drawn = [None if v is None else v * unit**2 for v in (cells.variance, cells.redrawn)]
        cells, scales = Cells(cells.weight * unit, cells.scale, *drawn), torch.ones_like(scales)
    if join and scheme.joined is not None:
        operands = _joined(cells._replace(scale=scales), operator, scheme, scheme.joined, factor, of_offset)
        return Held(scheme.joined, operands, None if shift is None else shift.flatten())
    found = []

    def bends(k: int, b: int, block: Block) -> tuple[Tensor | None, Tensor | None]:
        if not scheme.hw.columns:
            return None, None
        errors = mean_columns(scheme.hw.columns, plan) if columns is None else columns[k, b]
        ones = (
            operator.part(torch.ones_like(cells.weight[0]), block, plan, kernel)
            if scheme.hw.columns.reference
            else None
        )
        return errors.to(cells.weight), ones

    for b, block in enumerate(plan.blocks):
        scale = scales[b].flatten()
        for k, readout in enumerate(scheme.readouts.columns):
            weight, size, placed, variance = operator.part(cells.weight[k], block, plan, kernel), None, None, None
            if drop.scale:
                size = operator.part(size_of[k], block, plan, kernel).abs() * (block.rows / drop.conductance_ratio)
                placed = operator.part(_placed(cells.weight[k], block), block, plan, kernel)
            if cells.variance is not None:
                variance = operator.part(cells.variance[k], block, plan, kernel)
            redrawn = None if cells.redrawn is None else operator.part(cells.redrawn[k], block, plan, kernel)
            gain = readout.factor * scale
            gain = gain if factor is None else gain * factor[k, b].flatten()
            errors = None if converters is None else converters.get((k, b))
            found.append(Operand(weight, gain, variance, size, placed, errors, redrawn, *bends(k, b, block)))
        if offset:
            ones = operator.part(torch.ones_like(cells.weight[0]), block, plan, kernel)
            found.append(Operand(ones, -offset * of_offset[b].flatten()))
    return Held(scheme, tuple(found), None if shift is None else shift.flatten())


def _joined(
    cells: Cells, operator: Operator, scheme: Scheme, joined: Scheme, factor: Tensor | None, of_offset: Tensor
) -> tuple[Operand, ...]:  # fmt: skip
    """Operands of the joined scheme: Σ_k f_k w_k s, in units of a gain that carries the noise of all the conversions."""
    noise, readouts = scheme.hw.noise.output, scheme.readouts
    weights, variances, squares = [], [], []
    for b, (block, conversions) in enumerate(zip(scheme.plan.blocks, scheme.blocks, strict=True)):
        gains = [readout.factor * cells.scale[b, :, :, None] for readout in readouts.columns]
        if factor is not None:
            gains = [gain * factor[k, b, :, :, None] for k, gain in enumerate(gains)]
        rows = slice(block.start, block.stop)
        terms = [gain * w[..., rows] for gain, w in zip(gains, cells.weight, strict=True)]
        if readouts.offset:
            terms.append(-readouts.offset * of_offset[b, :, :, None].expand(terms[0].shape))
        weights.append(sum(terms[1:], terms[0]))
        if cells.variance is not None:
            of_each = [gain.square() * v[..., rows] for gain, v in zip(gains, cells.variance, strict=True)]
            variances.append(sum(of_each[1:], of_each[0]))
        if noise:
            drawn = [(gains[c.readout] * (c.weight * c.noise / noise)).square() for c in conversions if c.readout >= 0]
            squares.append(sum(drawn[1:], drawn[0]))
    if len(joined.blocks) == 1:
        weights, variances = [torch.cat(weights, -1)], [torch.cat(variances, -1)] if variances else []
        squares = [sum(squares[1:], squares[0])] if squares else []
    found = []
    for b, (block, weight) in enumerate(zip(joined.plan.blocks, weights, strict=True)):
        gain = squares[b].sqrt() if squares else torch.ones_like(weight[..., :1])

        def part(rows: Tensor, block: Block = block) -> Tensor:
            whole = F.pad(rows, (block.start, joined.plan.rows - block.stop))
            return operator.part(whole, block, joined.plan, joined.kernel)

        variance = part(variances[b] / gain.square()) if variances else None
        found.append(Operand(part(weight / gain), gain.flatten(), variance))
    return tuple(found)


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
