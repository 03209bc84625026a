"""torch's own operator behind a layer, seen as many products of one matrix with vectors.

A convolution multiplies the matrix (columns = output channels, rows = input channels × kernel taps) with the patches of
its input. The patches are never written out: blocks of rows are native convolutions over slices of the channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.crossbar.plan import Block, Plan
from mho.hardware import Hardware

_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAX_POOL: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@dataclass(frozen=True)
class Operator:
    """A linear map of torch with its geometry; `dims` = 0 is `linear`, 1 to 3 a convolution.

    A transposed convolution is taken as the convolution over its zero-stuffed input: rows are input channels × taps.
    """

    dims: int = 0
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] | str = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    axis: ClassVar[int]
    """Axis of the channels (features), counted from the end. Each has its own; no field, for torch.fx makes operators anew
    from their fields."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", -1 - self.dims)

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The native operator."""
        if self.dims == 0:
            return F.linear(x, weight, bias)
        if self.transposed:
            return _TRANSPOSED[self.dims](
                x, weight, bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
            )
        return _CONV[self.dims](x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def back(
        self, g: Tensor, x: Tensor, weight: Tensor, to_x: bool, to_weight: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Gradients with respect to `x` and `weight` from the output's, each where it is asked for."""
        if self.dims == 0:
            vectors = [t.reshape(-1, t.shape[-1]) for t in (g, x)]
            return (g @ weight if to_x else None, vectors[0].T @ vectors[1] if to_weight else None)
        padding = [0] * self.dims if self.padding == "valid" else list(self.padding)  # type: ignore[arg-type]
        single = g.dim() == self.dims + 1
        g, x = (g[None], x[None]) if single else (g, x)
        output_padding = list(self.output_padding) or [0] * self.dims
        found = torch.ops.aten.convolution_backward(
            g, x, weight, None, list(self.stride), padding, list(self.dilation), self.transposed, output_padding,
            self.groups, [to_x, to_weight, False],
        )  # fmt: skip
        return found[0][0] if single and to_x else found[0], found[1]

    def to_matrix(self, weight: Tensor) -> Tensor:
        """Weight in torch's layout to a (groups, columns, rows) matrix."""
        if self.dims == 0:
            return weight[None]
        if self.transposed:
            by_group = weight.unflatten(0, (self.groups, -1)).transpose(1, 2)
            return by_group.reshape(self.groups, by_group.shape[1], -1)
        return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)

    def to_weight(self, matrix: Tensor, kernel: tuple[int, ...]) -> Tensor:
        """(groups, columns, rows) matrix back to torch's layout."""
        if self.dims == 0:
            return matrix[0]
        by_group = matrix.reshape(self.groups, matrix.shape[1], -1, *kernel)
        if self.transposed:
            by_group = by_group.transpose(1, 2)
        return by_group.reshape(-1, *by_group.shape[2:])

    def plan(self, shape: tuple[int, ...], hw: Hardware) -> Plan:
        """The division over arrays of the matrix of a weight of that shape."""
        taps, first, second = math.prod(shape[2:]), shape[0] // self.groups, shape[1]
        columns, inputs = (second, first) if self.transposed else (first, second)
        wide, shared = hw.encoding.columns_per_weight(), len(hw.encoding.shared_planes(hw.cell))
        return Plan(self.groups, columns, inputs * taps, taps, hw.array, wide, shared)

    def take(self, x: Tensor, block: Block, plan: Plan) -> Tensor:
        """The channels of `x` that a row block reads."""
        if len(plan.blocks) == 1:
            return x
        if self.groups == 1:
            return self._channels(x, block, plan)
        by_group = x.unflatten(self.axis, (self.groups, -1))
        return self._channels(by_group, block, plan).flatten(self.axis - 1, self.axis)

    def put(self, parts: list[Tensor], blocks: tuple[Block, ...], plan: Plan, like: Tensor) -> Tensor:
        """Gradients of what `take` gave for each row block, as the gradient of the whole input `like`."""
        if len(blocks) == 1:
            return parts[0]
        whole = torch.zeros_like(like)
        by_group = whole.unflatten(self.axis, (self.groups, -1))
        for part, block in zip(parts, blocks, strict=True):
            self._channels(by_group, block, plan).add_(part.unflatten(self.axis, (self.groups, -1)))
        return whole

    def _channels(self, x: Tensor, block: Block, plan: Plan) -> Tensor:
        first, last = block.start // plan.taps, -(-block.stop // plan.taps)
        return x.narrow(self.axis, first, last - first)

    def part(self, matrix: Tensor, block: Block, plan: Plan, kernel: tuple[int, ...]) -> Tensor:
        """The weight of a row block in torch's layout, to go with `take`."""
        rows = matrix[..., block.start : block.stop]
        before, after = block.start % plan.taps, -block.stop % plan.taps
        if before or after:
            rows = F.pad(rows, (before, after))
        return self.to_weight(rows, kernel)

    def taps_of(self, block: Block, plan: Plan) -> slice:
        """The kernel taps of a row block."""
        before, after = block.start % plan.taps, -block.stop % plan.taps
        return slice(before, plan.taps - after) if before or after else slice(None)

    def per_column(self, values: Tensor) -> Tensor:
        """(groups, columns) values, shaped to broadcast against the operator's output."""
        return values.reshape(-1, *(1,) * self.dims)

    def per_group(self, values: Tensor, columns: int) -> Tensor:
        """One channel a group, repeated for each of its columns."""
        return values if self.groups == 1 else values.repeat_interleave(columns, self.axis)

    def patch_max(self, x: Tensor, kernel: tuple[int, ...], taps: slice = slice(None)) -> Tensor:
        """Largest magnitude in each input vector (patch): the output's shape with one channel a group.

        Args:
            x: Input.
            kernel: Spatial size.
            taps: Those that count, for a row block that holds a part of the kernel.
        """
        largest = x.abs().unflatten(self.axis, (self.groups, -1)).amax(self.axis)
        if self.dims == 0:
            return largest
        if taps != slice(None):
            return torch.stack(self.by_taps(largest, kernel)[taps]).amax(0)
        return _MAX_POOL[self.dims](self._padded(largest, kernel), kernel, self.stride, 0, self.dilation)

    def by_taps(self, x: Tensor, kernel: tuple[int, ...]) -> list[Tensor]:
        """For each kernel tap, the input that the tap sees at every output position (views of the padded input)."""
        padded = self._padded(x, kernel)
        spans = [
            (padded.shape[i - self.dims] - d * (k - 1) - 1) // s + 1
            for i, (k, s, d) in enumerate(zip(kernel, self.stride, self.dilation, strict=True))
        ]
        views = []
        for tap in product(*(range(k) for k in kernel)):
            view = padded
            for i, position in enumerate(tap):
                first = position * self.dilation[i]
                last = first + (spans[i] - 1) * self.stride[i] + 1
                index: list[Any] = [slice(None)] * (padded.dim() - self.dims)
                index += [slice(first, last, self.stride[i]) if j == i else slice(None) for j in range(self.dims)]
                view = view[tuple(index)]
            views.append(view)
        return views

    def pointwise(self) -> Operator:
        """The same map for a single tap: stride, padding and dilation are already applied."""
        ones, zeros = (1,) * self.dims, (0,) * self.dims
        return Operator(self.dims, ones, zeros, ones, self.groups)

    def _padded(self, x: Tensor, kernel: tuple[int, ...]) -> Tensor:
        if self.padding == "valid":
            return x
        pads: list[int] = []
        for i in reversed(range(self.dims)):
            if self.padding == "same":
                total = self.dilation[i] * (kernel[i] - 1)
                pads += [total // 2, total - total // 2]
            else:
                pads += [int(self.padding[i])] * 2
        return F.pad(x, pads) if any(pads) else x


def operator_of(
    dims: int,
    stride: tuple[int, ...],
    padding: tuple[int, ...] | list[int] | str,
    dilation: tuple[int, ...],
    groups: int,
) -> Operator:
    """The convolution of that geometry; the same one each time, for it takes longer to make than to find."""
    padding = tuple(padding) if isinstance(padding, list) else padding  # torch takes both
    make = Operator if torch.compiler.is_compiling() else _kept_operator
    return make(dims, stride, padding, dilation, groups)


_kept_operator = lru_cache(1024)(Operator)


def macs(operator: Operator, x: Tensor, y: Tensor, weight: Tensor) -> int:
    """Multiply-accumulate operations of the digital operator that turned `x` into `y`."""
    return (x if operator.transposed else y).numel() * math.prod(weight.shape[1:])
