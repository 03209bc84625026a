"""The analog product: DAC, row blocks through the native operator, noise, ADC, digital scale and sum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.crossbar.cells import Cells
from mho.crossbar.inputs import Inputs, PatchInputs, ScaledInputs
from mho.crossbar.ir_drop import ir_drop, position_factor
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Block, Plan
from mho.hardware import Hardware
from mho.kernels import add_noise, quantise, read_out

_SMALLEST_REACH = 1e-12

torch.fx.wrap("quantise")
torch.fx.wrap("add_noise")
torch.fx.wrap("read_out")


def lossless(cells: Cells, hw: Hardware) -> bool:
    """True when nothing between the layer's input and the digital sum loses or adds anything."""
    quantised = hw.dac.half_steps is not None or hw.adc.half_steps is not None or hw.adc.on_clip != "clip"
    return not (quantised or hw.noise.output or hw.ir_drop.scale or cells.variance is not None)


def needs_input_range(hw: Hardware) -> bool:
    """True when the DAC's range is a number of the layer's own (noise and ADC are in units of it, too)."""
    noisy = hw.noise.output or hw.noise.weight or hw.ir_drop.scale
    noisy = noisy or any(variation.redraw == "mvm" and variation.sigma for variation in hw.variations)
    converted = hw.dac.half_steps is not None or hw.adc.half_steps is not None
    return hw.dac.range != "abs_max" and bool(noisy or converted)


def needs_adc_range(hw: Hardware) -> bool:
    """True when the ADC's range comes from data."""
    return hw.adc.range == "calibrated" and hw.adc.half_steps is not None


