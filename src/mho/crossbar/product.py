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
from mho.kernels import add_noise, quantise

_SMALLEST_REACH = 1e-12

torch.fx.wrap("quantise")
torch.fx.wrap("add_noise")


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
            y = self._block(inputs, cells, b, adc_range) * reach
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
            reach = self.operator.patch_max(raw, self.kernel).clamp(min=_SMALLEST_REACH)
            if self.operator.dims == 0:
                found.append((ScaledInputs(raw, reach, half, self.operator), reach))
            else:
                patches = PatchInputs(raw, reach, half, self.operator, self.kernel, self.plan.columns)
                found.append((patches, self.operator.per_group(reach, self.plan.columns)))
        return found

    def columns(self, inputs: Inputs, cells: Cells, k: int, b: int, factor: float = 1.0) -> Tensor:
        """Outputs of readout k in row block b before the ADC: product, IR drop, noise; full weight × full input = 1."""
        hw, block = self.hw, self.plan.blocks[b]
        weight = self._weight(cells.weight[k], block)
        y = inputs.multiply(weight, factor)
        if hw.ir_drop.scale:
            placed = self._weight(_placed(cells.weight[k], block), block)
            y = y - ir_drop(inputs, weight, placed, block.rows, hw.ir_drop, factor)
        if cells.variance is not None:
            spread = inputs.moment(torch.square, 2, self._weight(cells.variance[k], block), factor)
            return add_noise(y, (spread.clamp(min=0) + hw.noise.output**2).sqrt())
        return add_noise(y, hw.noise.output) if hw.noise.output else y

    def _block(self, inputs: Inputs, cells: Cells, b: int, adc_range: Tensor | None) -> Tensor:
        """Digital sum over the readouts of one row block, in units of the DAC's range."""
        total: Tensor | None = None
        for k in range(len(cells.weight)):
            bound = self.hw.adc.bound if adc_range is None else adc_range[k, b].to(cells.weight.dtype)
            y = self._converted(inputs, cells, k, b, bound)
            if self.hw.adc.on_clip == "halve_input":
                y = self._halved(y, inputs, cells, k, b)
            y = y * self.operator.per_column(cells.gain[k, b])
            total = y if total is None else total + y
        assert total is not None
        offset = self.hw.encoding.readouts(self.hw.cell).offset
        if offset:
            ones = self._weight(torch.ones_like(cells.weight[0]), self.plan.blocks[b])
            total = total - offset * self.operator.per_column(cells.scale[b]) * inputs.multiply(ones)
        return total

    def _converted(
        self, inputs: Inputs, cells: Cells, k: int, b: int, bound: Tensor | float, factor: float = 1
    ) -> Tensor:
        y = self.columns(inputs, cells, k, b, factor)
        half = self.hw.adc.half_steps
        return y if half is None else quantise(y, bound, half) * bound

    def _halved(self, y: Tensor, inputs: Inputs, cells: Cells, k: int, b: int) -> Tensor:
        """Repeat the vectors that clip at half the input, until none clips or `max_halvings` is reached."""
        bound, axis = self.hw.adc.bound, self.operator.axis
        clipped = (y.abs() >= bound).any(axis, keepdim=True)
        for halving in range(1, self.hw.adc.max_halvings + 1):
            if _holds_numbers(clipped) and not bool(clipped.any()):
                break
            weaker = self._converted(inputs, cells, k, b, bound, 2.0**halving)
            y = torch.where(clipped, weaker * 2.0**halving, y)
            clipped = clipped & (weaker.abs() >= bound).any(axis, keepdim=True)
        return y

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
