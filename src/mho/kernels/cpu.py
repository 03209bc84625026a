"""The passes through the C++ kernels of `cpu.cpp`, for dense float32 tensors on the CPU.

Work is split over threads by chunks whose random numbers have addresses of their own, so results do not depend on the
number of threads. The threads are Python's (the calls release the interpreter's lock): a second OpenMP pool beside
torch's could hang or fight over the cores.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mho.kernels.cpu_library import library
from mho.kernels.reference import Drop, Kept

_SMALL = 65_536
"""Fewest numbers that are worth a second thread."""
_PIECE = 2048
"""Numbers that are worked off at once, about; `_PIECES` of them make a chunk."""
_PIECES = 4
_MOST_KEPT = 16_000_000
"""Largest number of inputs that a thread keeps memory for (64 MB)."""
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
        chunks: Number of chunks in all.
    """

    images: int
    columns: int
    pixels: int
    length: int
    layout: int
    shape: torch.Size
    axis: int
    chunks: int


def suits(*given: Tensor | float | None) -> bool:
    """True when the fast kernels can take the tensors among these: float32 on the CPU, nothing traced or differentiated."""
    if torch.compiler.is_compiling():
        return False
    for x in given:
        if not isinstance(x, Tensor):
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
    length = _PIECES * 32 * columns * max(1, _PIECE // (32 * columns))
    layout = _ROWS
    if axis == -1:
        images = 1
        if not y.is_contiguous():
            return None
    elif _in_rows(y, axis):
        layout = _ROWS_TO_PLANAR if planar and not y.is_contiguous() else _ROWS
    elif y.is_contiguous():
        layout, length = _PLANAR, _PIECES * _PIECE
    else:
        return None
    chunks = images * -(-columns * pixels // length)
    return Form(images, columns, pixels, length, layout, shape, axis, chunks)


def fit(y: Tensor, at: Form, target: Tensor | None, spread: Tensor | None, drop: Drop | None) -> bool:
    """True when all tensors lie as `y` does, and the result can be written to `target`."""
    alike = (spread,) if drop is None else (spread, drop.a, drop.placed)
    for t in alike:
        if t is not None and (t.shape != y.shape or t.stride() != y.stride()):
            return False
    if target is None:
        return True
    return target.shape == y.shape and (
        target.is_contiguous() if at.layout == _ROWS_TO_PLANAR else target.stride() == y.stride()
    )


def _in_rows(x: Tensor, axis: int) -> bool:
    return axis < -1 and x.dim() >= -axis and x.movedim(axis, -1).is_contiguous()


def quantise(x: Tensor, scale: float, half_steps: float, axis: int = -1, *, passing: bool = False) -> Tensor | None:
    """As `reference.quantise`, with scale = h / r; images of 2-d convolutions come out in rows. None: not for this x."""
    found, n = library(), x.numel()
    assert found is not None
    constants, name = (scale, half_steps, 1 / half_steps), "inputs" if passing else None
    if is_dense(x) and not (axis == -3 and x.dim() == 4 and not _in_rows(x, axis)):
        out = _room(x.shape, x.stride(), name)
        _split(found.mho_quantise, (x.data_ptr(), out.data_ptr(), *constants), n, n)
    elif axis == -3 and x.dim() == 4 and _planar_images(x):
        out, pixels = _room(x.shape, _rows(x.shape), name), x.shape[2] * x.shape[3]
        given = (x.data_ptr(), x.stride(0), out.data_ptr(), x.shape[1], pixels, *constants)
        _split(found.mho_quantise_rows, given, len(x), n)
    elif (stride := _row_stride(x, axis)) is not None:
        columns = x.shape[axis]
        out = _room(x.shape, _rows(x.shape) if axis == -3 else torch.empty(x.shape, device="meta").stride(), name)
        _split(found.mho_quantise_strided, (x.data_ptr(), stride, out.data_ptr(), columns, *constants), n // columns, n)
    else:
        return None
    return out


def quantise_back(g: Tensor, x: Tensor, scale: float, half_steps: float, axis: int = -1) -> Tensor | None:
    """As `reference.quantise_back`, with scale = h / r; lies as `x`, may be `g` itself. None: not for these tensors."""
    found, n = library(), x.numel()
    assert found is not None
    constants = (scale, half_steps, float(np.float32(1 / half_steps) * np.float32(scale)))
    if g.stride() == x.stride() and is_dense(x):
        _split(found.mho_quantise_back, (g.data_ptr(), x.data_ptr(), g.data_ptr(), *constants), n, n)
        return g
    if axis == -3 and x.dim() == 4 and x.is_contiguous() and _in_rows(g, axis):
        out, pixels = torch.empty_like(x), x.shape[2] * x.shape[3]
        given = (g.data_ptr(), x.data_ptr(), out.data_ptr(), x.stride(0), x.shape[1], pixels, *constants)
        _split(found.mho_quantise_rows_back, given, len(x), n)
        return out
    return None


def read_out(
    y: Tensor, at: Form, factor: Tensor, *, bound: Tensor | float, half_steps: float | None, variance: float,
    spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None, out: Tensor | None = None,
    add: bool = False, mask: Tensor | None = None, codes: Tensor | None = None,
) -> tuple[Tensor, int]:  # fmt: skip
    """As `reference.read_out`; may write into `y`.

    Args:
        y, factor, bound, half_steps, variance, spread, drop, shift: See there; one layout.
        at: The form of `y`.
        out: Where the result goes, laid out as it will be, or None.
        add: Add to what is there.
        mask, codes: Filled when given, see `empty_mask` and `empty_codes`.

    Returns:
        The result, and how many outputs lay outside the range.
    """
    found = library()
    assert found is not None
    scale, unit = (1.0, 1.0) if half_steps is None else (half_steps / bound, bound / half_steps)
    factor = (factor * unit).contiguous()
    noisy = variance > 0 or spread is not None
    key = int(torch.randint(0, 2**62, ())) if noisy else 0
    if out is None:
        out = y if at.layout != _ROWS_TO_PLANAR else torch.empty(at.shape)
    given = (
        y.data_ptr(), None if spread is None else spread.data_ptr(), None if drop is None else drop.a.data_ptr(),
        None if drop is None else drop.placed.data_ptr(), out.data_ptr(), at.columns, at.pixels, at.length, at.layout,
        variance, 0.0 if drop is None else drop.scale, float(scale), half_steps or 0.0, factor.data_ptr(),
        None if shift is None else shift.data_ptr(), add, None if codes is None else codes.data_ptr(),
        None if mask is None else mask.data_ptr(), key,
    )  # fmt: skip
    return out, sum(_split(found.mho_read_out, given, at.chunks, y.numel()))


def empty_mask(at: Form) -> Tensor:
    """Room for one bit an output."""
    return torch.empty(at.chunks * at.length // 16, dtype=torch.int16)


def empty_codes(at: Form) -> Tensor:
    """Room for one code an output."""
    return torch.empty(at.chunks * at.length, dtype=torch.int8)


def read_out_back(g: Tensor, factor: Tensor, kept: Kept) -> Tensor | None:
    """As `reference.read_out_back`, gone at the thread's next call. None: not for a gradient that lies like this."""
    found, at = library(), kept.layout
    assert found is not None
    assert isinstance(at, Form)
    lies_as_result = g.is_contiguous() if at.layout != _ROWS or at.axis == -1 else _in_rows(g, at.axis)
    if not lies_as_result:
        return None
    out = _room(g.shape, _rows(g.shape) if at.layout == _ROWS_TO_PLANAR else g.stride(), "outputs")
    given = (
        g.data_ptr(), out.data_ptr(), at.columns, at.pixels, at.length, at.layout, factor.data_ptr(),
        None if kept.mask is None else kept.mask.data_ptr(),
    )  # fmt: skip
    _split(found.mho_read_out_back, given, at.chunks, g.numel())
    return out


def decode(kept: Kept, factor: Tensor, shift: Tensor) -> Tensor:
    """As `reference.decode`."""
    found, at = library(), kept.layout
    assert found is not None
    codes = kept.codes
    assert isinstance(at, Form) and codes is not None
    rows = at.layout == _ROWS and at.axis == -3
    out = torch.empty(at.shape, memory_format=torch.channels_last if rows else torch.contiguous_format)
    given = (
        codes.data_ptr(), out.data_ptr(), at.columns, at.pixels, at.length, at.layout, factor.data_ptr(), shift.data_ptr()
    )  # fmt: skip
    _split(found.mho_decode, given, at.chunks, out.numel())
    return out


def normals(n: int, key: int) -> Tensor:
    """`n` standard normal numbers of an address."""
    found = library()
    assert found is not None
    out = torch.empty(n)
    _split(found.mho_normals, (out.data_ptr(), n, key), -(-n // found.mho_chunk()), n)
    return out


def _rows(shape: torch.Size) -> tuple[int, ...]:
    """Strides of images in rows."""
    _, channels, height, width = shape
    return channels * height * width, 1, width * channels, channels


_kept = threading.local()


def _room(shape: torch.Size, stride: Sequence[int], name: str | None) -> Tensor:
    """An empty tensor; with a name in memory that the thread keeps for it, which is in use already and near."""
    n = math.prod(shape)
    if name is None or n > _MOST_KEPT:
        return torch.empty_strided(shape, stride)
    buffer: Tensor | None = getattr(_kept, name, None)
    if buffer is None or len(buffer) < n:
        with torch.inference_mode(False):
            buffer = torch.empty(n)
        setattr(_kept, name, buffer)
    return buffer.as_strided(shape, stride)


def _planar_images(x: Tensor) -> bool:
    """True when every image of (n, channels, height, width) is contiguous, wherever it begins."""
    _, channel, row, pixel = x.stride()
    return pixel == 1 and row == x.shape[3] and channel == x.shape[2] * row


def _row_stride(x: Tensor, axis: int) -> int | None:
    """Distance of the rows of a slice of columns (channels) of a dense tensor in rows; None for anything else."""
    if not (axis == -1 and x.dim() > 1) and not (axis == -3 and x.dim() == 4):
        return None
    rows = x.movedim(axis, -1)
    stride = rows.stride(-2)
    if rows.stride(-1) != 1:
        return None
    for i in range(rows.dim() - 2, 0, -1):
        if rows.stride(i - 1) != rows.stride(i) * rows.shape[i]:
            return None
    return stride


def _split(function: Callable[..., Any], given: tuple[Any, ...], units: int, n: int) -> list[Any]:
    """Call a kernel on ranges of units, on as many threads as torch has when n numbers are worth it.

    Args:
        function: Called with `given`, and the first and last unit (exclusive) of a range.
        given: Its other arguments.
        units: Numbers, images, rows or chunks, as the kernel counts; numbers are cut at whole chunks.
        n: Numbers in all.
    """
    threads = min(torch.get_num_threads(), units) if n >= _SMALL else 1
    if threads <= 1:
        return [function(*given, 0, units)]
    step = _PIECES * _PIECE if units == n else 1
    whole = -(-units // step)
    edges = [min(units, step * (whole * i // threads)) for i in range(threads)] + [units]
    jobs = [_pool(threads - 1).submit(function, *given, a, b) for a, b in pairwise(edges[1:])]
    first = function(*given, edges[0], edges[1])
    return [first, *(job.result() for job in jobs)]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="mho-kernels")
