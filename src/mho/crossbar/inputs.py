"""The inputs of one row block as the array sees them: scaled to the DAC's range and quantised. Plain torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Protocol, TypeVar

from torch import Tensor

from mho.crossbar.operator import Operator
from mho.hardware import InputSlice
from mho.kernels import add_noise
from mho.kernels.reference import quantise

Transform = Callable[[Tensor], Tensor]
Self = TypeVar("Self", bound="_Inputs")


class Inputs(Protocol):
    """Inputs u = x / (r f), where r is the DAC's range and f >= 1 a reduction asked for by bound management."""

    operator: Operator

    def multiply(self, weight: Tensor, factor: float) -> Tensor:
        """Σ_j w_ij u_j with quantised u."""

    def moment(self, transform: Transform, degree: int, weight: Tensor, factor: float) -> Tensor:
        """Σ_j w_ij h(u_j) for a homogeneous h of the given degree."""

    def sliced(self, part: InputSlice) -> Inputs:
        """The same with a slice of u in its place."""

    def codes(self) -> Inputs:
        """The same as the digital side knows them: without the noise behind the DAC."""


class _Inputs:
    take: Transform | None = None

    def sliced(self: Self, part: InputSlice) -> Self:
        """The same with a slice of u in its place."""
        if part.take is None:
            return self
        found = copy.copy(self)
        found.take = part.take
        return found

    def codes(self: Self) -> Self:
        """The same as the digital side knows them."""
        return self

    def _part(self, u: Tensor) -> Tensor:
        return u if self.take is None else self.take(u)


class ScaledInputs(_Inputs):
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
        self._u = self._at(1.0)

    def _at(self, factor: float) -> Tensor:
        reach = self.reach if factor == 1 else self.reach * factor
        u = quantise(self.raw, reach, self.half_steps)
        return add_noise(u, self.noise) if self.noise else u

    def codes(self) -> ScaledInputs:
        """The same without the noise behind the DAC."""
        return ScaledInputs(self.raw, self.reach, self.half_steps, self.operator) if self.noise else self

    def multiply(self, weight: Tensor, factor: float) -> Tensor:
        """Native operator on u."""
        return self.operator(self._part(self._u if factor == 1 else self._at(factor)), weight)

    def moment(self, transform: Transform, degree: int, weight: Tensor, factor: float) -> Tensor:
        """Native operator on h(u)."""
        return self.operator(transform(self._part(self._u if factor == 1 else self._at(factor))), weight)


class PatchInputs(_Inputs):
    """A convolution whose every patch has a range of its own.

    The product is a sum of one 1×1 convolution a kernel tap over strided views of the input, each quantised with the
    range of its output position: exact, and nothing is unfolded. Noise and IR drop take the inputs before rounding,
    unless they come in slices.

    Args:
        raw: x, real units.
        reach: r of each patch, shape of the output with one channel a group.
        half_steps: Largest code of the DAC, or None.
        operator: The block's operator.
        kernel: Spatial size.
        columns: Output channels of a group.
    """

    def __init__(
        self, raw: Tensor, reach: Tensor, half_steps: float | None, operator: Operator, kernel: tuple[int, ...],
        columns: int,
    ) -> None:  # fmt: skip
        self.raw, self.reach, self.half_steps, self.operator = raw, reach, half_steps, operator
        self.kernel, self.columns = kernel, columns

    def multiply(self, weight: Tensor, factor: float) -> Tensor:
        """Sum over the taps."""
        if self.half_steps is None:
            return self.moment(lambda x: x, 1, weight, factor)
        return self._by_taps(lambda u: u, weight, factor)

    def moment(self, transform: Transform, degree: int, weight: Tensor, factor: float) -> Tensor:
        """Native operator on h(x), divided by (r f)^degree."""
        if self.take is not None:
            return self._by_taps(transform, weight, factor)
        unit = self.operator.per_group(self.reach * factor, self.columns)
        return self.operator(transform(self.raw), weight) / unit**degree

    def _by_taps(self, transform: Transform, weight: Tensor, factor: float) -> Tensor:
        pointwise, ones = self.operator.pointwise(), (1,) * self.operator.dims
        reach = self.operator.per_group(self.reach * factor, weight.shape[1])
        views = self.operator.by_taps(self.raw, self.kernel)
        total: Tensor | None = None
        for view, tap in zip(views, weight.flatten(2).unbind(-1), strict=True):
            u = transform(self._part(quantise(view, reach, self.half_steps)))
            part = pointwise(u, tap.reshape(*tap.shape, *ones))
            total = part if total is None else total + part
        assert total is not None
        return total
