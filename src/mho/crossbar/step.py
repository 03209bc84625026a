"""A product as one operation of autograd, for training: what the digital layer keeps for the way back, or less.

Kept are the layer's input (which the activation before it keeps anyway), one bit an output for those that the ADC
clipped, and nothing that was unfolded. Noise is added to the outputs and needs no way back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mho.crossbar.codes import Single
from mho.crossbar.columns import columns, full_input
from mho.crossbar.fused import walk
from mho.crossbar.held import Held, Operand
from mho.crossbar.operator import Operator
from mho.kernels import Kept, quantise, quantise_back, read_out_back


def suits(held: Held, operator: Operator, x: Tensor, input_range: Tensor | None, adc_range: Tensor | None) -> bool:
    """True when `forward` may take the place of the differentiable reference."""
    scheme = held.scheme
    if scheme.per_vector or scheme.hw.noise.input or scheme.readouts.offset:
        return False
    if torch.compiler.is_compiling() or x.is_meta or operator.padding == "same" or held.shift is not None:
        return False
    if torch.is_autocast_enabled(x.device.type) or (adc_range is not None and adc_range.requires_grad):
        return False
    if scheme.passes > 1 and not held.straight_through:
        return False
    tensors, wanted = [x], input_range is not None and input_range.requires_grad
    for operand in held.operands:
        if operand.gain.requires_grad:
            return False
        tensors.append(operand.weight)
    for t in tensors:
        if type(t) not in (Tensor, torch.nn.Parameter) or t.dtype != x.dtype:
            return False
        if torch._C._functorch.is_functorch_wrapped_tensor(t):
            return False
        wanted = wanted or t.requires_grad
    return wanted


def forward(
    held: Held, operator: Operator, x: Tensor, input_range: Tensor | None, adc_range: Tensor | None, bias: Tensor | None
) -> Tensor:
    """The layer's output, real units; arguments as for `mho.crossbar.reference.compute`."""
    reach = full_input(input_range, x.dtype)
    codes = held.codes if held.codes is not None and held.codes.inside and held.scheme.fits_a_byte else None
    coded: list[tuple[Kept, Tensor | float]] | None = None if codes is None else []
    y: Tensor = _Product.apply(
        x,
        reach,
        bias,
        held,
        operator,
        adc_range,
        coded,
        *[operand.weight for operand in held.operands],
    )  # type: ignore[no-untyped-call]
    if codes is not None and coded:
        (kept, bound), (operand,), half = coded[0], held.operands, held.scheme.conversions[0].half_steps
        assert half is not None
        factor = operand.gain * reach * (bound / half)
        shift = torch.zeros_like(factor) if bias is None else bias.detach()
        codes.note(y, Single(kept, factor.detach(), shift))
    return y


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, reach: Tensor | float, bias: Tensor | None, held: Held, operator: Operator,
        adc_range: Tensor | None, coded: list[tuple[Kept, Tensor | float]] | None, *weights: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.scheme, ctx.operator, ctx.kept = held.scheme, operator, []
        ctx.gains = [operand.gain for operand in held.operands]
        total = walk(held, operator, x, reach, adc_range, bias, None, ctx.kept, coded)
        learned = reach if isinstance(reach, Tensor) and reach.requires_grad else None
        ctx.reach = reach if learned is None else None
        ctx.save_for_backward(x, learned, bias, None if learned is None else total, *weights)
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        scheme, operator, (x, reach, bias, out, *weights) = ctx.scheme, ctx.operator, ctx.saved_tensors
        reach = ctx.reach if reach is None else reach
        if torch.is_grad_enabled():  # somebody differentiates the gradient
            return _again(ctx, g, x, reach, bias, weights)
        learned, half, axis = out is not None, scheme.input_steps, -1 if operator.transposed else operator.axis
        needs_x, needs_weights = ctx.needs_input_grad[0] or learned, any(ctx.needs_input_grad[7:])
        parts, gradients = [], []
        for block, conversions in zip(scheme.plan.blocks, scheme.blocks, strict=True):
            raw, to_input = operator.take(x, block, scheme.plan), None
            u = quantise(raw, reach, half, axis, passing=True)
            for conversion in conversions:
                at = conversion.operand
                to_y = read_out_back(g, ctx.gains[at] * reach, ctx.kept[at])
                to_u, to_weight = operator.back(to_y, u, weights[at], needs_x, needs_weights)
                to_input = to_u if to_input is None else to_input + to_u
                gradients.append(to_weight)
            parts.append(quantise_back(to_input, raw, reach, half, axis) if to_input is not None else None)
        to_x = operator.put(parts, scheme.plan.blocks, scheme.plan, x) if needs_x else None
        to_bias = None
        if bias is not None and (ctx.needs_input_grad[2] or learned):
            to_bias = g.sum_to_size(operator.per_column(bias).shape).reshape(bias.shape)
        to_reach = None
        if learned:
            # r stands in front of the output and in the codes: ∂y/∂r = (y - b)/r - (∂y/∂x) x/r.
            inner = (g * out).sum() - (to_x * x).sum()
            to_reach = (inner if to_bias is None else inner - (to_bias * bias).sum()) / reach
        return (to_x if ctx.needs_input_grad[0] else None, to_reach, to_bias, *[None] * 4, *gradients)


def _again(
    ctx: Any, g: Tensor, x: Tensor, reach: Tensor | float, bias: Tensor | None, weights: list[Tensor]
) -> tuple[Any, ...]:
    """The same gradients, made of operations that can be differentiated once more: clipping as in the first pass."""
    scheme, operator = ctx.scheme, ctx.operator
    quiet = Held(scheme, tuple(Operand(w, gain) for w, gain in zip(weights, ctx.gains, strict=True)))
    total: Tensor | None = None
    with torch.enable_grad():
        for column in columns(quiet, operator, x, reach if isinstance(reach, Tensor) else None):
            inside = read_out_back(torch.ones_like(g), column.operand.gain, ctx.kept[column.conversion.operand])
            part = column.clean * (inside * column.reach)
            total = part if total is None else total + part
        assert total is not None
        total = total if bias is None else total + operator.per_column(bias)
        needed = [t for t in (x, reach, bias, *weights) if isinstance(t, Tensor) and t.requires_grad]
        found = dict(zip(map(id, needed), torch.autograd.grad(total, needed, g, create_graph=True), strict=True))
    return (*(found.get(id(t)) for t in (x, reach, bias)), *[None] * 4, *(found.get(id(w)) for w in weights))
