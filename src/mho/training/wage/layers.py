"""What a WAGE network has between its layers: the scale of a layer, quantised activations, quantised errors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mho.training.wage.quantisers import quantise, saturate, shift


class Divide(nn.Module):
    """Outputs of a layer over its scale α, a power of two that stays as it is (in the place of a batch norm).

    Args:
        by: α.
    """

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        """x / α."""
        return x / self.by

    def extra_repr(self) -> str:
        """α."""
        return f"{self.by:g}"


class _Errors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: int) -> Tensor:
        ctx.bits = bits
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return quantise(error / shift(error.abs().amax()), ctx.bits), None


class QuantisedErrors(nn.Module):
    """Nothing forward; backward Q(e / Shift(max|e|), k): errors keep their directions and relative sizes, not their size.

    Args:
        bits: k of the errors.
    """

    def __init__(self, bits: int = 8) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        """x."""
        return _Errors.apply(x, self.bits)  # type: ignore[no-any-return,no-untyped-call]


class QuantisedActivation(nn.Module):
    """In the place of a ReLU: max(x, 0), errors quantised on their way back, then Q(x, k).

    The gradient of Q is 1 between ±(1 - σ(k)) and 0 beyond.

    Args:
        bits: k of the activations.
        error_bits: k of the errors; None: they pass as they are, as at the inputs of a network.
        relu: False: x itself, for the inputs.
    """

    def __init__(self, bits: int = 8, error_bits: int | None = 8, *, relu: bool = True) -> None:
        super().__init__()
        self.bits, self.error_bits, self.relu = bits, error_bits, relu

    def forward(self, x: Tensor) -> Tensor:
        """Activations of any shape to the same shape."""
        x = x.relu() if self.relu else x
        if self.error_bits is not None:
            x = _Errors.apply(x, self.error_bits)  # type: ignore[no-untyped-call]
        inside = saturate(x, self.bits)
        return inside + (quantise(inside, self.bits) - inside).detach()
