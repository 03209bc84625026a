"""The scheme of a matrix's product: which conversions it takes, in which order, as data.

    y = Σ_b Σ_s Σ_k  f_k w_s s_b c_kb · ADC_k( Σ_{j in b} A_kj v_sj )  -  offset · Σ_b s_b Σ_{j in b} u_j

over row blocks b, slices s of the input (u = Σ w_s v_s) and readouts k, with the scale s_b and the chip's compensation
c_kb of each column. Everything that computes, calibrates, reports on or counts a product goes through this one list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mho.crossbar.operator import Operator
from mho.crossbar.plan import Plan
from mho.errors import NotYet, WrongSetting
from mho.hardware import ADC, DAC, Circuit, Hardware, InputSlice, Readout, Readouts
from mho.kernels.reference import quantise

SMALLEST_RANGE = 1e-12
"""Range of a converter that sees nothing but zeros."""


class Conversion(NamedTuple):
    """Column outputs of one row block for one slice of the input, converted on their own.

    Attributes:
        block: Number of the row block.
        slice: Which part of the input; None: all of it, summed digitally (the offset of an encoding).
        readout: Number of the readout; -1 for the offset.
        operand: Its place in `Held.operands`.
        weight: Digital factor of the slice; that of the readout is in the operand's gain.
        half_steps: Largest code of the converter, or None.
        bound: Largest output of the converter, or None where data set it (`AnalogMatrix.adc_range[readout, block]`).
        unipolar: Negative outputs give 0.
        noise: σ of the output noise, in units of a full weight times a full input.
        halvings: How often a vector that clips is repeated at half the input.
        batch: The largest output is that of the batch at hand.
        circuit: What finds the codes where the operand knows its errors, or None.
    """

    block: int
    slice: InputSlice | None
    readout: int
    operand: int
    weight: float
    half_steps: float | None
    bound: float | None
    unipolar: bool
    noise: float
    halvings: int
    batch: bool = False
    circuit: Circuit | None = None

    def range(self, adc_range: Tensor | None, dtype: torch.dtype, y: Tensor | None = None) -> Tensor | float:
        """Largest output of the converter, from what the hardware says or what data set; or that of the outputs `y`."""
        if self.batch and y is not None:
            return (y.detach().abs().amax() if y.numel() else y.new_ones(())).clamp(min=SMALLEST_RANGE)
        if self.bound is not None:
            return self.bound
        return 1.0 if adc_range is None else adc_range[self.readout, self.block].to(dtype)

    def convert(
        self, y: Tensor, bound: Tensor | float, errors: Tensor | None = None, axis: int = -1
    ) -> Tensor:  # fmt: skip
        """A converter of range b: b q(y/b), with codes -h … h, or 0 … h where it is unipolar.

        Args:
            y: Outputs.
            bound: b.
            errors: Of each column's converter, see `mho.hardware.Circuit`; None: there are none.
            axis: Of the columns.
        """
        if self.half_steps is None:
            return y
        if self.circuit is not None and errors is not None:
            high = int(self.half_steps)
            scaled = (y * (self.half_steps / bound)).movedim(axis, -1)
            codes = self.circuit.convert(scaled, errors.to(scaled), 0 if self.unipolar else -high, high)
            return codes.movedim(-1, axis) * (1 / self.half_steps) * bound
        found = quantise(y, bound, self.half_steps)
        return (found.clamp(min=0) if self.unipolar else found) * bound


@dataclass(frozen=True, eq=False)
class Scheme:
    """How one matrix is multiplied. Made by `Scheme.of`, once for each matrix and hardware; all that can be known is said.

    Attributes:
        hw: The hardware.
        shape: Of the weight, in torch's layout.
        plan: Where the matrix stands on arrays.
        kernel: Spatial size of the kernel, () for a linear layer.
        readouts: How planes of cells are read.
        blocks: The conversions of each row block, in order.
        conversions: All of them, in order.
        per_vector: Every input vector has a range of its own.
        input_steps: Largest code of the DAC, or None.
        drawn_per_product: Weights are drawn anew for every product.
        drawn_per_conversion: Weights are drawn anew for every conversion of a batch.
        noisy: Something is drawn for every product, or every conversion.
        lossless: Nothing between the layer's input and the digital sum loses or adds anything; nor do repeated vectors, then.
        needs_input_range: The DAC's range is a number of the layer's own, and something depends on it: converters, IR drop, the
            curve of columns, and noise of inputs and outputs are in units of it.
        needs_adc_range: An ADC's range comes from data.
        fits_a_byte: One conversion says all of the output, in whole codes of a byte.
        repeats: Vectors that clip are repeated.
        passes: Tensors of the size of the outputs that a conversion makes: products, and what noise and IR drop take.
        only_by_reference: Why the fused executor cannot compute this product; empty where it can.
        joined: The same product in fewer conversions, where nothing between them loses anything; None where there are none to
            join. Its operands are made by `mho.crossbar.held.hold`.
    """

    hw: Hardware
    shape: tuple[int, ...]
    plan: Plan
    kernel: tuple[int, ...]
    readouts: Readouts
    blocks: tuple[tuple[Conversion, ...], ...]
    conversions: tuple[Conversion, ...]
    per_vector: bool
    input_steps: float | None
    drawn_per_product: bool
    drawn_per_conversion: bool
    noisy: bool
    lossless: bool
    needs_input_range: bool
    needs_adc_range: bool
    fits_a_byte: bool
    repeats: bool
    passes: int
    only_by_reference: str
    joined: Scheme | None = None

    @classmethod
    def of(cls, operator: Operator, shape: tuple[int, ...], hw: Hardware, path: str | None = None) -> Scheme:
        """The scheme of a weight of torch's shape, read by `operator`, on this hardware; `path` is for messages.

        Raises:
            NotYet: Noise of the inputs where every patch of a convolution has a range of its own; or where inputs come in
                slices, which are not repeated at half their size, either.
        """
        if operator.dims and hw.dac.range == "abs_max" and hw.noise.input:
            raise NotYet(
                "noise of the inputs is not computed where every patch of a convolution has a range of its own",
                "set dac.range to 'calibrated', or noise.input to 0",
                path=path,
            )
        if hw.noise.input and hw.dac.slices() != (InputSlice(),):
            raise NotYet(
                "noise of the inputs is not computed for inputs that come in slices", "set noise.input to 0", path=path
            )
        if hw.dac.slices() != (InputSlice(),) and hw.adc.on_clip != "clip":
            raise NotYet(
                "inputs that come in slices are not repeated at half their size", "set adc.on_clip to 'clip'", path=path
            )
        plan = operator.plan(shape, hw)
        readouts = hw.encoding.readouts(hw.cell)
        blocks = tuple(_block(b, block.rows, readouts, hw, path) for b, block in enumerate(plan.blocks))
        every = tuple(conversion for block in blocks for conversion in block)
        drawn = bool(hw.noise.weight) or any(v.redraw == "mvm" and v.sigma for v in hw.variations)
        anew = any(v.redraw == "conversion" and v.sigma for v in hw.variations)
        noisy = drawn or anew or bool(hw.noise.input) or any(c.noise for c in every)
        per_vector, input_steps = hw.dac.range == "abs_max", hw.dac.half_steps
        converted = input_steps is not None or any(c.half_steps is not None for c in every)
        exact = not (converted or noisy or hw.ir_drop.scale or hw.columns)
        # Everything else grows with the inputs, so that a range of theirs cancels: noise of weights and offsets of columns, too.
        of_full = (
            hw.noise.input or hw.ir_drop.scale or hw.columns.nonlinearity or any(c.noise or c.halvings for c in every)
        )
        found = cls(
            hw, shape, plan, tuple(shape[2:]) if operator.dims else (), readouts, blocks, every, per_vector, input_steps, drawn,
            anew, noisy, lossless=exact,
            needs_input_range=not per_vector and not exact and bool(converted or of_full),
            needs_adc_range=any(c.half_steps is not None and c.bound is None and not c.batch for c in every),
            fits_a_byte=len(every) == 1 and (half := every[0].half_steps) is not None and half <= 127 and half == int(half),
            repeats=any(c.halvings for c in every),
            passes=1 + 2 * drawn + 3 * bool(hw.ir_drop.scale),
            only_by_reference=_only_by_reference(every, hw, anew),
        )  # fmt: skip
        return replace(found, joined=_joined(found))

    def __deepcopy__(self, memo: Any) -> Scheme:
        """Itself: it cannot change."""
        return self


def _block(b: int, rows: int, readouts: Readouts, hw: Hardware, path: str | None) -> tuple[Conversion, ...]:
    """The conversions of a row block: slice by slice, readout by readout, then the digital sum that an offset takes."""
    first, found = b * (len(readouts.columns) + bool(readouts.offset)), []
    for part in _slices(hw.dac):
        for k, readout in enumerate(readouts.columns):
            adc = hw.adc if readout.adc is None or hw.adc.half_steps is None else readout.adc
            bound = _bound(adc, readout, hw, rows, path)
            found.append(_conversion(adc, bound, hw.noise.output * readout.noise, b, part, k, first + k))
    if readouts.offset:
        found.append(Conversion(b, None, -1, first + len(readouts.columns), 1.0, None, None, False, 0.0, 0))
    return tuple(found)


def _joined(scheme: Scheme) -> Scheme | None:
    """The product in one conversion, or in one a row block where each has a range or input noise of its own.

    Without converters and IR drop every conversion is linear in the inputs, and noise at several outputs adds up to noise
    of one. Two things keep conversions apart: weights drawn anew for every slice of the input, and an offset that the digital
    side finds from inputs without their noise.
    """
    hw, apart = scheme.hw, scheme.per_vector or bool(scheme.hw.noise.input)
    linear = all(c.half_steps is None and not c.halvings for c in scheme.conversions) and not (
        hw.ir_drop.scale or hw.columns
    )
    sliced = scheme.drawn_per_conversion or (scheme.drawn_per_product and hw.dac.slices() != (InputSlice(),))
    wanted = len(scheme.blocks) if apart else 1
    if not linear or sliced or (hw.noise.input and scheme.readouts.offset) or len(scheme.conversions) == wanted:
        return None
    plan = scheme.plan if apart else replace(scheme.plan, array=scheme.plan.array.replace(rows=scheme.plan.rows))
    one = Conversion(0, InputSlice(), 0, 0, 1.0, None, None, False, hw.noise.output, 0)
    every = tuple(one._replace(block=b, operand=b) for b in range(wanted))
    return replace(
        scheme, plan=plan, readouts=Readouts((Readout(()),)), blocks=tuple((c,) for c in every), conversions=every,
        only_by_reference="",
    )  # fmt: skip


@dataclass(frozen=True)
class _Through:
    """A slice's part of the input, with the gradient of its share of the whole: Σ w_s · w_s / Σ w² = 1."""

    take: Callable[[Tensor], Tensor]
    share: float

    def __call__(self, u: Tensor) -> Tensor:
        v = self.take(u.detach())
        return v + self.share * (u - u.detach()) if u.requires_grad else v


