"""The passes in plain torch: the specification that faster versions are tested against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def quantise(x: Tensor, reach: Tensor | float, half_steps: float | None) -> Tensor:
    """A symmetric uniform converter: q = clip(round(h x / r), -h, h) / h.

    Args:
        x: Any shape.
        reach: r > 0, the largest magnitude that is converted; broadcast against `x`, in the unit of `x`.
        half_steps: h, the largest code; None: q = x / r, without rounding or clipping.

    Returns:
        Values in [-1, 1]. The gradient passes straight through inside the range and is zero outside, so that
        r · q has the gradient of LSQ (Esser et al. 2020, eq. 3) with respect to r.
    """
    if half_steps is None:
        return x / reach
    scaled = x * (half_steps / reach)
    if torch.is_grad_enabled() and scaled.requires_grad:
        return _ClipRound.apply(scaled, half_steps)[0] * (1 / half_steps)
    return _clip_(scaled.round_(), half_steps).mul_(1 / half_steps)


def _clip_(codes: Tensor, half_steps: float) -> Tensor:
    """Clamping after rounding also holds the half codes of a converter with an odd number of steps."""
    if not torch.compiler.is_compiling() and torch._C._functorch.is_functorch_wrapped_tensor(codes):
        return codes.clamp(-half_steps, half_steps)  # vmap knows no clamp_
    return codes.clamp_(-half_steps, half_steps)


class _ClipRound(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(scaled: Tensor, half_steps: float) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        inside = scaled.abs() <= half_steps
        return _clip_(scaled.round(), half_steps), inside

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad * ctx.saved_tensors[0], None  # type: ignore[attr-defined]


def read_out(
    y: Tensor, spread: Tensor | None, variance: float, bound: Tensor | float, half_steps: float | None, factor: Tensor,
    axis: int, total: Tensor | None,
) -> Tensor:  # fmt: skip
    """Noise, conversion, digital factor and sum: total + f · (b/h) clip(round(h/b (y + σ ξ)), -h, h).

    Args:
        y: Column outputs.
        spread: Part of σ² of each output, shape of `y`, or None.
        variance: Part of σ² that all outputs share.
        bound: b > 0, the largest output that is converted.
        half_steps: h, the largest code; None: no rounding, no clipping.
        factor: f of each column, (columns,).
        axis: Axis of the columns, counted from the end.
        total: What to add to, or None.
    """
    if spread is not None:
        y = add_noise(y, (spread.clamp(min=0) + variance).sqrt())
    elif variance:
        y = add_noise(y, variance**0.5)
    scale, unit = steps(bound, half_steps)
    if half_steps is not None:
        scaled = y * scale
        if torch.is_grad_enabled() and scaled.requires_grad:
            y = _ClipRound.apply(scaled, half_steps)[0]
        else:
            y = _clip_(scaled.round_(), half_steps)
    part = y * (factor * unit).reshape(-1, *(1,) * (-1 - axis))
    return part if total is None else total + part


def steps(bound: Tensor | float, half_steps: float | None) -> tuple[Tensor | float, Tensor | float]:
    """Codes per unit, and units per code."""
    return (1.0, 1.0) if half_steps is None else (half_steps / bound, bound / half_steps)


def add_noise(y: Tensor, sigma: Tensor | float) -> Tensor:
    """y + σ ξ with independent standard normal ξ from torch's default generator; `sigma` broadcasts against `y`."""
    return y + sigma * _normal_like(y)


def _normal_like(y: Tensor) -> Tensor:
    """As `torch.randn_like`, which takes nine times longer for channels_last tensors (30 against 3.5 ns a number)."""
    plain = y.is_contiguous() or torch.compiler.is_compiling() or torch._C._functorch.is_batchedtensor(y)
    if not plain and y.dim() in (4, 5):
        memory = torch.channels_last if y.dim() == 4 else torch.channels_last_3d
        if y.is_contiguous(memory_format=memory):
            return torch.randn_like(y.movedim(1, -1)).movedim(-1, 1)
    return torch.randn_like(y)
