"""Which kernel runs: the C++ one where it fits the tensors, the reference elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor

from mho.kernels import cpu, reference
from mho.kernels.cpu_library import library
from mho.kernels.reference import Drop, Kept


def active() -> str:
    """The kernels that dense float32 tensors on the CPU meet, in words."""
    return "reference (plain torch)" if library() is None else "fast CPU (compiled C++), reference elsewhere"


def quantise(x: Tensor, reach: Tensor | float, half_steps: float | None, axis: int = -1) -> Tensor:
    """See `reference.quantise`."""
    if half_steps is not None and _scalar(reach) and cpu.suits(x, _tensor(reach)):
        found = cpu.quantise(x, float(reach), half_steps, axis)
        if found is not None:
            return found
    return reference.quantise(x, reach, half_steps, axis)


def quantise_back(g: Tensor, x: Tensor, reach: Tensor | float, half_steps: float | None, axis: int = -1) -> Tensor:
    """See `reference.quantise_back`."""
    if half_steps is not None and _scalar(reach) and cpu.suits(g, x, _tensor(reach)):
        found = cpu.quantise_back(g, x, float(reach), half_steps, axis)
        if found is not None:
            return found
    return reference.quantise_back(g, x, reach, half_steps, axis)


def read_out(
    y: Tensor, factor: Tensor, *, axis: int = -1, bound: Tensor | float = 1.0, half_steps: float | None = None,
    variance: float = 0.0, spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None,
    total: Tensor | None = None, planar: bool = False,
) -> Tensor:  # fmt: skip
    """See `reference.read_out`. A fast kernel may reuse `y`, or add to `total` in place: neither may be used again."""
    others = (spread, *(drop[:2] if drop is not None else ()))
    if cpu.suits(y, factor, shift, total, _tensor(bound), *others):
        at = cpu.form(y, axis, planar=planar)
        aligned = all(t is None or (t.shape == y.shape and t.stride() == y.stride()) for t in others)
        if at is not None and aligned and _adds(total, y, at):
            return cpu.read_out(
                y, at, factor, bound=bound, half_steps=half_steps, variance=variance, spread=spread, drop=drop,
                shift=shift, total=total,
            )[0]  # fmt: skip
    return reference.read_out(
        y, factor, axis=axis, bound=bound, half_steps=half_steps, variance=variance, spread=spread, drop=drop,
        shift=shift, total=total, planar=planar,
    )  # fmt: skip


def read_out_kept(
    y: Tensor, factor: Tensor, *, axis: int = -1, bound: Tensor | float = 1.0, half_steps: float | None = None,
    variance: float = 0.0, shift: Tensor | None = None, total: Tensor | None = None, planar: bool = False,
    codes: bool = False,
) -> tuple[Tensor, Kept]:  # fmt: skip
    """See `reference.read_out_kept`. A fast kernel may reuse `y` and `total`."""
    at = cpu.form(y, axis, planar=planar) if cpu.suits(y, factor, shift, total, _tensor(bound)) else None
    if at is None or not _adds(total, y, at):
        return reference.read_out_kept(
            y, factor, axis=axis, bound=bound, half_steps=half_steps, variance=variance, shift=shift, total=total,
            planar=planar, codes=codes,
        )  # fmt: skip
    mask = None if half_steps is None else cpu.empty_mask(at)
    room = cpu.empty_codes(at) if codes else None
    out, outside = cpu.read_out(
        y, at, factor, bound=bound, half_steps=half_steps, variance=variance, shift=shift, total=total,
        mask=mask, codes=room,
    )  # fmt: skip
    return out, Kept(mask if outside else None, room, at)


def read_out_back(g: Tensor, factor: Tensor, kept: Kept) -> Tensor:
    """See `reference.read_out_back`."""
    if not isinstance(kept.layout, cpu.Form):
        return reference.read_out_back(g, factor, kept)
    found = cpu.read_out_back(g, factor.contiguous(), kept)
    if found is None:  # bring the gradient into the layout of the result
        rows = kept.layout.axis == -3 and kept.layout.layout == 0
        g = g.contiguous(memory_format=torch.channels_last if rows else torch.contiguous_format)
        found = cpu.read_out_back(g, factor.contiguous(), kept)
    assert found is not None
    return found


def decode(kept: Kept, factor: Tensor, shift: Tensor) -> Tensor:
    """See `reference.decode`."""
    if isinstance(kept.layout, cpu.Form):
        return cpu.decode(kept, factor.contiguous(), shift.contiguous())
    return reference.decode(kept, factor, shift)


def _tensor(value: Tensor | float) -> Tensor | None:
    return value if isinstance(value, Tensor) else None


def _scalar(value: Tensor | float) -> bool:
    return not isinstance(value, Tensor) or value.numel() == 1


def _adds(total: Tensor | None, y: Tensor, at: cpu.Form) -> bool:
    """True when the kernels can add to `total`: it lies as the result will."""
    if total is None:
        return True
    if total.shape != y.shape:
        return False
    return total.is_contiguous() if at.layout == 2 else total.stride() == y.stride()
