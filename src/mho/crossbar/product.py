"""The analog product: DAC, row blocks through the native operator, noise, ADC, digital scale and sum."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mho.crossbar.cells import Cells, differs_per_product
from mho.crossbar.inputs import Inputs, PatchInputs, ScaledInputs
from mho.crossbar.operands import Operand, Operands, operands, products
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Plan
from mho.crossbar.step import Single, Step
from mho.hardware import Hardware
from mho.kernels import add_noise, fast, quantise, read_out

_SMALLEST_REACH = 1e-12
_CACHED = 12_000_000
"""Bytes that the inputs and outputs of several products may take, about: a batch is cut so that they stay in the cache."""

torch.fx.wrap("quantise")
torch.fx.wrap("add_noise")
torch.fx.wrap("read_out")


class Affine(NamedTuple):
    """What the digital periphery does to each column after the sum over row blocks: y · scale + shift.

    Attributes:
        scale: (columns,), or None.
        shift: (columns,), or None.
    """

    scale: Tensor | None = None
    shift: Tensor | None = None

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """In the dtype of `y`."""
        if self.scale is not None:
            y = y * operator.per_column(self.scale).to(y.dtype)
        return y if self.shift is None else y + operator.per_column(self.shift).to(y.dtype)


NOTHING = Affine()


def lossless(variance: bool, hw: Hardware) -> bool:
    """True when nothing between the layer's input and the digital sum loses or adds anything.

    Args:
        variance: Whether the cells differ from product to product.
        hw: The hardware.
    """
    quantised = hw.dac.half_steps is not None or hw.adc.half_steps is not None or hw.adc.on_clip != "clip"
    return not (quantised or hw.noise.output or hw.noise.input or hw.ir_drop.scale or variance)


def needs_input_range(hw: Hardware) -> bool:
    """True when the DAC's range is a number of the layer's own (noise and ADC are in units of it, too)."""
    noisy = hw.noise.output or hw.noise.input or hw.ir_drop.scale or differs_per_product(hw)
    converted = hw.dac.half_steps is not None or hw.adc.half_steps is not None
    return hw.dac.range != "abs_max" and bool(noisy or converted)


def needs_adc_range(hw: Hardware) -> bool:
    """True when the ADC's range comes from data."""
    return hw.adc.range != "fixed" and hw.adc.half_steps is not None


