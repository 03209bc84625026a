"""`columns`: the walk over the conversions of a product, up to what each converter meets.

The one loop over row blocks, slices and readouts. The reference executor converts and sums what it yields; calibration,
range reports and errors by bits look at it. Plain torch, differentiable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mho.crossbar.held import Held, Operand
from mho.crossbar.inputs import Inputs, PatchInputs, ScaledInputs
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Block
from mho.crossbar.read_voltage import curved, shifted
from mho.crossbar.scheme import Conversion, Scheme
from mho.hardware import Columns
from mho.kernels import Drop, add_noise

SMALLEST_REACH = 1e-12
"""Range of an input vector of zeros."""


class Column(NamedTuple):
    """The column outputs of one conversion, full weight × full input = 1.

    Attributes:
        conversion: Which.
        operand: What was multiplied with.
        inputs: The inputs of its row block.
        clean: Outputs without the noise of products, IR drop included.
        spread: Variance that noise of the weights adds to each, or None.
        reach: Range of the inputs, broadcast against the outputs.
        drop: Size of IR drop.
        bends: Offsets and curves of the columns, or None.
    """

    conversion: Conversion
    operand: Operand
    inputs: Inputs
    clean: Tensor
    spread: Tensor | None
    reach: Tensor | float
    drop: float
    bends: Columns | None = None

    @property
    def factor(self) -> Tensor:
        """What the digital sum multiplies the converted outputs with, broadcast against them."""
        return self.inputs.operator.per_column(self.operand.gain * self.conversion.weight) * self.reach

    def seen(self) -> Tensor:
        """What the converter meets: with noise, drawn anew at each call."""
        return self._through(self.clean, self.spread, 1.0)

    def _through(self, clean: Tensor, spread: Tensor | None, reduction: float) -> Tensor:
        """Offset, noise of weights, curve, noise of outputs."""
        operand, bends = self.operand, self.bends
        if operand.column is None or bends is None or self.conversion.slice is None:
            return _noisy(clean, spread, self.conversion.noise)
        errors = torch.stack([self.inputs.operator.per_column(e) for e in operand.column.to(clean).unbind(-1)])
        inputs = (
            None
            if operand.ones is None
            else self.inputs.sliced(self.conversion.slice).multiply(operand.ones, reduction)
        )
        y = _noisy(shifted(clean, inputs, errors, bends), spread, 0.0)
        return _noisy(curved(y, errors, bends), None, self.conversion.noise)

    def convert(self, y: Tensor, bound: Tensor | float) -> Tensor:
        """The converter's output for what it meets."""
        return self.conversion.convert(y, bound, self.operand.converter, self.inputs.operator.axis)

    def seen_at(self, reduction: float) -> Tensor:
        """The same for inputs reduced by a factor, in units of the reduced full input."""
        clean, spread = multiply(self.inputs, self.conversion, self.operand, self.drop, reduction)
        return self._through(clean, spread, reduction)


def columns(held: Held, operator: Operator, x: Tensor, input_range: Tensor | None) -> Iterator[Column]:
    """What each conversion of a product meets, in the scheme's order.

    Args:
        held: What the arrays hold.
        operator: torch's operator.
        x: Input of the layer, real units.
        input_range: Largest input of the DAC (scalar), where the scheme needs one.
    """
    scheme = held.scheme
    for block, conversions in zip(scheme.plan.blocks, scheme.blocks, strict=True):
        inputs, reach = block_inputs(scheme, operator, block, x, input_range)
        for conversion in conversions:
            operand = held.operands[conversion.operand]
            clean, spread = multiply(inputs, conversion, operand, scheme.hw.ir_drop.scale, 1.0)
            bends = scheme.hw.columns or None
            yield Column(conversion, operand, inputs, clean, spread, reach, scheme.hw.ir_drop.scale, bends)


def full_input(input_range: Tensor | None, dtype: torch.dtype) -> Tensor | float:
    """What an input of 1 stands for; 1 where nothing between input and output is in units of it."""
    return 1.0 if input_range is None else input_range.to(dtype)


def block_inputs(
    scheme: Scheme, operator: Operator, block: Block, x: Tensor, input_range: Tensor | None
) -> tuple[Inputs, Tensor | float]:
    """The inputs of a row block as its array sees them, and the range that they are relative to."""
    raw, half = operator.take(x, block, scheme.plan), scheme.input_steps
    if not scheme.per_vector:
        reach = full_input(input_range, x.dtype)
        return ScaledInputs(raw, reach, half, operator, scheme.hw.noise.input), reach
    smallest = max(SMALLEST_REACH, torch.finfo(raw.dtype).tiny)
    found = operator.patch_max(raw, scheme.kernel, operator.taps_of(block, scheme.plan)).clamp(min=smallest)
    if operator.dims == 0:
        return ScaledInputs(raw, found, half, operator, scheme.hw.noise.input), found
    patches = PatchInputs(raw, found, half, operator, scheme.kernel, scheme.plan.columns)
    return patches, operator.per_group(found, scheme.plan.columns)


def multiply(
    inputs: Inputs, conversion: Conversion, operand: Operand, drop: float, reduction: float
) -> tuple[Tensor, Tensor | None]:
    """Column outputs with IR drop, and the variance that noise of the weights adds to them."""
    inputs = inputs.codes() if conversion.slice is None else inputs.sliced(conversion.slice)
    weight = operand.weight
    if operand.redrawn is not None:  # its gradient is that of the weight
        weight = add_noise(weight, operand.redrawn.detach().clamp(min=0).sqrt())
    y, spread = inputs.multiply(weight, reduction), None
    if operand.size is not None:
        y = y - drop_of(inputs, operand, drop, reduction)()
    if operand.variance is not None:
        spread = inputs.moment(torch.square, 2, operand.variance, reduction)
    return y, spread


def drop_of(inputs: Inputs, operand: Operand, scale: float, reduction: float) -> Drop:
    """What the wires' resistance takes from the column outputs, at first order.

    With n rows, row j = 0 next to the converter, and γ the wire's conductance over g_max,
    a_i = (n/γ) Σ_j |w_ij||u_j|,  c(a) = a (a (0.05 a - 0.2) + 0.5),
    Δy_i = s c(a_i) Σ_j w_ij u_j (1 - (1 - j/n)²)
    (Rasch et al. 2019, arXiv 1906.02698; AIHWKit `rpu_forward_backward_pass.cpp`). To first order in a it is the exact
    drop of a column under a mean-field current, for inputs coded as pulses on rows that float in between. Rows that are
    held at 0 V between pulses, and inputs coded as voltages, lose about 1 / mean(u) times more.
    """
    assert operand.size is not None and operand.placed is not None
    current = inputs.moment(torch.abs, 1, operand.size, reduction)
    return Drop(current, inputs.moment(_same, 1, operand.placed, reduction), scale)


def _same(u: Tensor) -> Tensor:
    return u


def _noisy(clean: Tensor, spread: Tensor | None, sigma: float) -> Tensor:
    if spread is None:
        return add_noise(clean, sigma) if sigma else clean
    variance = spread.clamp(min=0) + sigma**2
    some = variance > 0  # the root's slope at 0 is infinite, and would make NaN of a gradient
    return add_noise(clean, torch.where(some, variance, 1.0).sqrt() * some)
