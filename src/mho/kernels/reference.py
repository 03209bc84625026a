"""The passes in plain torch: the specification that faster versions are tested against."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


class Drop(NamedTuple):
    """What a column output loses before it is converted: s c(a) p, with c(a) = a (a (0.05 a - 0.2) + 0.5).

    Attributes:
        a: Mean current of each output, shape of the outputs.
        placed: p, shape of the outputs.
        scale: s.
    """

    a: Tensor
    placed: Tensor
    scale: float

    def __call__(self) -> Tensor:
        """The loss."""
        return self.scale * (self.a * (self.a * (0.05 * self.a - 0.2) + 0.5)) * self.placed


class Kept(NamedTuple):
    """What a read-out leaves for the way back.

    Attributes:
        mask: Where the outputs lay inside the converter's range; None where all of them did.
        codes: The converter's codes, int8, or None.
        layout: How the two are ordered; its meaning belongs to the kernels that made them.
    """

    mask: Tensor | None
    codes: Tensor | None
    layout: object = None


def quantise(x: Tensor, reach: Tensor | float, half_steps: float | None, axis: int = -1) -> Tensor:
    """A symmetric uniform converter: q = clip(round(h x / r), -h, h) / h.

    Args:
        x: Any shape.
        reach: r > 0, the largest magnitude that is converted; broadcast against `x`, in the unit of `x`.
        half_steps: h, the largest code; None: q = x / r, without rounding or clipping.
        axis: Axis of the channels, counted from the end; fast kernels may lay their result out accordingly.

    Returns:
        Values in [-1, 1]. The gradient passes straight through inside the range and is zero outside, so that
        r · q has the gradient of LSQ (Esser et al. 2020, eq. 3) with respect to r.
    """
    if half_steps is None:
        return x / reach
    scaled = _codes(x, reach, half_steps)
    rounding = _rounding(scaled)
    if rounding is not None:
        return rounding.apply(scaled, half_steps)[0] * (1 / half_steps)
    return _clip_(scaled.round_(), half_steps).mul_(1 / half_steps)


def quantise_vectors(x: Tensor, half_steps: float | None, smallest: float) -> tuple[Tensor, Tensor]:
    """`quantise` of vectors along the last axis, each in a range of its own.

    Args:
        x: (..., inputs).
        half_steps: Largest code, or None.
        smallest: Range of a vector that has no larger magnitude.

    Returns:
        The values, and the ranges, (..., 1).
    """
    reach = x.abs().amax(-1, keepdim=True).clamp(min=max(smallest, torch.finfo(x.dtype).tiny))
    return quantise(x, reach, half_steps), reach


def quantise_back(g: Tensor, x: Tensor, reach: Tensor | float, half_steps: float | None, axis: int = -1) -> Tensor:
    """The gradient with respect to x of `quantise`, from the one with respect to q."""
    if half_steps is None:
        return g / reach
    inside = _codes(x, reach, half_steps).abs() <= half_steps
    slope = 1 / reach if x.dtype == torch.float16 else (1 / half_steps) * (half_steps / reach)
    return torch.where(inside, g * slope, 0.0)


def _codes(x: Tensor, reach: Tensor | float, half_steps: float) -> Tensor:
    """h x / r before rounding; h / r is more than half precision holds where the range is small."""
    return x / reach * half_steps if x.dtype == torch.float16 else x * (half_steps / reach)


def _clip_(codes: Tensor, half_steps: float) -> Tensor:
    """Clamping after rounding also holds the half codes of a converter with an odd number of steps."""
    if not torch.compiler.is_compiling() and torch._C._functorch.is_functorch_wrapped_tensor(codes):
        return codes.clamp(-half_steps, half_steps)  # vmap knows no clamp_
    return codes.clamp_(-half_steps, half_steps)


def _rounding(x: Tensor) -> type[_ClipRound] | None:
    """What rounds `x` where gradients must pass, backwards or forwards (`torch.func.jvp`); None where nothing is asked."""
    if torch.compiler.is_compiling():
        return _ClipRound if torch.is_grad_enabled() and x.requires_grad else None
    if torch._C._functorch.is_gradtrackingtensor(x) or torch.autograd.forward_ad._current_level >= 0:
        return _ClipRoundBothWays
    return _ClipRound if torch.is_grad_enabled() and x.requires_grad else None


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


class _ClipRoundBothWays(_ClipRound):
    """Of its own, for torch.compile takes no function that has a `jvp`."""

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        _ClipRound.setup_context(ctx, inputs, output)
        ctx.save_for_forward(output[1])

    @staticmethod
    def jvp(ctx: FunctionCtx, tangent: Tensor, _: None) -> tuple[Tensor, None]:  # type: ignore[override]
        return tangent * ctx.saved_tensors[0], None  # type: ignore[attr-defined]


def read_out(
    y: Tensor, factor: Tensor, axis: int = -1, bound: Tensor | float = 1.0, half_steps: float | None = None,
    variance: float = 0.0, spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None,
    total: Tensor | None = None, planar: bool = False,
) -> Tensor:  # fmt: skip
    """Noise, conversion, digital factor, sum and shift: total + f (b/h) clip(round(h/b (y - d + σ ξ)), -h, h) + a.

    Args:
        y: Column outputs.
        factor: f of each column, (columns,).
        axis: Axis of the columns, counted from the end.
        bound: b > 0, the largest output that is converted.
        half_steps: h, the largest code; None: no rounding, no clipping.
        variance: Part of σ² that all outputs share.
        spread: Part of σ² of each output, shape of `y`, or None.
        drop: d, or None.
        shift: a of each column, (columns,), or None.
        total: What to add to, or None.
        planar: The result is contiguous; otherwise it lies as `y` does.
    """
    y = _noisy(y, variance, spread, drop)
    scale, unit = steps(bound, half_steps)
    if half_steps is not None:
        scaled = y * scale
        rounding = _rounding(scaled)
        if rounding is not None:
            y = rounding.apply(scaled, half_steps)[0]
        else:
            y = _clip_(scaled.round_(), half_steps)
    part = y * per_column(factor * unit, axis)
    part = part if total is None else total + part
    part = part if shift is None else part + per_column(shift, axis)
    return part.contiguous() if planar else part


def read_out_kept(
    y: Tensor, factor: Tensor, axis: int = -1, bound: Tensor | float = 1.0, half_steps: float | None = None,
    variance: float = 0.0, spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None,
    total: Tensor | None = None, planar: bool = False, codes: bool = False,
) -> tuple[Tensor, Kept]:  # fmt: skip
    """`read_out` outside of autograd, with what `read_out_back` needs.

    Args:
        y, factor, axis, bound, half_steps, variance, spread, drop, shift, total, planar: See `read_out`.
        codes: Keep the codes, too, for `decode`; half_steps must be whole and at most 127.
    """
    y = _noisy(y, variance, spread, drop)
    scale, unit = steps(bound, half_steps)
    mask = kept = None
    if half_steps is not None:
        scaled = y * scale
        mask = scaled.abs() <= half_steps
        mask = None if mask.device.type == "cpu" and bool(mask.all()) else mask
        y = _clip_(scaled.round_(), half_steps)
        kept = (y.contiguous() if planar else y).to(torch.int8) if codes else None
    part = y * per_column(factor * unit, axis)
    part = part if total is None else total + part
    part = part if shift is None else part + per_column(shift, axis)
    return part.contiguous() if planar else part, Kept(mask, kept, axis)


def read_out_back(g: Tensor, factor: Tensor, kept: Kept) -> Tensor:
    """The gradient with respect to y, from the one with respect to the result."""
    assert isinstance(kept.layout, int)
    g = g * per_column(factor, kept.layout)
    return g if kept.mask is None else g * kept.mask


def decode(kept: Kept, factor: Tensor, shift: Tensor) -> Tensor:
    """What a single read-out gave, from the codes it kept; `factor` is f b/h."""
    assert kept.codes is not None and isinstance(kept.layout, int)
    return kept.codes * per_column(factor, kept.layout) + per_column(shift, kept.layout)


def steps(bound: Tensor | float, half_steps: float | None) -> tuple[Tensor | float, Tensor | float]:
    """Codes per unit, and units per code."""
    return (1.0, 1.0) if half_steps is None else (half_steps / bound, bound / half_steps)


def per_column(values: Tensor, axis: int) -> Tensor:
    """(columns,) values, shaped to broadcast against a tensor with the columns on that axis."""
    return values.reshape(-1, *(1,) * (-1 - axis))


def add_noise(y: Tensor, sigma: Tensor | float) -> Tensor:
    """y + σ ξ with independent standard normal ξ from torch's default generator; `sigma` broadcasts against `y`."""
    return y + sigma * _normal_like(y)


def _noisy(y: Tensor, variance: float, spread: Tensor | None, drop: Drop | None) -> Tensor:
    if drop is not None:
        y = y - drop()
    if spread is not None:
        return add_noise(y, (spread.clamp(min=0) + variance).sqrt())
    return add_noise(y, variance**0.5) if variance else y


def _normal_like(y: Tensor) -> Tensor:
    """As `torch.randn_like`, which takes nine times longer for channels_last tensors (30 against 3.5 ns a number)."""
    plain = y.is_contiguous() or torch.compiler.is_compiling() or torch._C._functorch.is_batchedtensor(y)
    if not plain and y.dim() in (4, 5):
        memory = torch.channels_last if y.dim() == 4 else torch.channels_last_3d
        if y.is_contiguous(memory_format=memory):
            return torch.randn_like(y.movedim(1, -1)).movedim(-1, 1)
    return torch.randn_like(y)
