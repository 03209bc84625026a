"""The fused executor for input vectors that are told apart: each has a range of its own, or is repeated when it clips.

Products are taken a few vectors at a time, out of patches that are converted in the cache (`mho.kernels.patches`). A vector
that clips is repeated by itself, together with the others that do.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mho.crossbar.columns import SMALLEST_REACH, full_input
from mho.crossbar.held import Held, Operand
from mho.crossbar.operator import Operator, operator_of
from mho.crossbar.plan import Block
from mho.crossbar.scheme import Conversion, Scheme
from mho.hardware import InputSlice
from mho.kernels import Drop, Kept, patches, read_out, read_out_vectors


def suits(held: Held, operator: Operator, x: Tensor, *given: Tensor | None) -> bool:
    """True where `forward` can answer: single precision on the CPU, vectors of one array in one piece.

    Args:
        held: What the arrays hold.
        operator: torch's operator.
        x: Input of the layer.
        given: What else is read: ranges and bias.
    """
    scheme = held.scheme
    if scheme.input_steps is None or scheme.hw.noise.input or x.numel() == 0:
        return False
    if not in_images(scheme, operator, x):
        return False
    if any(c.unipolar or (c.slice is not None and c.slice != InputSlice()) for c in scheme.conversions):
        return False
    if scheme.passes > 1 and not (scheme.per_vector and operator.dims):
        return False  # noise and IR drop follow the inputs as they were converted
    tensors = [t for operand in held.operands for t in (operand.weight, operand.gain)]
    return patches.suits(x, *tensors, *given)


def forward(
    held: Held, operator: Operator, x: Tensor, input_range: Tensor | None, adc_range: Tensor | None, bias: Tensor | None
) -> Tensor:
    """The layer's output, real units; arguments as for `mho.crossbar.reference.compute`."""
    scheme, planar = held.scheme, answers_planar(held, operator, x)
    shift = held.shift if bias is None else bias if held.shift is None else held.shift + bias
    images, total = patches.in_rows(as_images(operator, x)), None
    for block, conversions in zip(scheme.plan.blocks, scheme.blocks, strict=True):
        vectors = Vectors.of(scheme, operator, images, block, input_range, passing=True)
        for conversion in conversions:
            last = shift if conversion is scheme.conversions[-1] else None
            if not scheme.repeats:
                total = _converted(vectors, held, conversion, adc_range, last, total, planar)
                continue
            part = repeated(vectors, held, conversion, adc_range, last)
            total = part if total is None else total.add_(part)
    assert total is not None
    return from_images(operator, patches.planar(total) if planar and scheme.repeats else total, x)


