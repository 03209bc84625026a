"""Which kernel runs: the C++ one where it fits the tensors, the reference elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mho.kernels import cpu, cpu_library, gpu, pool, reference
from mho.kernels.reference import Drop, Kept


def active() -> str:
    """The kernels that dense float32 tensors on the CPU meet, in words, with the reason where they are not the fast ones."""
    alone = (
        "" if cpu_library.library() is None or pool.functions()[2] else ", on one thread: torch has no OpenMP runtime"
    )
    here = cpu_library.state() + alone
    return f"{here} on the CPU, {gpu.active()} on CUDA devices" if torch.cuda.is_available() else here


def quantise(
    x: Tensor, reach: Tensor | float, half_steps: float | None, axis: int = -1, *, passing: bool = False
) -> Tensor:
    """See `reference.quantise`.

    With `passing` the result lies in memory that the thread keeps, and is overwritten by its next call with `passing`.
    """
    if half_steps is None:
        return reference.quantise(x, reach, half_steps, axis)
    range_ = reach if isinstance(reach, Tensor) else None
    if range_ is None or range_.numel() == 1:
        if cpu.suits(x, range_):
            found = cpu.quantise(x, reach, half_steps, axis, passing=passing)
            if found is not None:
                return found
        elif gpu.suits(x, range_):
            return gpu.quantise(x, reach, half_steps)
    return reference.quantise(x, reach, half_steps, axis)


def quantise_vectors(
    x: Tensor, half_steps: float | None, smallest: float, *, passing: bool = False
) -> tuple[Tensor, Tensor]:
    """See `reference.quantise_vectors`; `passing` as for `quantise`, the ranges stay."""
    found = cpu.quantise_vectors(x, half_steps, smallest, passing=passing) if cpu.suits(x) else None
    return reference.quantise_vectors(x, half_steps, smallest) if found is None else found


def quantise_back(g: Tensor, x: Tensor, reach: Tensor | float, half_steps: float | None, axis: int = -1) -> Tensor:
    """See `reference.quantise_back`. A fast kernel may write into `g`."""
    if half_steps is None:
        return reference.quantise_back(g, x, reach, half_steps, axis)
    range_ = reach if isinstance(reach, Tensor) else None
    if range_ is None or range_.numel() == 1:
        if cpu.suits(g, x, range_):
            found = cpu.quantise_back(g, x, reach, half_steps, axis)
            if found is not None:
                return found
        elif gpu.suits(g, x, range_):
            return gpu.quantise_back(g, x, reach, half_steps)
    return reference.quantise_back(g, x, reach, half_steps, axis)


def read_out(
    y: Tensor, factor: Tensor, axis: int = -1, bound: Tensor | float = 1.0, half_steps: float | None = None,
    variance: float = 0.0, spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None,
    total: Tensor | None = None, planar: bool = False, out: Tensor | None = None, reach: Tensor | float = 1.0,
    each: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """See `reference.read_out`, with the factor times `reach`, which is one number, and times `each`.

    `each` is one number a vector and group of columns: shape of `y` with one column a group.
    A fast kernel may reuse `y`, or add to `total` in place: neither may be used again. The result goes to `out` where that is
    given and nothing is added to a total.
    """
    target = out if total is None else total
    if cpu.suits(y, factor, shift, target, spread, bound, reach, each, *(drop or ())):
        at = cpu.form(y, axis, planar=planar)
        if at is not None and cpu.fit(y, at, target, spread, drop, each):
            return cpu.read_out(
                y, at, factor, reach=reach, bound=bound, half_steps=half_steps, variance=variance, spread=spread,
                drop=drop, shift=shift, out=target, add=total is not None, each=each,
            )[0]  # fmt: skip
    factor = factor * reach
    kernels: Any = gpu if gpu.suits(y, factor, shift, total, spread, bound, each, *(drop or ())) else reference
    if each is not None:
        part: Tensor = kernels.read_out(y, factor, axis, bound, half_steps, variance, spread, drop)
        part = part * per_group(each, y.shape[axis], axis)
        part = part if total is None else total + part
        part = part if shift is None else part + reference.per_column(shift, axis)
        part = part.contiguous() if planar else part
        return part if out is None or total is not None else out.copy_(part)
    found: Tensor = kernels.read_out(y, factor, axis, bound, half_steps, variance, spread, drop, shift, total, planar)
    return found if out is None or total is not None else out.copy_(found)


def read_out_vectors(
    y: Tensor, factor: Tensor, each: Tensor, top: float, axis: int = -1, bound: float = 1.0,
    half_steps: float | None = None, variance: float = 0.0, spread: Tensor | None = None, drop: Drop | None = None,
    shift: Tensor | None = None, *, keep: bool = False,
) -> tuple[Tensor, Tensor | None, Kept | None]:  # fmt: skip
    """`read_out` with `each`, and which vectors clip.

    Args:
        y, factor, axis, bound, half_steps, variance, spread, drop, shift, each: See there.
        top: Code from which on a column clips, or where nothing is converted the output.
        keep: Keep what `read_out_back` needs, as `read_out_kept` does.

    Returns:
        The result; a bool tensor, shape of `each`, or None where no vector clips; what is kept, or None.
    """
    if cpu.suits(y, factor, shift, spread, each, *(drop or ())):
        at = cpu.form(y, axis, planar=False)
        if at is not None and cpu.fit(y, at, None, spread, drop, each):
            clips = torch.zeros_like(each, dtype=torch.uint8)
            mask = cpu.empty_mask(at) if keep and half_steps is not None else None
            found, count = cpu.read_out(
                y, at, factor, reach=1.0, bound=bound, half_steps=half_steps, variance=variance, spread=spread, drop=drop,
                shift=shift, each=each, clips=clips, top=top, mask=mask,
            )  # fmt: skip
            return found, clips.view(torch.bool) if count else None, Kept(mask, None, at) if keep else None
    part, kept = reference.read_out_kept(y, torch.ones_like(factor), axis, bound, half_steps, variance, spread, drop)
    high = part.abs() >= (top if half_steps is None else top * bound / half_steps)
    clipped = high.unflatten(axis, (each.shape[axis], -1)).any(axis)
    part = part * reference.per_column(factor, axis) * per_group(each, y.shape[axis], axis)
    return part if shift is None else part + reference.per_column(shift, axis), clipped, kept


def per_group(each: Tensor, columns: int, axis: int) -> Tensor:
    """One number a group of columns, to broadcast against one a column."""
    groups = each.shape[axis]
    return each if groups in (1, columns) else each.repeat_interleave(columns // groups, axis)


def read_out_kept(
    y: Tensor, factor: Tensor, axis: int = -1, bound: Tensor | float = 1.0, half_steps: float | None = None,
    variance: float = 0.0, spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None,
    total: Tensor | None = None, planar: bool = False, codes: bool = False, reach: Tensor | float = 1.0,
    each: Tensor | None = None,
) -> tuple[Tensor, Kept]:  # fmt: skip
    """See `reference.read_out_kept`, with the factor times `reach`, and times `each`, see `read_out`.

    A fast kernel may reuse `y` and `total`. With `each`, what `read_out_back` gives lacks it.
    """
    given = (axis, bound, half_steps, variance, spread, drop, shift, total, planar, codes)
    suited = cpu.suits(y, factor, shift, total, spread, bound, reach, each, *(drop or ()))
    at = cpu.form(y, axis, planar=planar) if suited else None
    if at is None or not cpu.fit(y, at, total, spread, drop, each):
        factor = factor * reach
        if each is not None:
            part, kept = read_out_kept(
                y, factor, axis, bound, half_steps, variance, spread, drop, None, None, planar, codes
            )
            part = part * per_group(each, y.shape[axis], axis)
            part = part if total is None else total + part
            return part if shift is None else part + reference.per_column(shift, axis), kept
        suited = gpu.suits(y, factor, shift, total, spread, bound, *(drop or ()))
        kernels: Any = gpu if suited else reference
        found: tuple[Tensor, Kept] = kernels.read_out_kept(y, factor, *given)
        return found
    mask = None if half_steps is None else cpu.empty_mask(at)
    room = cpu.empty_codes(at) if codes else None
    out, outside = cpu.read_out(
        y, at, factor, reach=reach, bound=bound, half_steps=half_steps, variance=variance, spread=spread, drop=drop,
        shift=shift, out=total, add=total is not None, mask=mask, codes=room, each=each,
    )  # fmt: skip
    return out, Kept(mask if outside else None, room, at)


def read_out_back(g: Tensor, factor: Tensor, kept: Kept) -> Tensor:
    """See `reference.read_out_back`. The result may lie in memory that the thread's next call overwrites."""
    if isinstance(kept.layout, gpu.Form):
        return gpu.read_out_back(g, factor, kept)
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
    if isinstance(kept.layout, gpu.Form):
        return gpu.decode(kept, factor, shift)
    return reference.decode(kept, factor, shift)
