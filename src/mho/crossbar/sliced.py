"""The fused executor for products of many conversions a row block: slices of weights, slices of inputs, polarities.

All of a block's conversions are made in one pass of the kernels over patches that stay in the cache (`mho.kernels.slices`).
Sums are of single precision: a code may be another than in float64 where a sum lies within 2^-22 of itself from half-way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mho.crossbar.columns import full_input
from mho.crossbar.held import Held
from mho.crossbar.operator import Operator
from mho.crossbar.scheme import Conversion
from mho.crossbar.vectors import (
    answers_planar,
    as_images,
    from_images,
    image_weight,
    in_images,
    on_images,
    window_of,
)
from mho.kernels import patches, slices


def suits(held: Held, operator: Operator, x: Tensor, *given: Tensor | None) -> bool:
    """True where `forward` can answer: single precision on the CPU, one range of the inputs, no noise but that of the outputs.

    Args:
        held: What the arrays hold.
        operator: torch's operator.
        x: Input of the layer.
        given: What else is read: ranges and bias.
    """
    scheme = held.scheme
    if (
        scheme.input_steps is None
        or scheme.per_vector
        or scheme.drawn_per_product
        or scheme.repeats
        or scheme.passes > 1
    ):
        return False
    if (
        scheme.hw.columns
        or scheme.hw.noise.input
        or scheme.drawn_per_conversion
        or len(scheme.conversions) == len(scheme.blocks)
        or x.numel() == 0
    ):
        return False
    if not in_images(scheme, operator, x):
        return False
    if any(c.batch or (c.slice and c.slice.take and c.slice.digit is None) for c in scheme.conversions):
        return False
    tensors = [t for operand in held.operands for t in (operand.weight, operand.gain)]
    return patches.suits(x, *tensors, *given)


def forward(
    held: Held, operator: Operator, x: Tensor, input_range: Tensor | None, adc_range: Tensor | None, bias: Tensor | None
) -> Tensor:
    """The layer's output, real units; arguments as for `mho.crossbar.reference.compute`."""
    scheme, planar = held.scheme, answers_planar(held, operator, x)
    shift = held.shift if bias is None else bias if held.shift is None else held.shift + bias
    reach, window = full_input(input_range, x.dtype), window_of(operator)
    images, total = _images(operator, x), None
    assert scheme.input_steps is not None
    for block, conversions in zip(scheme.plan.blocks, scheme.blocks, strict=True):
        raw = on_images(operator).take(images, block, scheme.plan)
        raw = raw if operator.groups == 1 else patches.in_rows(raw)
        for part in _together(conversions):
            digits = [_digit(c) for c in part if c.operand == part[0].operand]
            weight, codes, readouts = _stacked(held, part, adc_range)
            total = slices.summed(
                raw, weight, codes, readouts, digits, reach, scheme.input_steps, window, shift if total is None else None, total,
                any(c.noise for c in part),
            )  # fmt: skip
    assert total is not None
    if operator.dims == 0:
        return total.reshape(*x.shape[:-1], total.shape[1])
    return from_images(operator, patches.planar(total) if planar else total, x)


def _images(operator: Operator, x: Tensor) -> Tensor:
    """Images in rows; the vectors of a linear layer are images of one pixel, which are worked off a few at a time."""
    if operator.dims:
        return patches.in_rows(as_images(operator, x))
    vectors = x.reshape(-1, x.shape[-1]).contiguous()
    count, length = vectors.shape
    return vectors.as_strided((count, length, 1, 1), (length, 1, length, length))


def _together(conversions: tuple[Conversion, ...]) -> list[list[Conversion]]:
    """The conversions of a block that are made at once: all readouts of all slices; and the digital sum of an offset."""
    read = [c for c in conversions if c.slice is not None]
    return [some for some in (read, [c for c in conversions if c.slice is None]) if some]


def _digit(conversion: Conversion) -> tuple[int, int, float]:
    digit = None if conversion.slice is None else conversion.slice.digit
    return (*(digit or (0, 0)), conversion.weight)


def _stacked(held: Held, part: list[Conversion], adc_range: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """Weights and converters of the readouts beside each other, group by group, and how many there are."""
    plan, first = held.scheme.plan, {c.operand: c for c in reversed(part)}
    operands = [held.operands[at] for at in sorted(first)]
    weight = torch.stack([image_weight(o.weight).unflatten(0, (plan.groups, -1)) for o in operands], 1)
    codes = []
    for at, operand in zip(sorted(first), operands, strict=True):
        conversion, gain = first[at], operand.gain.reshape(plan.groups, plan.columns)
        half, ones = conversion.half_steps, torch.ones_like(gain)
        if half is None:
            codes.append(torch.stack([0 * ones, 0 * ones, 0 * ones, gain, conversion.noise * ones], 1))
            continue
        bound = float(conversion.range(adc_range, gain.dtype))
        low = 0.0 if conversion.unipolar else -half
        codes.append(
            torch.stack(
                [half / bound * ones, low * ones, half * ones, gain * (bound / half), conversion.noise * ones], 1
            )
        )
    return weight.flatten(0, 2).contiguous(), torch.stack(codes, 2).flatten(2).contiguous(), len(operands)
