"""The reference executor: what a product is, in plain torch. It differentiates, traces, and knows every conversion."""

from __future__ import annotations

import torch
from torch import Tensor

from mho.crossbar.columns import Column, columns
from mho.crossbar.held import Held
from mho.crossbar.operator import Operator


def compute(
    held: Held, operator: Operator, x: Tensor, input_range: Tensor | None, adc_range: Tensor | None,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The layer's output, real units.

    Args:
        held: What the arrays hold.
        operator: torch's operator.
        x: Input of the layer, real units.
        input_range: Largest input of the DAC (scalar), for the ranges 'calibrated' and 'learned'.
        adc_range: Largest output of the ADC, (readouts, blocks), for the ranges 'calibrated' and 'learned'.
        bias: One value a column, or None.
    """
    total: Tensor | None = None
    for column in columns(held, operator, x, input_range):
        part = converted(column, adc_range) * column.factor
        total = part if total is None else total + part
    assert total is not None
    for shift in (held.shift, bias):
        total = total if shift is None else total + operator.per_column(shift).to(total.dtype)
    return total


def converted(column: Column, adc_range: Tensor | None, seen: Tensor | None = None) -> Tensor:
    """The outputs of a column's converter, in units of a full weight times a full input; `seen` is what it meets."""
    conversion, y = column.conversion, column.seen() if seen is None else seen
    bound = conversion.range(adc_range, y.dtype, y)
    found = column.convert(y, bound)
    if conversion.halvings:
        found = _halved(found, column, bound)
    return found


def _halved(y: Tensor, column: Column, bound: Tensor | float) -> Tensor:
    """Repeat the vectors that clip at half the input, until none clips or the halvings are used up."""
    clipped = _clips(y, column, bound)
    for halving in range(1, column.conversion.halvings + 1):
        if _holds_numbers(clipped) and not bool(clipped.any()):
            break
        weaker = column.convert(column.seen_at(2.0**halving), bound)
        y = torch.where(clipped, weaker * 2.0**halving, y)
        clipped = clipped & _clips(weaker, column, bound)
    return y


def _clips(y: Tensor, column: Column, bound: Tensor | float) -> Tensor:
    """Which input vectors drive a column to the bound (or an ADC to its largest code); each group reads a vector of its own."""
    half, operator = column.conversion.half_steps, column.inputs.operator
    # A quarter of a code below it: 1 may come back as 1 - ε from h · (1 / h).
    top = bound if half is None else bound * (1 - 0.25 / half)
    each = y.shape[operator.axis] // operator.groups
    at_top = (y.abs() >= top).unflatten(operator.axis, (operator.groups, each)).any(operator.axis)
    return operator.per_group(at_top, each)


def _holds_numbers(x: Tensor) -> bool:
    """False where a decision on values is not possible: compiling, exporting, vmap, meta and fake tensors."""
    symbolic = torch.compiler.is_compiling() or type(x) is not Tensor or x.is_meta
    return not symbolic and not torch._C._functorch.is_functorch_wrapped_tensor(x)