@dataclass(frozen=True)
class AnalogProduct:
    """The map that arrays compute for `operator`.

    Attributes:
        operator: torch's operator and its geometry.
        plan: Row blocks.
        kernel: Spatial size of the kernel, () for a linear layer.
        hw: Converters, noise, IR drop.
        fold: Compute a chain without any loss or noise as one native product (exact).
        rows: Images may be answered in rows (channels_last), whatever the layout of the input.
        straight_through: Gradients pass noise of products and IR drop as if they were constants.
    """

    operator: Operator
    plan: Plan
    kernel: tuple[int, ...]
    hw: Hardware
    fold: bool = True
    rows: bool = False
    straight_through: bool = False

    def operands(self, cells: Cells) -> Operands | Tensor:
        """`cells` ready for `__call__`; one weight where the chain can be folded."""
        if self.fold and lossless(cells.variance is not None, self.hw):
            return self.operator.to_weight(self._folded(cells), self.kernel)
        return operands(cells, self.operator, self.plan, self.kernel, self.hw)

    def __call__(
        self,
        x: Tensor,
        held: Operands | Tensor,
        input_range: Tensor | None,
        adc_range: Tensor | None,
        affine: Affine = NOTHING,
        notes: list[Single] | None = None,
    ) -> Tensor:
        """The layer's output, in real units.

        Args:
            x: Input of the layer, real units.
            held: What the arrays hold, from `operands`.
            input_range: Largest input of the DAC (scalar), for the ranges 'calibrated' and 'learned'.
            adc_range: Largest output of the ADC, (readouts, blocks), for the range 'calibrated'.
            affine: Digital scale and shift of the columns.
            notes: Gets the output's codes where training keeps them and they say all.
        """
        if isinstance(held, Tensor):
            if affine.scale is None:
                return self.operator(x, held, affine.shift)
            return affine(self.operator(x, held), self.operator)
        if self.hw.dac.range == "abs_max":
            total: Tensor | None = None
            for b, (inputs, reach) in enumerate(self.inputs(x, input_range)):
                # The range differs from vector to vector, so the block's sum is complete before it is undone.
                y = self._add_block(None, inputs, 1.0, held, b, adc_range, NOTHING, False) * reach
                total = y if total is None else total + y
            assert total is not None
            return affine(total, self.operator)
        reach = 1.0 if input_range is None else input_range.to(x.dtype)
        step = Step(self.operator, self.plan, self.hw, self.rows, self.straight_through)
        if affine.scale is None and step.suits(x, held, reach, adc_range):
            return step(x, held, reach, adc_range, affine.shift, notes)
        return self._in_pieces(x, held, input_range, adc_range, affine)

    def _in_pieces(
        self, x: Tensor, held: Operands, input_range: Tensor | None, adc_range: Tensor | None, affine: Affine
    ) -> Tensor:
        """The layer's output, a few images at a time, so that what lies between DAC and ADC stays in the cache."""
        size = self._piece(x, held)
        if size >= len(x):
            return self._sum(x, held, input_range, adc_range, affine, None)
        parts = x.split(size)
        first = self._sum(parts[0], held, input_range, adc_range, affine, None)
        rows = not first.is_contiguous()
        memory = torch.channels_last if rows else torch.contiguous_format
        out = torch.empty((len(x), *first.shape[1:]), memory_format=memory)
        out[:size] = first
        for part, place in zip(parts[1:], out[size:].split(size), strict=True):
            self._sum(part, held, input_range, adc_range, affine, place)
        return out

    def _piece(self, x: Tensor, held: Operands) -> int:
        """Images (vectors) of a piece; all of them where cutting does not pay or is not possible.

        One product a layer is faster in one go: every call of the operator costs a fixed time.
        """
        operand, dims = held.blocks[0][0], self.operator.dims
        buffers = 2 + (operand.variance is not None) * 2 + (operand.size is not None) * 3
        batched = x.dim() == dims + 2 if dims else x.dim() > 1
        learns = torch.is_grad_enabled() and operand.weight.requires_grad
        if buffers == 2 or learns or not batched or dims not in (0, 2) or not fast(x):
            return max(1, len(x))
        largest = max(self.plan.columns * self.plan.groups, x.shape[self.operator.axis])
        vectors = math.prod(x.shape[1:]) // x.shape[self.operator.axis]
        return max(1, _CACHED // (4 * buffers * largest * vectors))

    def _sum(
        self, x: Tensor, held: Operands, input_range: Tensor | None, adc_range: Tensor | None, affine: Affine,
        out: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """Sum over the row blocks, for one range a layer; written to `out` where that is given."""
        planar = not self.rows and self.operator.dims == 2 and x.is_contiguous()
        last = len(self.plan.blocks) - 1
        total: Tensor | None = None
        for b, (inputs, reach) in enumerate(self.inputs(x, input_range)):
            part = affine if b == last else Affine(affine.scale)
            total = self._add_block(total, inputs, reach, held, b, adc_range, part, planar, out)
        assert total is not None
        return total if out is None or total is out else out.copy_(total)

    def inputs(self, x: Tensor, input_range: Tensor | None) -> Iterator[tuple[Inputs, Tensor | float]]:
        """For each row block its inputs, and the range that its outputs are to be multiplied with.

        Inputs may be gone when those of the next block are asked for.
        """
        half = self.hw.dac.half_steps
        for block in self.plan.blocks:
            raw = self.operator.take(x, block, self.plan)
            if self.hw.dac.range != "abs_max":
                reach = 1.0 if input_range is None else input_range.to(x.dtype)
                yield ScaledInputs(raw, reach, half, self.operator, self.hw.noise.input), reach
                continue
            taps = self.operator.taps_of(block, self.plan)
            reach = self.operator.patch_max(raw, self.kernel, taps).clamp(min=_SMALLEST_REACH)
            if self.operator.dims == 0:
                yield ScaledInputs(raw, reach, half, self.operator, self.hw.noise.input), reach
            else:
                patches = PatchInputs(raw, reach, half, self.operator, self.kernel, self.plan.columns)
                yield patches, self.operator.per_group(reach, self.plan.columns)

    def columns(self, inputs: Inputs, operand: Operand, factor: float = 1.0) -> Tensor:
        """Outputs of one readout before the ADC, noise included; full weight × full input = 1."""
        y, spread, drop = products(inputs, operand, self.hw.ir_drop, factor)
        if drop is not None:
            y = y - drop()
        if spread is not None:
            return add_noise(y, (spread.clamp(min=0) + self.hw.noise.output**2).sqrt())
        return add_noise(y, self.hw.noise.output) if self.hw.noise.output else y

    def _add_block(
        self,
        total: Tensor | None,
        inputs: Inputs,
        reach: Tensor | float,
        held: Operands,
        b: int,
        adc_range: Tensor | None,
        affine: Affine,
        planar: bool,
        out: Tensor | None = None,
    ) -> Tensor:
        """`total` plus the digital sum over the readouts of one row block, in units of `reach`."""
        hw, axis, readouts = self.hw, self.operator.axis, held.blocks[b]
        scale = reach if affine.scale is None else reach * affine.scale
        reference, last = held.references[b], len(readouts) - 1
        for k, operand in enumerate(readouts):
            bound = hw.adc.bound if adc_range is None else adc_range[k, b].to(operand.weight.dtype)
            factor = operand.gain * scale
            shift = affine.shift if k == last and reference is None else None
            if hw.adc.on_clip == "halve_input":
                y = self._halved(self._converted(inputs, operand, bound), inputs, operand)
                total = read_out(y, factor, axis=axis, shift=shift, total=total)
            else:
                y, spread, drop = products(inputs, operand, hw.ir_drop)
                total = read_out(
                    y, factor, axis=axis, bound=bound, half_steps=hw.adc.half_steps, variance=hw.noise.output**2,
                    spread=spread, drop=drop, shift=shift, total=total, planar=planar, out=out,
                )  # fmt: skip
        assert total is not None
        if reference is not None:
            total = total - self.operator.per_column(reference.scale * scale) * inputs.multiply(reference.ones)
            total = Affine(None, affine.shift)(total, self.operator)
        return total

    def _converted(self, inputs: Inputs, operand: Operand, bound: Tensor | float, factor: float = 1) -> Tensor:
        y = self.columns(inputs, operand, factor)
        half = self.hw.adc.half_steps
        return y if half is None else quantise(y, bound, half) * bound

    def _halved(self, y: Tensor, inputs: Inputs, operand: Operand) -> Tensor:
        """Repeat the vectors that clip at half the input, until none clips or `max_halvings` is reached."""
        bound = self.hw.adc.bound
        clipped = self._clips(y)
        for halving in range(1, self.hw.adc.max_halvings + 1):
            if _holds_numbers(clipped) and not bool(clipped.any()):
                break
            weaker = self._converted(inputs, operand, bound, 2.0**halving)
            y = torch.where(clipped, weaker * 2.0**halving, y)
            clipped = clipped & self._clips(weaker)
        return y

    def _clips(self, y: Tensor) -> Tensor:
        """Which input vectors drive a column to the ADC's largest code; each group reads a vector of its own."""
        half, axis = self.hw.adc.half_steps, self.operator.axis
        # A quarter of a code below it: 1 may come back as 1 - ε from h · (1 / h).
        top = self.hw.adc.bound * (1 if half is None else 1 - 0.25 / half)
        groups = self.operator.groups if self.operator.dims else 1
        at_top = (y.abs() >= top).unflatten(axis, (groups, self.plan.columns)).any(axis)
        return self.operator.per_group(at_top, self.plan.columns)

    def _folded(self, cells: Cells) -> Tensor:
        matrix = (cells.weight * self.plan.spread(cells.gain)).sum(0)
        offset = self.hw.encoding.readouts(self.hw.cell).offset
        return matrix - offset * self.plan.spread(cells.scale) if offset else matrix


def _holds_numbers(x: Tensor) -> bool:
    """False where a decision on values is not possible: compiling, exporting, vmap, meta and fake tensors."""
    symbolic = torch.compiler.is_compiling() or type(x) is not Tensor or x.is_meta
    return not symbolic and not torch._C._functorch.is_functorch_wrapped_tensor(x)
