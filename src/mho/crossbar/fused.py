"""The fused executor: the reference's answers from single passes of the kernels, a few images at a time.

It computes what `Scheme.only_by_reference` does not exclude, where nothing is differentiated; `mho.crossbar.step` has a
way back for training. Where tensors do not suit the kernels, these run in plain torch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mho.crossbar.columns import SMALLEST_REACH, columns, full_input
from mho.crossbar.held import Held, Operand
from mho.crossbar.operator import Operator
from mho.crossbar.scheme import Scheme
from mho.crossbar.vectors import window_of
from mho.kernels import Drop, Kept, add_noise, moments, quantise, quantise_vectors, read_out, read_out_kept
from mho.kernels.cpu import row_strides

_AT_ONCE = 1 << 19
"""Inputs of a linear layer that are converted at once, about: they are in memory beside the layer's own input and output."""
_CACHED = 12_000_000
"""Bytes that the inputs and outputs of several products may take, about: a batch is cut so that they stay in the cache."""


def forward(
    held: Held, operator: Operator, x: Tensor, input_range: Tensor | None, adc_range: Tensor | None, bias: Tensor | None
) -> Tensor:
    """The layer's output, real units; arguments as for `mho.crossbar.reference.compute`."""
    scheme = held.scheme
    if scheme.per_vector and operator.dims:
        return _per_patch(held, operator, x, adc_range, bias)
    reach = full_input(None if scheme.per_vector else input_range, x.dtype)
    if (size := _piece(x, held, operator)) >= len(x):
        return walk(held, operator, x, reach, adc_range, bias)
    parts = x.split(size)
    first = walk(held, operator, parts[0], reach, adc_range, bias)
    rows = operator.dims == 2 and not first.is_contiguous()
    memory = torch.channels_last if rows else torch.contiguous_format
    out = torch.empty((len(x), *first.shape[1:]), memory_format=memory)
    out[:size] = first
    for part, place in zip(parts[1:], out[size:].split(size), strict=True):
        found = walk(held, operator, part, reach, adc_range, bias, place)
        if found is not place:
            place.copy_(found)
    return out


def walk(
    held: Held, operator: Operator, x: Tensor, reach: Tensor | float, adc_range: Tensor | None, bias: Tensor | None,
    out: Tensor | None = None, kept: list[Kept] | None = None,
    coded: list[tuple[Kept, Tensor | float]] | None = None,
) -> Tensor:  # fmt: skip
    """The digital sum over the scheme's conversions, for one range of the inputs, or one a vector of a linear layer.

    Args:
        held, operator, x, adc_range, bias: See `mho.crossbar.reference.compute`.
        reach: Range of the DAC.
        out: Where the result may go.
        kept: Gets what the way back needs, one entry a conversion.
        coded: Gets the converters' codes, too, and the range of each.
    """
    scheme, axis, noise = held.scheme, operator.axis, held.scheme.hw.noise.input
    planar = not held.channels_last and operator.dims == 2 and x.is_contiguous()
    shift = held.shift if bias is None else bias if held.shift is None else held.shift + bias
    last = scheme.conversions[-1]
    total: Tensor | None = None
    for block, conversions in zip(scheme.plan.blocks, scheme.blocks, strict=True):
        raw = operator.take(x, block, scheme.plan)
        each: Tensor | None = None
        if scheme.per_vector:
            given, each = quantise_vectors(raw, scheme.input_steps, SMALLEST_REACH, passing=not noise)
        else:
            given = quantise(raw, reach, scheme.input_steps, -1 if operator.transposed else axis, passing=not noise)
        noisy = add_noise(given, noise) if noise else given
        for conversion in conversions:
            operand = held.operands[conversion.operand]
            u = given if conversion.slice is None else noisy  # an offset is summed digitally
            y = operator(u, operand.weight)
            spread, drop = _beside(operator, u, y, operand, scheme)
            bound = conversion.range(adc_range, y.dtype)
            arguments = (
                axis, bound, conversion.half_steps, conversion.noise**2, spread, drop,
                shift if conversion is last else None, total, planar,
            )  # fmt: skip
            if kept is None:
                total = read_out(y, operand.gain, *arguments, out, reach, each)
            else:
                total, found = read_out_kept(y, operand.gain, *arguments, coded is not None, reach)
                kept.append(Kept(found.mask, None, found.layout))
                if coded is not None:
                    coded.append((found, bound))
    assert total is not None
    return total


def _per_patch(held: Held, operator: Operator, x: Tensor, adc_range: Tensor | None, bias: Tensor | None) -> Tensor:
    """Every patch of a convolution has a range of its own, which is undone behind the read-out."""
    total: Tensor | None = None
    for column in columns(held, operator, x, None):
        conversion, gain = column.conversion, column.operand.gain
        bound = conversion.range(adc_range, x.dtype)
        variance = conversion.noise**2
        part = read_out(column.clean, gain, operator.axis, bound, conversion.half_steps, variance, column.spread)
        part = part * column.reach
        total = part if total is None else total + part
    assert total is not None
    for shift in (held.shift, bias):
        total = total if shift is None else total + operator.per_column(shift).to(total.dtype)
    return total


def _piece(x: Tensor, held: Held, operator: Operator) -> int:
    """Images (vectors) of a piece; all of them where cutting does not pay or is not possible.

    One convolution a layer is faster in one go: every call of the operator costs a fixed time.
    """
    scheme = held.scheme
    batched = x.dim() == operator.dims + 2 if operator.dims else x.dim() > 1
    if not batched or operator.dims not in (0, 2) or x.dtype != torch.float32 or x.device.type != "cpu":
        return len(x)
    if scheme.passes == 1:
        return len(x) if operator.dims or not x.numel() else max(1, _AT_ONCE * len(x) // x.numel())
    largest = max(scheme.plan.columns * scheme.plan.groups, x.shape[operator.axis])
    vectors = math.prod(x.shape[1:]) // x.shape[operator.axis]
    return max(1, _CACHED // (4 * (1 + scheme.passes) * largest * vectors))


def _beside(
    operator: Operator, u: Tensor, y: Tensor, operand: Operand, scheme: Scheme
) -> tuple[Tensor | None, Drop | None]:
    """The variance of the outputs `y` from the noise of the weights, and what IR drop takes from them; `drop_of` has the sums."""
    if operand.variance is None and operand.size is None:
        return None, None
    size, placed, variance = operand.size, operand.placed, operand.variance
    if operator.dims == 2 and not (operator.transposed or operator.padding == "same" or scheme.hw.noise.input):
        window, rows = window_of(operator), y.dim() == 4 and y.stride() == row_strides(tuple(y.shape))
        if rows and moments.suits(u, scheme.input_steps, window, size, placed, variance):
            assert scheme.input_steps is not None
            a, p, spread = moments.moments(u, scheme.input_steps, window, size, placed, variance)
            return spread, None if a is None or p is None else Drop(a, p, scheme.hw.ir_drop.scale)
    spread = None if variance is None else operator(u.square(), variance)
    if size is None or placed is None:
        return spread, None
    return spread, Drop(operator(u.abs(), size), operator(u, placed), scheme.hw.ir_drop.scale)