class Vectors(NamedTuple):
    """The input vectors of a row block.

    Attributes:
        raw: x in rows, real units, (n, channels, height, width).
        reach: Range of each vector, (n, groups, height, width), in rows.
        half_steps: Largest code of the DAC.
        window: Where patches lie.
        clips: Inputs may be larger than the range.
        operator: The operator on `raw`.
    """

    raw: Tensor
    reach: Tensor
    half_steps: float
    window: patches.Window
    clips: bool
    operator: Operator

    @classmethod
    def of(
        cls, scheme: Scheme, operator: Operator, images: Tensor, block: Block, input_range: Tensor | None = None,
        reach: Tensor | None = None, passing: bool = False,
    ) -> Vectors:  # fmt: skip
        """Those of images in rows; `reach` where it is known. With `passing` they are gone when others are made."""
        operator = on_images(operator)
        raw, window = patches.in_rows(operator.take(images, block, scheme.plan)), window_of(operator)
        assert scheme.input_steps is not None
        kernel = (1, 1, *scheme.kernel)[-2:]
        shape = (scheme.shape[0], raw.shape[1] // operator.groups, *kernel)
        if reach is None and scheme.per_vector:
            reach = patches.ranges(raw, shape, window, SMALLEST_REACH, passing=passing)
        elif reach is None:
            reach = patches.same_ranges(raw, shape, window, full_input(input_range, raw.dtype))
        return cls(raw, reach, scheme.input_steps, window, not scheme.per_vector, operator)

    def multiply(
        self, operand: Operand, scale: float, positions: Tensor | None = None, reduction: float = 1.0
    ) -> _Seen:
        """Column outputs of all vectors, or of those at some positions with inputs reduced by a factor."""
        reach = self.reach if positions is None else by_position(self.reach)[positions] * reduction
        weight = image_weight(operand.weight)
        y = patches.products(self.raw, weight, reach, self.half_steps, self.window, positions, clips=self.clips)
        spread = drop = None
        if operand.variance is not None:
            spread = self._moment(self.raw.square(), operand.variance, reach.square(), positions)
        if operand.size is not None and operand.placed is not None:
            current = self._moment(self.raw.abs(), operand.size, reach, positions)
            drop = Drop(current, self._moment(self.raw, operand.placed, reach, positions), scale)
        return _Seen(y, reach, spread, drop)

    def _moment(self, x: Tensor, weight: Tensor, unit: Tensor, positions: Tensor | None) -> Tensor:
        """torch's operator before rounding, over what the range makes of it."""
        found = self.operator(x, image_weight(weight)).contiguous(memory_format=torch.channels_last)
        if positions is None:
            return found.div_(self.operator.per_group(unit, found.shape[1] // self.window.groups))
        found = by_position(found)[positions]
        return found / unit.repeat_interleave(found.shape[1] // self.window.groups, 1)


class _Seen(NamedTuple):
    """What the converters of a block's columns meet, and the range that it is relative to."""

    y: Tensor
    reach: Tensor
    spread: Tensor | None
    drop: Drop | None


def _converted(
    vectors: Vectors, held: Held, conversion: Conversion, adc_range: Tensor | None, shift: Tensor | None,
    total: Tensor | None, planar: bool,
) -> Tensor:  # fmt: skip
    operand = held.operands[conversion.operand]
    seen = vectors.multiply(operand, held.scheme.hw.ir_drop.scale)
    bound = conversion.range(adc_range, seen.y.dtype)
    return read_out(
        seen.y, operand.gain, -3, bound, conversion.half_steps, conversion.noise**2, seen.spread, seen.drop, shift, total,
        planar, each=seen.reach,
    )  # fmt: skip


class Repetition(NamedTuple):
    """A repetition of some of a block's vectors, for the way back.

    Attributes:
        kept: See `mho.kernels.read_out_kept`.
        positions: Which vectors.
        chosen: For which of their groups it counts, (count, groups).
        reduction: Of the inputs.
    """

    kept: Kept
    positions: Tensor
    chosen: Tensor
    reduction: float


def repeated(
    vectors: Vectors, held: Held, conversion: Conversion, adc_range: Tensor | None, shift: Tensor | None,
    reads: list[Kept | Repetition] | None = None,
) -> Tensor:  # fmt: skip
    """One conversion's part of the digital sum; vectors that clip are repeated at half the input, until none clips or the
    halvings are used up.

    Args:
        vectors: Those of the block.
        held, adc_range: See `mho.crossbar.reference.compute`.
        conversion: Which.
        shift: Added to each column, or None.
        reads: Gets what the way back needs: of all vectors, then of every repetition.
    """
    operand, half = held.operands[conversion.operand], conversion.half_steps
    bound = conversion.range(adc_range, vectors.raw.dtype)
    if not conversion.halvings:
        return _converted(vectors, held, conversion, adc_range, shift, None, False)
    assert not isinstance(bound, Tensor)
    top = bound if half is None else half - 0.25  # see `reference._clips`

    def read(axis: int, seen: _Seen) -> tuple[Tensor, Tensor | None, Kept | None]:
        return read_out_vectors(
            seen.y, operand.gain, seen.reach, top, axis, bound, half, conversion.noise**2, seen.spread, seen.drop, shift,
            keep=reads is not None,
        )  # fmt: skip

    drop_scale, groups = held.scheme.hw.ir_drop.scale, vectors.window.groups
    part, clipped, kept = read(-3, vectors.multiply(operand, drop_scale))
    if reads is not None and kept is not None:
        reads.append(kept)
    if clipped is None:
        return part
    found, flags = by_position(part), by_position(clipped)
    for halving in range(1, conversion.halvings + 1):
        which = flags.any(1).nonzero()[:, 0]
        if not len(which):
            break
        weaker, again, kept = read(-1, vectors.multiply(operand, drop_scale, which, 2.0**halving))
        if reads is not None and kept is not None:
            reads.append(Repetition(kept, which, flags[which], 2.0**halving))
        if groups > 1:
            weaker = torch.where(of_columns(flags[which], found), weaker, found[which])
        found[which] = weaker
        if again is None:
            break
        flags[which] &= again
    return part


def of_columns(flags: Tensor, like: Tensor) -> Tensor:
    """(count, groups) flags as (count, columns)."""
    return flags.repeat_interleave(like.shape[1] // flags.shape[1], 1)


def by_position(x: Tensor) -> Tensor:
    """(n, channels, height, width) in rows as (positions, channels)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def in_images(scheme: Scheme, operator: Operator, x: Tensor) -> bool:
    """Whether the layer is a convolution of images, or the same as one, whose row blocks are whole channels."""
    if operator.dims == 0:
        if x.dim() < 2:
            return False
    elif operator.dims > 2 or operator.transposed or operator.padding == "same" or x.dim() != operator.dims + 2:
        return False
    return not any(block.start % scheme.plan.taps or block.stop % scheme.plan.taps for block in scheme.plan.blocks)


def image_weight(weight: Tensor) -> Tensor:
    """A weight as that of a convolution of images."""
    return weight if weight.dim() == 4 else weight.reshape(*weight.shape[:2], 1, -1)


def window_of(operator: Operator) -> patches.Window:
    """The geometry of a layer's convolution of images."""
    operator = on_images(operator)
    stride, dilation = operator.stride, operator.dilation
    vertical, horizontal = (0, 0) if isinstance(operator.padding, str) else operator.padding
    return patches.Window((stride[0], stride[1]), (vertical, horizontal), (dilation[0], dilation[1]), operator.groups)


_POINTWISE = Operator(2, (1, 1), (0, 0), (1, 1))


def on_images(operator: Operator) -> Operator:
    """The same map of images: vectors are pixels, signals are lines."""
    if operator.dims != 1:
        return operator if operator.dims else _POINTWISE
    padding = operator.padding if isinstance(operator.padding, str) else (0, *operator.padding)
    return operator_of(2, (1, *operator.stride), padding, (1, *operator.dilation), operator.groups)


def as_images(operator: Operator, x: Tensor) -> Tensor:
    """Inputs or outputs of a layer as images; the vectors of a linear layer are the pixels of one line, signals are lines."""
    if operator.dims == 0:
        return x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
    return x if operator.dims == 2 else x[:, :, None]


def from_images(operator: Operator, found: Tensor, like: Tensor) -> Tensor:
    """The way back, for vectors as many as in `like`."""
    if operator.dims == 0:
        return found.permute(0, 2, 3, 1).reshape(*like.shape[:-1], found.shape[1])
    return found if operator.dims == 2 else found[:, :, 0]


def answers_planar(held: Held, operator: Operator, x: Tensor) -> bool:
    """Whether images are answered as contiguous ones; signals always are."""
    return operator.dims == 1 or (operator.dims == 2 and not held.channels_last and x.is_contiguous())
