"""The inputs of one row block as the array sees them: scaled to the DAC's range and quantised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from mho.crossbar.operator import Operator
from mho.kernels import add_noise, fast, quantise

torch.fx.wrap("add_noise")
torch.fx.wrap("quantise")

Transform = Callable[[Tensor], Tensor]


class Inputs(Protocol):
    """Inputs u = x / (r f), where r is the DAC's range and f >= 1 a reduction asked for by bound management."""

    def multiply(self, weight: Tensor, factor: float = 1.0) -> Tensor:
        """Σ_j w_ij u_j with quantised u."""

    def moment(self, transform: Transform, degree: int, weight: Tensor, factor: float = 1.0) -> Tensor:
        """Σ_j w_ij h(u_j) for a homogeneous h of the given degree."""


class ScaledInputs:
    """One range for the whole tensor, or one a vector of a linear layer: u itself can be written down.

    Args:
        raw: x, real units.
        reach: r, broadcast against `raw`.
        half_steps: Largest code of the DAC, or None.
        operator: The block's operator.
        noise: Standard deviation of each input behind the DAC. An input of a convolution is drawn once for all the
            patches that it is part of.
    """

    def __init__(
        self, raw: Tensor, reach: Tensor | float, half_steps: float | None, operator: Operator, noise: float = 0.0
    ) -> None:
        self.raw, self.reach, self.half_steps, self.operator, self.noise = raw, reach, half_steps, operator, noise
        self._quantised = self._at(1.0)

    def _at(self, factor: float) -> Tensor:
        axis = self.operator.axis if not self.operator.transposed else -1
        reach = self.reach if factor == 1 else self.reach * factor
        u = quantise(self.raw, reach, self.half_steps, axis, passing=factor == 1 and not self.noise)
        return add_noise(u, self.noise) if self.noise else u

    def multiply(self, weight: Tensor, factor: float = 1.0) -> Tensor:
        """Native operator on u."""
        return self.operator(self._quantised if factor == 1 else self._at(factor), weight)

    def moment(self, transform: Transform, degree: int, weight: Tensor, factor: float = 1.0) -> Tensor:
        """Native operator on h(u)."""
        u = self._quantised if factor == 1 else self._at(factor)
        if transform is torch.abs and fast(u) and bool(u.amin() >= 0):
            return self.operator(u, weight)  # behind a rectifier
        return self.operator(transform(u), weight)


class PatchInputs:
    """A convolution whose every patch has a range of its own.

    The product is a sum of one 1×1 convolution a kernel tap over strided views of the input, each quantised with the
    range of its output position: exact, and nothing is unfolded. Noise and IR drop take the inputs before rounding.

    Args:
        raw: x, real units.
        reach: r of each patch, shape of the output with one channel a group.
        half_steps: Largest code of the DAC, or None.
        operator: The block's operator.
        kernel: Spatial size.
        columns: Output channels of a group.
    """

    def __init__(
        self,
        raw: Tensor,
        reach: Tensor,
        half_steps: float | None,
        operator: Operator,
        kernel: tuple[int, ...],
        columns: int,
    ) -> None:
        self.raw, self.reach, self.half_steps, self.operator = raw, reach, half_steps, operator
        self.kernel, self.columns = kernel, columns

    def multiply(self, weight: Tensor, factor: float = 1.0) -> Tensor:
        """Sum over the taps."""
        if self.half_steps is None:
            return self.moment(lambda x: x, 1, weight, factor)
        pointwise, ones = self.operator.pointwise(), (1,) * self.operator.dims
        channels = weight.shape[1]
        reach = self.operator.per_group(self.reach * factor, channels)
        total: Tensor | None = None
        views = self.operator.by_taps(self.raw, self.kernel)
        for view, tap in zip(views, weight.flatten(2).unbind(-1), strict=True):
            part = pointwise(quantise(view, reach, self.half_steps), tap.reshape(*tap.shape, *ones))
            total = part if total is None else total + part
        assert total is not None
        return total

    def moment(self, transform: Transform, degree: int, weight: Tensor, factor: float = 1.0) -> Tensor:
        """Native operator on h(x), divided by (r f)^degree."""
        unit = self.operator.per_group(self.reach * factor, self.columns)
        return self.operator(transform(self.raw), weight) / unit**degree
