"""The analog product as one operation of autograd, for training: what the digital layer keeps for the way back, or less.

Kept are the layer's input (which the activation before it keeps anyway; int8 codes where it does not), one bit an
output for those that the ADC clipped, and nothing that was unfolded. Noise is added to the outputs and needs no way back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mho.crossbar.inputs import ScaledInputs
from mho.crossbar.operands import Operand, Operands, products
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Plan
from mho.hardware import Hardware
from mho.kernels import Kept, quantise, quantise_back, read_out_back, read_out_kept


class Single(NamedTuple):
    """The codes of a product with one readout and one row block, from which its output can be made again.

    Attributes:
        kept: See `mho.kernels`.
        factor: Output per code, (columns,).
        shift: (columns,).
    """

    kept: Kept
    factor: Tensor
    shift: Tensor


class Step(NamedTuple):
    """What does not change while the network trains.

    Attributes:
        operator: torch's operator.
        plan: Row blocks.
        hw: The hardware.
        rows: Images may be answered in rows, whatever the layout of the input.
        straight_through: Noise that depends on weights or inputs, and IR drop, count as constants for the gradient.
    """

    operator: Operator
    plan: Plan
    hw: Hardware
    rows: bool
    straight_through: bool = False

    def suits(self, x: Tensor, held: Operands, reach: Tensor | float, adc_range: Tensor | None) -> bool:
        """True when `__call__` may take the place of the differentiable reference."""
        if not torch.is_grad_enabled() or torch.compiler.is_compiling() or x.is_meta:
            return False
        hw, operands = self.hw, [operand for block in held.blocks for operand in block]
        plain = hw.dac.range != "abs_max" and hw.adc.on_clip == "clip"
        plain = plain and not any(held.references) and self.operator.differentiates()
        plain = plain and not hw.noise.input and not any(o.gain.requires_grad for o in operands)
        if not self.straight_through:
            plain = plain and all(o.variance is None and o.size is None for o in operands)
        if not plain or (adc_range is not None and adc_range.requires_grad):
            return False
        tensors = [x, *(operand.weight for operand in operands), *([reach] if isinstance(reach, Tensor) else [])]
        if not any(t.requires_grad for t in tensors) or torch.is_autocast_enabled(x.device.type):
            return False
        known = all(type(t) in (Tensor, torch.nn.Parameter) and t.dtype == x.dtype for t in tensors)
        return known and not any(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in tensors)

    def __call__(
        self, x: Tensor, held: Operands, reach: Tensor | float, adc_range: Tensor | None, shift: Tensor | None,
        notes: list[Single] | None = None,
    ) -> Tensor:  # fmt: skip
        """The layer's output.

        Args:
            x: Input of the layer.
            held: What the arrays hold.
            reach: Range of the DAC.
            adc_range: Range of the ADC, (readouts, blocks), or None.
            shift: Bias of the columns, or None.
            notes: Gets the codes of the output when one readout of one row block made it, and they fit into a byte.
        """
        flat = [operand for block in held.blocks for operand in block]
        half = self.hw.adc.half_steps
        if len(flat) > 1 or half is None or half > 127 or half != int(half):
            notes = None
        y: Tensor = _Product.apply(x, reach, shift, self, adc_range, flat, notes, *(o.weight for o in flat))  # type: ignore[no-untyped-call]
        return y

    def bound(self, k: int, b: int, adc_range: Tensor | None, like: Tensor) -> Tensor | float:
        """Range of the ADC of readout k in row block b."""
        return self.hw.adc.bound if adc_range is None else adc_range[k, b].to(like.dtype)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, reach: Tensor | float, shift: Tensor | None, step: Step, adc_range: Tensor | None,
        flat: list[Operand], notes: list[Single] | None, *weights: Tensor,
    ) -> Tensor:  # fmt: skip
        operator, hw, blocks = step.operator, step.hw, step.plan.blocks
        gains = [operand.gain for operand in flat]
        readouts, planar = len(weights) // len(blocks), not step.rows and operator.dims == 2 and x.is_contiguous()
        total: Tensor | None = None
        kept = []
        for b, block in enumerate(blocks):
            inputs = ScaledInputs(operator.take(x, block, step.plan), reach, hw.dac.half_steps, operator)
            for k in range(readouts):
                i = b * readouts + k
                y, spread, drop = products(inputs, flat[i], hw.ir_drop)
                total, found = read_out_kept(
                    y, gains[i] * reach, axis=operator.axis, bound=step.bound(k, b, adc_range, x),
                    half_steps=hw.adc.half_steps, variance=hw.noise.output**2, spread=spread, drop=drop,
                    shift=shift if i == len(weights) - 1 else None, total=total, planar=planar, codes=notes is not None,
                )  # fmt: skip
                kept.append(found)
        assert total is not None
        if notes is not None:
            half, bound = hw.adc.half_steps, step.bound(0, 0, adc_range, x)
            assert half is not None
            factor = gains[0] * reach * (bound / half)
            notes.append(Single(kept[0], factor, torch.zeros_like(factor) if shift is None else shift.detach()))
            kept = [Kept(kept[0].mask, None, kept[0].layout)]
        ctx.step, ctx.gains, ctx.kept, ctx.adc_range = step, gains, kept, adc_range
        ctx.reach = None if isinstance(reach, Tensor) else reach
        learned = isinstance(reach, Tensor) and reach.requires_grad
        ctx.save_for_backward(
            x, reach if isinstance(reach, Tensor) else None, shift, total if learned else None, *weights
        )
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        step, (x, reach, shift, out, *weights) = ctx.step, ctx.saved_tensors
        operator, half = step.operator, step.hw.dac.half_steps
        reach = ctx.reach if reach is None else reach
        if torch.is_grad_enabled():  # somebody differentiates the gradient
            return _again(ctx, g, x, reach, shift, weights)
        blocks, learned = step.plan.blocks, out is not None
        readouts = len(weights) // len(blocks)
        needs_x, needs_weights = ctx.needs_input_grad[0] or learned, any(ctx.needs_input_grad[7:])
        parts, gradients = [], []
        for b, block in enumerate(blocks):
            raw, to_input = operator.take(x, block, step.plan), None
            u = quantise(raw, reach, half, _axis(operator), passing=True)
            for k in range(readouts):
                i = b * readouts + k
                to_y = read_out_back(g, ctx.gains[i] * reach, ctx.kept[i])
                to_u, to_weight = operator.back(to_y, u, weights[i], needs_x, needs_weights)
                to_input = to_u if to_input is None else to_input + to_u
                gradients.append(to_weight)
            parts.append(quantise_back(to_input, raw, reach, half, _axis(operator)) if to_input is not None else None)
        to_x = operator.put(parts, blocks, step.plan, x) if needs_x else None
        to_shift = None
        if shift is not None and (ctx.needs_input_grad[2] or learned):
            to_shift = g.sum_to_size(operator.per_column(shift).shape).reshape(shift.shape)
        to_reach = None
        if learned:
            # r stands in front of the output and in the codes: ∂y/∂r = (y - b)/r - (∂y/∂x) x/r.
            inner = (g * out).sum() - (to_x * x).sum()
            to_reach = (inner if to_shift is None else inner - (to_shift * shift).sum()) / reach
        return (to_x if ctx.needs_input_grad[0] else None, to_reach, to_shift, *[None] * 4, *gradients)


def _again(
    ctx: Any, g: Tensor, x: Tensor, reach: Tensor | float, shift: Tensor | None, weights: list[Tensor]
) -> tuple[Any, ...]:
    """The same gradients, made of operations that can be differentiated once more."""
    step: Step = ctx.step
    operator, blocks = step.operator, step.plan.blocks
    readouts = len(weights) // len(blocks)
    total: Tensor | None = None
    with torch.enable_grad():
        for b, block in enumerate(blocks):
            u = quantise(operator.take(x, block, step.plan), reach, step.hw.dac.half_steps)
            for k in range(readouts):
                i = b * readouts + k
                inside = read_out_back(torch.ones_like(g), ctx.gains[i], ctx.kept[i])
                part = operator(u, weights[i]) * (inside * reach)
                total = part if total is None else total + part
        assert total is not None
        total = total if shift is None else total + operator.per_column(shift)
        needed = [t for t in (x, reach, shift, *weights) if isinstance(t, Tensor) and t.requires_grad]
        found = dict(zip(map(id, needed), torch.autograd.grad(total, needed, g, create_graph=True), strict=True))
    return (*(found.get(id(t)) for t in (x, reach, shift)), *[None] * 4, *(found.get(id(w)) for w in weights))


def _axis(operator: Operator) -> int:
    return -1 if operator.transposed else operator.axis