def _slices(dac: DAC) -> tuple[InputSlice, ...]:
    parts = dac.slices()
    total = sum(part.weight**2 for part in parts)
    return tuple(p if p.take is None else replace(p, take=_Through(p.take, p.weight / total)) for p in parts)


def _only_by_reference(conversions: tuple[Conversion, ...], hw: Hardware, anew: bool) -> str:
    if anew:
        return "weights are drawn for every conversion"
    if hw.columns:
        return "columns are not linear"
    if any(c.unipolar for c in conversions):
        return "a converter is unipolar"
    if any(c.slice is not None and c.slice != InputSlice() for c in conversions):
        return "inputs come in slices"
    if any(c.batch for c in conversions):
        return "the range of a converter is that of the batch"
    return ""


def _conversion(
    adc: ADC, bound: float | None, noise: float, block: int, part: InputSlice, readout: int, operand: int
) -> Conversion:
    halvings = adc.max_halvings if adc.on_clip == "halve_input" else 0  # an analog bound needs no resolution
    return Conversion(
        block, part, readout, operand, part.weight, adc.half_steps, bound, adc.unipolar, noise, halvings, adc.range == "batch",
        adc.circuit,
    )  # fmt: skip


def _bound(adc: ADC, readout: Readout, hw: Hardware, rows: int, path: str | None) -> float | None:
    """The range of a converter where the description says it."""
    if adc.range == "fixed":
        return adc.bound
    if adc.range not in ("maximum", "granular") or adc.half_steps is None:
        return None
    if hw.mapping.scale == "none":
        raise WrongSetting(
            f"an ADC range '{adc.range}' of columns that are read unscaled", "set another mapping.scale", path=path
        )
    if adc.range == "maximum":
        return rows * readout.largest(hw.cell)
    if readout.step is None or hw.dac.half_steps is None:
        raise WrongSetting(
            "an ADC range 'granular' of continuous cells or inputs", "set cell.levels (or encoding bit_sliced) and dac.bits",
            path=path,
        )  # fmt: skip
    whole = len(hw.dac.slices()) == 1
    return adc.half_steps * readout.step / (hw.dac.half_steps if whole else 2 ** (hw.dac.slice_bits or 1) - 1)