@dataclass(frozen=True)
class AnalogProduct:
    """The map that arrays compute for `operator`.

    Attributes:
        operator: torch's operator and its geometry.
        plan: Row blocks.
        kernel: Spatial size of the kernel, () for a linear layer.
        hw: Converters, noise, IR drop.
        fold: Compute a chain without any loss or noise as one native product (exact).
    """

    operator: Operator
    plan: Plan
    kernel: tuple[int, ...]
    hw: Hardware
    fold: bool = True

    def __call__(self, x: Tensor, cells: Cells, input_range: Tensor | None, adc_range: Tensor | None) -> Tensor:
        """The layer's output without bias, in real units.

        Args:
            x: Input of the layer, real units.
            cells: What the arrays hold.
            input_range: Largest input of the DAC (scalar), for the ranges 'calibrated' and 'learned'.
            adc_range: Largest output of the ADC, (readouts, blocks), for the range 'calibrated'.
        """
        if self.fold and lossless(cells, self.hw):
            return self.operator(x, self.operator.to_weight(self._folded(cells), self.kernel))
        total: Tensor | None = None
        for b, (inputs, reach) in enumerate(self.inputs(x, input_range)):
            if self.hw.dac.range != "abs_max":
                total = self._add_block(total, inputs, reach, cells, b, adc_range)
            else:
                # The range differs from vector to vector, so the block's sum is complete before it is undone.
                y = self._add_block(None, inputs, 1.0, cells, b, adc_range) * reach
                total = y if total is None else total + y
        assert total is not None
        return total

    def inputs(self, x: Tensor, input_range: Tensor | None) -> list[tuple[Inputs, Tensor | float]]:
        """For each row block its inputs, and the range that its outputs are to be multiplied with."""
        take, half = self.operator.take, self.hw.dac.half_steps
        blocks = self.plan.blocks
        if self.hw.dac.range != "abs_max":
            reach = 1.0 if input_range is None else input_range.to(x.dtype)
            u = quantise(x, reach, half)
            raws = [take(x, block, self.plan) for block in blocks]
            codes = [take(u, block, self.plan) for block in blocks]
            return [(ScaledInputs(r, reach, half, self.operator, q), reach) for r, q in zip(raws, codes, strict=True)]
        found: list[tuple[Inputs, Tensor | float]] = []
        for block in blocks:
            raw = take(x, block, self.plan)
            taps = self.operator.taps_of(block, self.plan)
            reach = self.operator.patch_max(raw, self.kernel, taps).clamp(min=_SMALLEST_REACH)
            if self.operator.dims == 0:
                found.append((ScaledInputs(raw, reach, half, self.operator), reach))
            else:
                patches = PatchInputs(raw, reach, half, self.operator, self.kernel, self.plan.columns)
                found.append((patches, self.operator.per_group(reach, self.plan.columns)))
        return found

    def columns(self, inputs: Inputs, cells: Cells, k: int, b: int, factor: float = 1.0) -> Tensor:
        """Outputs of readout k in row block b before the ADC, noise included; full weight × full input = 1."""
        y, spread = self._products(inputs, cells, k, b, factor)
        if spread is not None:
            return add_noise(y, (spread.clamp(min=0) + self.hw.noise.output**2).sqrt())
        return add_noise(y, self.hw.noise.output) if self.hw.noise.output else y

    def _products(
        self, inputs: Inputs, cells: Cells, k: int, b: int, factor: float = 1.0
    ) -> tuple[Tensor, Tensor | None]:
        """Product minus IR drop, and the variance that weights add to it."""
        hw, block = self.hw, self.plan.blocks[b]
        weight = self._weight(cells.weight[k], block)
        y = inputs.multiply(weight, factor)
        if hw.ir_drop.scale:
            placed = self._weight(_placed(cells.weight[k], block), block)
            y = y - ir_drop(inputs, weight, placed, block.rows, hw.ir_drop, factor)
        if cells.variance is None:
            return y, None
        return y, inputs.moment(torch.square, 2, self._weight(cells.variance[k], block), factor)

    def _add_block(
        self,
        total: Tensor | None,
        inputs: Inputs,
        reach: Tensor | float,
        cells: Cells,
        b: int,
        adc_range: Tensor | None,
    ) -> Tensor:
        """`total` plus the digital sum over the readouts of one row block, in units of `reach`."""
        hw, axis = self.hw, self.operator.axis
        for k in range(len(cells.weight)):
            bound = hw.adc.bound if adc_range is None else adc_range[k, b].to(cells.weight.dtype)
            factor = cells.gain[k, b].flatten() * reach
            if hw.adc.on_clip == "halve_input":
                y = self._halved(self._converted(inputs, cells, k, b, bound), inputs, cells, k, b)
                total = read_out(y, None, 0.0, 1.0, None, factor, axis, total)
            else:
                y, spread = self._products(inputs, cells, k, b)
                total = read_out(y, spread, hw.noise.output**2, bound, hw.adc.half_steps, factor, axis, total)
        assert total is not None
        offset = hw.encoding.readouts(hw.cell).offset
        if offset:
            ones = self._weight(torch.ones_like(cells.weight[0]), self.plan.blocks[b])
            scale = self.operator.per_column(cells.scale[b]) * reach
            total = total - offset * scale * inputs.multiply(ones)
        return total

    def _converted(
        self, inputs: Inputs, cells: Cells, k: int, b: int, bound: Tensor | float, factor: float = 1
    ) -> Tensor:
        y = self.columns(inputs, cells, k, b, factor)
        half = self.hw.adc.half_steps
        return y if half is None else quantise(y, bound, half) * bound

    def _halved(self, y: Tensor, inputs: Inputs, cells: Cells, k: int, b: int) -> Tensor:
        """Repeat the vectors that clip at half the input, until none clips or `max_halvings` is reached."""
        bound = self.hw.adc.bound
        clipped = self._clips(y)
        for halving in range(1, self.hw.adc.max_halvings + 1):
            if _holds_numbers(clipped) and not bool(clipped.any()):
                break
            weaker = self._converted(inputs, cells, k, b, bound, 2.0**halving)
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

    def _weight(self, matrix: Tensor, block: Block) -> Tensor:
        return self.operator.part(matrix, block, self.plan, self.kernel)

    def _folded(self, cells: Cells) -> Tensor:
        matrix = (cells.weight * self.plan.spread(cells.gain)).sum(0)
        offset = self.hw.encoding.readouts(self.hw.cell).offset
        return matrix - offset * self.plan.spread(cells.scale) if offset else matrix


def _placed(matrix: Tensor, block: Block) -> Tensor:
    """`matrix` with the rows of the block multiplied by their position factor, zero elsewhere."""
    rows = matrix[..., block.start : block.stop] * position_factor(block.rows, matrix)
    return F.pad(rows, (block.start, matrix.shape[-1] - block.stop))


def _holds_numbers(x: Tensor) -> bool:
    """False where a decision on values is not possible: compiling, exporting, vmap, meta and fake tensors."""
    symbolic = torch.compiler.is_compiling() or type(x) is not Tensor or x.is_meta
    return not symbolic and not torch._C._functorch.is_functorch_wrapped_tensor(x)
