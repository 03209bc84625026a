"""Which kernel runs."""

from __future__ import annotations

import torch
from torch import Tensor

from mho.kernels import cpu, reference


def active() -> str:
    """The kernels that dense float32 tensors on the CPU meet, in words."""
    return "reference (plain torch)" if cpu.library() is None else "fast CPU (compiled C++), reference elsewhere"


def quantise(x: Tensor, reach: Tensor | float, half_steps: float | None) -> Tensor:
    """See `reference.quantise`."""
    scalar = not isinstance(reach, Tensor) or reach.numel() == 1
    if (
        half_steps is not None
        and scalar
        and cpu.suits(x, reach if isinstance(reach, Tensor) else None)
        and cpu.is_dense(x)
    ):
        return cpu.quantise(x, float(reach), half_steps)
    return reference.quantise(x, reach, half_steps)


def read_out(
    y: Tensor, spread: Tensor | None, variance: float, bound: Tensor | float, half_steps: float | None, factor: Tensor,
    axis: int, total: Tensor | None,
) -> Tensor:  # fmt: skip
    """See `reference.read_out`. The fast kernel reuses `y`, or adds to `total` in place: neither may be used again."""
    dense = cpu.is_dense(y) and all(
        t is None or (t.shape == y.shape and t.stride() == y.stride()) for t in (spread, total)
    )
    learned = isinstance(bound, Tensor) and bound.requires_grad
    if dense and not learned and cpu.suits(y, spread, factor, total):
        noisy = variance > 0 or spread is not None
        key = int(torch.randint(0, 2**62, ())) if noisy else 0
        scale, unit = reference.steps(bound, half_steps)
        return cpu.read_out(
            y, spread, variance, float(scale), half_steps, (factor * unit).contiguous(), axis, total, key
        )
    return reference.read_out(y, spread, variance, bound, half_steps, factor, axis, total)
