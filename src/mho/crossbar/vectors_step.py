"""A product of vectors with ranges of their own as one operation of autograd, for training.

With the range r of a vector, y = r f q(w u / r) + a. Inputs inside their range have the gradient of a layer without a
converter, for r cancels; the number that sets the range has, beside that, the gradient of r itself. Codes are made again on
the way back, where the gradient of the weights needs them; nothing that was unfolded is kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mho.crossbar import reference, vectors
from mho.crossbar.codes import Single
from mho.crossbar.columns import SMALLEST_REACH
from mho.crossbar.held import Held, Operand
from mho.crossbar.operator import Operator
from mho.crossbar.scheme import Conversion
from mho.crossbar.vectors import (
    Repetition,
    Vectors,
    as_images,
    by_position,
    from_images,
    image_weight,
    of_columns,
    repeated,
)
from mho.kernels import Kept, patches, read_out_back, read_out_kept


def suits(held: Held, operator: Operator, x: Tensor, adc_range: Tensor | None, bias: Tensor | None) -> bool:
    """True when `forward` may take the place of the differentiable reference."""
    scheme = held.scheme
    if not scheme.per_vector or scheme.readouts.offset or held.shift is not None or x.device.type != "cpu":
        return False
    if scheme.passes > 1 and not held.straight_through:
        return False
    if torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type):
        return False
    if adc_range is not None and adc_range.requires_grad:
        return False
    tensors = [t for t in (x, bias, *(operand.weight for operand in held.operands)) if t is not None]
    if not any(t.requires_grad for t in tensors) or any(operand.gain.requires_grad for operand in held.operands):
        return False
    if any(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in tensors):
        return False
    with torch.no_grad():
        return vectors.suits(held, operator, x, adc_range, bias)


def forward(held: Held, operator: Operator, x: Tensor, adc_range: Tensor | None, bias: Tensor | None) -> Tensor:
    """The layer's output, real units; arguments as for `mho.crossbar.reference.compute`."""
    weights = [operand.weight for operand in held.operands]
    noted: list[Single] = []
    y: Tensor = _Product.apply(x, bias, held, operator, adc_range, noted, *weights)  # type: ignore[no-untyped-call]
    if noted and operator.dims == 2 and held.codes is not None and held.codes.inside:
        held.codes.note(y, noted[0])
    return y


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        held: Held,
        operator: Operator,
        adc_range: Tensor | None,
        noted: list[Single],
        *weights: Tensor,
    ) -> Tensor:
        scheme = held.scheme
        answers_planar = vectors.answers_planar(held, operator, x)
        planar = answers_planar and not scheme.repeats
        images, last = patches.in_rows(as_images(operator, x)), scheme.conversions[-1]
        ctx.ranges, ctx.kept, parts, total = [], [], [], None
        coded = scheme.fits_a_byte and not scheme.repeats and ctx.needs_input_grad[0]
        for block, conversions in zip(scheme.plan.blocks, scheme.blocks, strict=True):
            of = Vectors.of(scheme, operator, images, block)
            ctx.ranges.append(of.reach)
            for conversion in conversions:
                operand, shift = held.operands[conversion.operand], bias if conversion is last else None
                if scheme.repeats:
                    reads: list[Kept | Repetition] = []
                    part = repeated(of, held, conversion, adc_range, shift, reads)
                    ctx.kept.append(reads)
                    parts.append(part)
                    total = part if total is None else total + part
                    continue
                seen = of.multiply(operand, scheme.hw.ir_drop.scale)
                part, kept = read_out_kept(
                    seen.y, operand.gain, -3, conversion.range(adc_range, x.dtype), conversion.half_steps,
                    conversion.noise**2, seen.spread, seen.drop, shift, None, planar, coded, each=seen.reach,
                )  # fmt: skip
                ctx.kept.append([kept])
                parts.append(part)
                total = part if total is None else total + part
        assert total is not None
        if scheme.repeats and answers_planar:
            total = patches.planar(total)
        total = from_images(operator, total, x)
        if coded:
            noted.append(_single(last, held.operands[last.operand].gain, adc_range, kept, seen.reach, bias))
        if not ctx.needs_input_grad[0] or coded:
            parts = []
        elif len(parts) == 1:  # a copy: what comes behind may write into the answer (ReLU in place, y += x)
            parts = [total.clone()]
        else:
            parts = [from_images(operator, part, x) for part in parts]
        ctx.scheme, ctx.operator, ctx.adc_range = scheme, operator, adc_range
        ctx.gains = [operand.gain for operand in held.operands]
        ctx.save_for_backward(x, bias, *weights, *parts)
        return total.data  # no view, for into views of what was made in here nobody may write

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        scheme, operator, (x, bias, *saved) = ctx.scheme, ctx.operator, ctx.saved_tensors
        weights, parts = saved[: len(ctx.gains)], saved[len(ctx.gains) :]
        if torch.is_grad_enabled():  # somebody differentiates the gradient
            return _again(ctx, g, x, bias, weights)
        needs_x, needs_weights = ctx.needs_input_grad[0], any(ctx.needs_input_grad[6:])
        images, to_y = patches.in_rows(as_images(operator, x)), as_images(operator, g)
        found: list[Tensor] = []
        gradients: list[Tensor | None] = []
        g_in_rows, last = patches.in_rows(to_y), scheme.conversions[-1]
        for block, conversions, reach in zip(scheme.plan.blocks, scheme.blocks, ctx.ranges, strict=True):
            of = Vectors.of(scheme, operator, images, block, reach=reach)
            to_raw: Tensor | None = None
            for conversion in conversions:
                at = conversion.operand
                weight = image_weight(weights[at])
                slopes, seen_at = _outputs_back(to_y, reach, ctx.gains[at], *ctx.kept[at])
                if needs_weights:
                    back = patches.weights_back(of.raw, weight.shape, seen_at, slopes, of.half_steps, of.window)
                    gradients.append(back.reshape(weights[at].shape))
                if needs_x:
                    shift = bias if conversion is last and parts else None
                    if parts:
                        part = as_images(operator, parts[at])
                    else:
                        (kept,), gain = ctx.kept[at], ctx.gains[at]
                        part = _single(conversion, gain, ctx.adc_range, kept, reach, None).again()
                    back = _inputs_back(of, weight, g_in_rows, slopes, patches.in_rows(part), shift)
                    to_raw = back if to_raw is None else to_raw.add_(back)
            if to_raw is not None:
                found.append(to_raw)
        to_x = None
        if needs_x:
            to_images = of.operator.put(found, scheme.plan.blocks, scheme.plan, images)
            to_images = patches.planar(to_images) if operator.dims and x.is_contiguous() else to_images
            to_x = from_images(operator, to_images, x)
        to_bias = None
        if bias is not None and ctx.needs_input_grad[1]:
            to_bias = g.sum_to_size(operator.per_column(bias).shape).reshape(bias.shape)
        return (to_x, to_bias, None, None, None, None, *(gradients if needs_weights else [None] * len(weights)))


