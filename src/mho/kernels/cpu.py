"""The passes through the C++ kernels of `cpu.cpp`, for dense float32 tensors on the CPU.

Work is split over threads by chunks whose random numbers have addresses of their own, so results do not depend on the
number of threads. The threads are Python's (the calls release the interpreter's lock): a second OpenMP pool beside
torch's could hang or fight over the cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mho.kernels.cpu_library import library
from mho.kernels.reference import Drop, Kept, steps

_SMALL = 65_536
"""Fewest numbers that are worth a second thread."""
_PIECE = 8192
"""Numbers of a chunk, about."""
_ROWS, _PLANAR, _ROWS_TO_PLANAR = 0, 1, 2


class Form(NamedTuple):
    """How column outputs lie in memory, before and after the read-out; see `cpu.cpp`.

    Attributes:
        images: Number of images (1 for a linear layer, whose vectors are the pixels).
        columns: Channels of an image.
        pixels: Pixels of an image.
        length: Numbers of a chunk.
        layout: Of the outputs and of the result.
        shape: Of both.
        axis: Of the columns.
    """

    images: int
    columns: int
    pixels: int
    length: int
    layout: int
    shape: torch.Size
    axis: int

    @property
    def chunks(self) -> int:
        """Number of chunks in all."""
        return self.images * -(-self.columns * self.pixels // self.length)

    @property
    def geometry(self) -> tuple[int, int, int, int]:
        """As the kernels take it."""
        return self.columns, self.pixels, self.length, self.layout


def suits(*tensors: Tensor | None) -> bool:
    """True when the fast kernels can take these tensors: float32 on the CPU, nothing traced or differentiated."""
    if torch.compiler.is_compiling():
        return False
    for x in tensors:
        if x is None:
            continue
        if type(x) not in (Tensor, torch.nn.Parameter) or x.dtype != torch.float32 or x.device.type != "cpu":
            return False
        if (torch.is_grad_enabled() and x.requires_grad) or torch._C._functorch.is_functorch_wrapped_tensor(x):
            return False
    return library() is not None


def is_dense(x: Tensor) -> bool:
    """True for a tensor that fills its memory, planar or in rows."""
    return x.is_contiguous() or _in_rows(x, -x.dim() + 1)


def form(y: Tensor, axis: int, *, planar: bool) -> Form | None:
    """The form of a read-out of `y`, or None when `y` is not dense or would have to change from planar to rows."""
    shape, columns = y.shape, y.shape[axis]
    if y.numel() == 0 or not is_dense(y):
        return None
    pixels = math.prod(shape[axis + 1 :]) if axis < -1 else math.prod(shape[:-1])
    images = y.numel() // (columns * pixels)
    length = 32 * columns * max(1, _PIECE // (32 * columns))
    if axis == -1:
        return Form(1, columns, pixels, length, _ROWS, shape, axis) if y.is_contiguous() else None
    if _in_rows(y, axis):
        layout = _ROWS_TO_PLANAR if planar and not y.is_contiguous() else _ROWS
        return Form(images, columns, pixels, length, layout, shape, axis)
    return Form(images, columns, pixels, _PIECE, _PLANAR, shape, axis) if y.is_contiguous() else None


def _in_rows(x: Tensor, axis: int) -> bool:
    return axis < -1 and x.dim() >= -axis and x.movedim(axis, -1).is_contiguous()


def quantise(x: Tensor, reach: float, half_steps: float, axis: int = -1) -> Tensor | None:
    """As `reference.quantise`. Images for a convolution over two dimensions come out in rows. None: not for this x."""
    found, scale = library(), _scale(half_steps, reach)
    unit = 1 / half_steps
    if axis == -3 and x.dim() == 4 and _planar_images(x) and not _in_rows(x, axis):
        out = torch.empty_like(x, memory_format=torch.channels_last)
        n, channels, pixels = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
        image = x.stride(0)
        _split(
            lambda a, b: found.mho_quantise_rows(
                x.data_ptr(), image, out.data_ptr(), None, channels, pixels, scale, half_steps, unit, a, b
            ),
            n,
            x.numel(),
        )
        return out
    if not is_dense(x):
        return None
    out = torch.empty_like(x)
    _split_numbers(
        lambda a, b: found.mho_quantise(x.data_ptr(), out.data_ptr(), None, scale, half_steps, unit, a, b), x.numel()
    )
    return out


def quantise_back(g: Tensor, x: Tensor, reach: float, half_steps: float, axis: int = -1) -> Tensor | None:
    """As `reference.quantise_back`; None: not for these tensors. The result lies as `x` does."""
    found, scale = library(), np.float32(_scale(half_steps, reach))
    unit = float(np.float32(1 / half_steps) * scale)
    out = torch.empty_like(x)
    if out.stride() != x.stride():
        return None
    if g.stride() == x.stride() and is_dense(x):
        _split_numbers(
            lambda a, b: found.mho_quantise_back(
                g.data_ptr(), x.data_ptr(), out.data_ptr(), scale, half_steps, unit, a, b
            ),
            x.numel(),
        )
        return out
    if axis != -3 or x.dim() != 4 or not x.is_contiguous() or not _in_rows(g, axis):
        return None
    channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
    _split(
        lambda a, b: found.mho_quantise_rows_back(
            g.data_ptr(), x.data_ptr(), out.data_ptr(), x.stride(0), channels, pixels, scale, half_steps, unit, a, b
        ),
        x.shape[0],
        x.numel(),
    )
    return out


def read_out(
    y: Tensor, at: Form, factor: Tensor, *, bound: Tensor | float, half_steps: float | None, variance: float,
    spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None, total: Tensor | None = None,
    mask: Tensor | None = None, codes: Tensor | None = None,
) -> tuple[Tensor, int]:  # fmt: skip
    """As `reference.read_out`; may write into `y`, and adds to `total` in place.

    Args:
        y, factor, bound, half_steps, variance, spread, drop, shift, total: See there; one layout.
        at: The form of `y`.
        mask, codes: Filled when given, see `empty_mask` and `empty_codes`.

    Returns:
        The result, and how many outputs lay outside the range.
    """
    found = library()
    scale, unit = steps(bound, half_steps)
    factor = (factor * unit).contiguous()
    noisy = variance > 0 or spread is not None
    key = int(torch.randint(0, 2**62, ())) if noisy else 0
    if total is not None:
        out = total
    else:
        out = y if at.layout != _ROWS_TO_PLANAR else torch.empty(at.shape)
    constants = (variance, 0.0 if drop is None else drop.scale, float(scale), half_steps or 0.0)
    inputs = [_pointer(t) for t in (spread, *(drop[:2] if drop is not None else (None, None)))]
    outside = _split(
        lambda a, b: found.mho_read_out(
            y.data_ptr(), *inputs, out.data_ptr(), *at.geometry, *constants, factor.data_ptr(), _pointer(shift),
            total is not None, _pointer(codes), _pointer(mask), key, a, b,
        ),
        at.chunks,
        y.numel(),
    )  # fmt: skip
    return out, sum(outside)


def empty_mask(at: Form) -> Tensor:
    """Room for one bit an output."""
    return torch.empty(at.chunks * at.length // 16, dtype=torch.int16)


def empty_codes(at: Form) -> Tensor:
    """Room for one code an output."""
    return torch.empty(at.chunks * at.length, dtype=torch.int8)


def read_out_back(g: Tensor, factor: Tensor, kept: Kept) -> Tensor | None:
    """As `reference.read_out_back`; None: not for a gradient that lies like this. `factor` contiguous."""
    found, at = library(), kept.layout
    assert isinstance(at, Form)
    lies_as_result = g.is_contiguous() if at.layout != _ROWS or at.axis == -1 else _in_rows(g, at.axis)
    if not lies_as_result:
        return None
    out = torch.empty_like(g, memory_format=torch.channels_last) if at.layout == _ROWS_TO_PLANAR else torch.empty_like(g)
    _split(
        lambda a, b: found.mho_read_out_back(
            g.data_ptr(), out.data_ptr(), *at.geometry, factor.data_ptr(), _pointer(kept.mask), a, b
        ),
        at.chunks,
        g.numel(),
    )
    return out


def decode(kept: Kept, factor: Tensor, shift: Tensor) -> Tensor:
    """As `reference.decode`."""
    found, at = library(), kept.layout
    assert isinstance(at, Form) and kept.codes is not None
    rows = at.layout == _ROWS and at.axis == -3
    out = torch.empty(at.shape, memory_format=torch.channels_last if rows else torch.contiguous_format)
    _split(
        lambda a, b: found.mho_decode(
            kept.codes.data_ptr(), out.data_ptr(), *at.geometry, factor.data_ptr(), shift.data_ptr(), a, b
        ),
        at.chunks,
        out.numel(),
    )
    return out


def normals(n: int, key: int) -> Tensor:
    """`n` standard normal numbers of an address."""
    found = library()
    out = torch.empty(n)
    _split(lambda a, b: found.mho_normals(out.data_ptr(), n, key, a, b), -(-n // found.mho_chunk()), n)
    return out


def _scale(half_steps: float, reach: float) -> float:
    """h / r, rounded to float32 where torch rounds it, so that results agree bit for bit."""
    return float(np.float32(half_steps) / np.float32(reach))


def _planar_images(x: Tensor) -> bool:
    """True when every image of (n, channels, height, width) is contiguous, wherever it begins."""
    _, channel, row, pixel = x.stride()
    return pixel == 1 and row == x.shape[3] and channel == x.shape[2] * row


def _pointer(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def _split_numbers(work: Callable[[int, int], Any], n: int) -> None:
    """Call `work` on ranges of n numbers."""
    chunks = -(-n // _PIECE)
    _split(lambda a, b: work(a * _PIECE, min(b * _PIECE, n)), chunks, n)


def _split(work: Callable[[int, int], Any], chunks: int, n: int) -> list[Any]:
    """Call `work` on ranges of chunks, on as many threads as torch has when n numbers are worth it."""
    threads = min(torch.get_num_threads(), chunks) if n >= _SMALL else 1
    if threads <= 1:
        return [work(0, chunks)]
    edges = [chunks * i // threads for i in range(threads + 1)]
    jobs = [_pool(threads - 1).submit(work, a, b) for a, b in pairwise(edges[1:])]
    first = work(edges[0], edges[1])
    return [first, *(job.result() for job in jobs)]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="mho-kernels")