def _single(
    conversion: Conversion, gain: Tensor, adc_range: Tensor | None, kept: Kept, reach: Tensor, bias: Tensor | None
) -> Single:
    """What makes the output of a product with one conversion again, from the codes that it left."""
    half = conversion.half_steps
    assert half is not None
    shift = torch.zeros_like(gain) if bias is None else bias.detach()
    return Single(kept, gain * (conversion.range(adc_range, gain.dtype) / half), shift, reach)


def _outputs_back(
    g: Tensor, reach: Tensor, gain: Tensor, kept: Kept, *repetitions: Repetition
) -> tuple[Tensor, Tensor]:
    """The gradient of the products times the range, in dense rows, and the range that each vector was read with at last."""
    if not repetitions:
        return read_out_back(g, gain, kept), reach
    slopes, seen_at = read_out_back(g, gain, kept).clone(memory_format=torch.preserve_format), reach.clone()
    given, rows, ranges = by_position(patches.in_rows(g)), by_position(slopes), by_position(seen_at)
    for kept, which, chosen, reduction in repetitions:
        back = read_out_back(given[which], gain, kept)
        rows[which] = torch.where(of_columns(chosen, rows), back, rows[which])
        ranges[which] = torch.where(chosen, by_position(reach)[which] * reduction, ranges[which])
    return slopes, seen_at


def _inputs_back(of: Vectors, weight: Tensor, g: Tensor, slopes: Tensor, part: Tensor, shift: Tensor | None) -> Tensor:
    """The gradient of a block's inputs, in dense rows, through the products and through the ranges."""
    back, _ = of.operator.back(slopes, of.raw, weight, True, False)
    assert back is not None
    total, plain = patches.in_rows(back), patches.in_rows(of.operator(of.raw, weight))
    to_ranges = patches.ranges_slope(g, part, shift, slopes, plain, of.reach, of.window.groups)
    patches.ranges_back(of.raw, weight.shape, of.reach, to_ranges, of.window, SMALLEST_REACH, total)
    return total


def _again(ctx: Any, g: Tensor, x: Tensor, bias: Tensor | None, weights: list[Tensor]) -> tuple[Any, ...]:
    """Gradients that can be differentiated once more: those of the product without its noise."""
    blocks = tuple(tuple(c._replace(noise=0.0) for c in block) for block in ctx.scheme.blocks)
    quiet = replace(ctx.scheme, blocks=blocks, conversions=tuple(c for block in blocks for c in block))
    operands = tuple(Operand(w, gain) for w, gain in zip(weights, ctx.gains, strict=True))
    given = [x, bias, *weights]
    with torch.enable_grad():
        y = reference.compute(Held(quiet, operands), ctx.operator, x, None, ctx.adc_range, bias)
        needed = [t for t in given if t is not None and t.requires_grad]
        found = dict(zip(map(id, needed), torch.autograd.grad(y, needed, g, create_graph=True), strict=True))
    to_x, to_bias, *to_weights = (found.get(id(t)) for t in given)
    return (to_x, to_bias, None, None, None, None, *to_weights)
