"""The passes through the C++ kernels of `cpp/kernels.cpp`, for dense float32 tensors on the CPU.

How tensors of a shape lie in memory is found once and remembered. Work is split over torch's own threads (`pool.py`) by
chunks whose random numbers have addresses of their own, so results do not depend on the number of threads.
"""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from mho.kernels.cpu_library import library
from mho.kernels.pool import lent
from mho.kernels.reference import Drop, Kept

_SMALL = 32_768
"""Fewest numbers that are worth a second thread."""
_PIECE = 2048
"""Numbers that are worked off at once, about; `_PIECES` of them make a chunk."""
_PIECES = 4
_MOST_KEPT = 16_000_000
"""Largest number of inputs that a thread keeps memory for (64 MB)."""
_MOST_SHAPES = 1024
"""Shapes of tensors that are remembered."""
_ROWS, _PLANAR, _ROWS_TO_PLANAR = 0, 1, 2
_DENSE, _STRIDED, _IMAGES = 0, 1, 2
_PLAIN = (Tensor, torch.nn.Parameter)

Shape = tuple[int, ...]


class Form(NamedTuple):
    """How column outputs lie in memory, before and after the read-out; see `cpp/kernels.cpp`.

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
    shape: Shape
    axis: int
    chunks: int


class Inputs(NamedTuple):
    """How inputs of a layer lie in memory; see `cpp/kernels.cpp`.

    Attributes:
        how: Densely, in rows with gaps, or as planar images.
        images: Number of images.
        columns: Channels of an image.
        pixels: Pixels of an image.
        stride: Distance of rows or images, in numbers.
        out: Strides of what they become.
    """

    how: int
    images: int
    columns: int
    pixels: int
    stride: int
    out: Shape


def suits(*given: Tensor | float | None) -> bool:
    """True when the fast kernels can take the tensors among these: float32 on the CPU, nothing traced or differentiated."""
    if torch.compiler.is_compiling():
        return False
    differentiates, wraps = torch.is_grad_enabled(), torch._C._functorch.maybe_current_level() is not None
    for x in given:
        if not isinstance(x, Tensor):
            continue
        if type(x) not in _PLAIN or x.dtype is not torch.float32 or not x.is_cpu:
            return False
        if (differentiates and x.requires_grad) or (wraps and torch._C._functorch.is_functorch_wrapped_tensor(x)):
            return False
    return library() is not None


def form(y: Tensor, axis: int, *, planar: bool) -> Form | None:
    """The form of a read-out of `y`, or None when `y` is not dense or would have to change from planar to rows."""
    return _form(tuple(y.shape), y.stride(), axis, planar)


@lru_cache(_MOST_SHAPES)
def _form(shape: Shape, stride: Shape, axis: int, planar: bool) -> Form | None:
    contiguous, in_rows = _contiguous(shape, stride), _in_rows(shape, stride, axis)
    if math.prod(shape) == 0 or not (contiguous or in_rows):
        return None
    columns = shape[axis]
    pixels = math.prod(shape[axis + 1 :] if axis < -1 else shape[:-1])
    images = math.prod(shape) // (columns * pixels)
    length = _PIECES * 32 * columns * max(1, _PIECE // (32 * columns))
    layout = _ROWS
    if axis < -1 and in_rows:
        layout = _ROWS_TO_PLANAR if planar and not contiguous else _ROWS
    elif axis < -1:
        layout, length = _PLANAR, _PIECES * _PIECE
    chunks = images * -(-columns * pixels // length)
    return Form(images, columns, pixels, length, layout, shape, axis, chunks)


def fit(
    y: Tensor, at: Form, target: Tensor | None, spread: Tensor | None, drop: Drop | None, each: Tensor | None = None
) -> bool:
    """True when all tensors lie as `y` does, `each` in rows, and the result can be written to `target`."""
    if each is not None and (
        at.layout == _PLANAR or not _contiguous(*_by_rows(tuple(each.shape), each.stride(), at.axis))
    ):
        return False
    alike = (spread,) if drop is None else (spread, drop.a, drop.placed)
    for t in alike:
        if t is not None and (t.shape != y.shape or t.stride() != y.stride()):
            return False
    if target is None:
        return True
    return target.shape == y.shape and (
        target.is_contiguous() if at.layout == _ROWS_TO_PLANAR else target.stride() == y.stride()
    )


def quantise(
    x: Tensor, reach: Tensor | float, half_steps: float, axis: int = -1, *, passing: bool = False
) -> Tensor | None:
    """As `reference.quantise`, for a reach of one number; images of 2-d convolutions come out in rows. None: not for this x."""
    shape = tuple(x.shape)
    lies = _inputs(shape, x.stride(), axis)
    if lies is None:
        return None
    out = room(shape, lies.out, "inputs" if passing else None)
    given = (x.data_ptr(), out.data_ptr(), *lies[:5])
    lent().mho_quantise(*given, *_converter(reach, half_steps), half_steps, threads(x))
    return out


def quantise_vectors(
    x: Tensor, half_steps: float | None, smallest: float, *, passing: bool = False
) -> tuple[Tensor, Tensor] | None:
    """As `reference.quantise_vectors`. None: not for this x."""
    shape = tuple(x.shape)
    distance = shape[-1] if x.is_contiguous() else row_stride(shape, x.stride(), -1)
    if distance is None or x.numel() == 0:
        return None
    out = room(shape, _dense_strides(shape), "inputs" if passing else None)
    ranges = torch.empty((*shape[:-1], 1), dtype=torch.float32, device="cpu")
    lent().mho_quantise_vectors(
        x.data_ptr(), out.data_ptr(), ranges.data_ptr(), shape[-1], ranges.numel(), distance, smallest, half_steps or 0.0,
        threads(x),
    )  # fmt: skip
    return out, ranges


def quantise_back(g: Tensor, x: Tensor, reach: Tensor | float, half_steps: float, axis: int = -1) -> Tensor | None:
    """As `reference.quantise_back`, for a reach of one number; lies as `x`, may be `g` itself. None: not for these tensors."""
    lies = _inputs(tuple(x.shape), x.stride(), axis)
    if g.stride() == x.stride() and is_dense(x):
        out, lies = g, Inputs(_DENSE, 1, 1, x.numel(), 0, x.stride())
    elif lies is not None and lies.how == _IMAGES and x.is_contiguous() and g.stride() == lies.out:
        out = torch.empty_like(x)
    else:
        return None
    given = (g.data_ptr(), x.data_ptr(), out.data_ptr(), *lies[:5])
    lent().mho_quantise_back(*given, *_converter(reach, half_steps), half_steps, threads(x))
    return out


@lru_cache(_MOST_SHAPES)
def _inputs(shape: Shape, stride: Shape, axis: int) -> Inputs | None:
    images = axis == -3 and len(shape) == 4
    if (_contiguous(shape, stride) and not images) or _in_rows(shape, stride, 1 - len(shape)):
        return Inputs(_DENSE, 1, 1, math.prod(shape), 0, stride)
    if images and planar_images(shape, stride):
        return Inputs(_IMAGES, shape[0], shape[1], shape[2] * shape[3], stride[0], row_strides(shape))
    distance = row_stride(shape, stride, axis)
    if distance is None:
        return None
    out = row_strides(shape) if images else tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    return Inputs(_STRIDED, 1, shape[axis], math.prod(shape) // max(shape[axis], 1), distance, out)


def read_out(
    y: Tensor, at: Form, gain: Tensor, *, reach: Tensor | float, bound: Tensor | float, half_steps: float | None,
    variance: float, spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None,
    out: Tensor | None = None, add: bool = False, mask: Tensor | None = None, codes: Tensor | None = None,
    each: Tensor | None = None, clips: Tensor | None = None, top: float = 0.0,
) -> tuple[Tensor, int]:  # fmt: skip
    """As `reference.read_out` with the factor gain · reach; may write into `y`.

    Args:
        y, bound, half_steps, variance, spread, drop, shift: See there; one layout.
        at: The form of `y`.
        gain: Of each column.
        reach: One number.
        out: Where the result goes, laid out as it will be, or None.
        add: Add to what is there.
        mask, codes: Filled when given, see `empty_mask` and `empty_codes`.
        each: Another factor, of every vector or its groups of columns, dense in rows, as `y` is.
        clips: uint8, as many; gets 1 where the code of a column is `top` or more.

    Returns:
        The result, and how many outputs lay outside the range.
    """
    gain = gain if isinstance(reach, Tensor) or reach == 1 else gain * reach
    gain = gain if gain.is_contiguous() else gain.contiguous()
    shift = shift if shift is None or shift.is_contiguous() else shift.contiguous()
    key = torch.randint(0, 2**62, (), device="cpu").item() if variance > 0 or spread is not None else 0
    if out is None:
        out = y if at.layout != _ROWS_TO_PLANAR else torch.empty(at.shape, dtype=torch.float32, device="cpu")
    place = (None, None) if drop is None else (drop.a.data_ptr(), drop.placed.data_ptr())
    range_, scale = (None, 1.0) if half_steps is None else _converter(bound, half_steps)
    unit = 1.0 if half_steps is None or isinstance(bound, Tensor) else bound / half_steps
    groups = 1 if each is None else each.numel() // (at.images * at.pixels)
    outside: int = lent().mho_read_out(
        y.data_ptr(), _where(spread), *place, out.data_ptr(), *at[:5], variance, 0.0 if drop is None else drop.scale,
        half_steps or 0.0, gain.data_ptr(), _where(reach), range_, scale, unit, _where(each), _where(clips), top, groups,
        _where(shift), add, _where(codes), _where(mask), key, threads(y),
    )  # fmt: skip
    return out, outside


def empty_mask(at: Form) -> Tensor:
    """Room for one bit an output."""
    return torch.empty(at.chunks * at.length // 16, dtype=torch.int16, device="cpu")


def empty_codes(at: Form) -> Tensor:
    """Room for one code an output."""
    return torch.empty(at.chunks * at.length, dtype=torch.int8, device="cpu")


def read_out_back(g: Tensor, factor: Tensor, kept: Kept) -> Tensor | None:
    """As `reference.read_out_back`, gone at the thread's next call. None: not for a gradient that lies like this."""
    at = kept.layout
    assert isinstance(at, Form)
    if not (g.is_contiguous() if at.layout != _ROWS or at.axis == -1 else _in_rows(g.shape, g.stride(), at.axis)):
        return None
    out = room(at.shape, row_strides(at.shape) if at.layout == _ROWS_TO_PLANAR else g.stride(), "outputs")
    lent().mho_read_out_back(g.data_ptr(), out.data_ptr(), *at[:5], factor.data_ptr(), _where(kept.mask), threads(g))
    return out


def decode(kept: Kept, factor: Tensor, shift: Tensor) -> Tensor:
    """As `reference.decode`."""
    at, codes = kept.layout, kept.codes
    assert isinstance(at, Form) and codes is not None
    stride = row_strides(at.shape) if at.layout == _ROWS and at.axis == -3 else _dense_strides(at.shape)
    out = room(at.shape, stride, None)
    lent().mho_decode(codes.data_ptr(), out.data_ptr(), *at[:5], factor.data_ptr(), shift.data_ptr(), threads(out))
    return out


def normals(n: int, key: int) -> Tensor:
    """`n` standard normal numbers of an address."""
    out = room((n,), (1,), None)
    lent().mho_normals(out.data_ptr(), n, key, threads(out))
    return out


def _converter(reach: Tensor | float, half_steps: float) -> tuple[int | None, float]:
    """Where the kernels find the range, or else codes per unit."""
    return (reach.data_ptr(), 0.0) if isinstance(reach, Tensor) else (None, half_steps / reach)


def _where(x: Tensor | float | None) -> int | None:
    return x.data_ptr() if isinstance(x, Tensor) else None


def threads(x: Tensor) -> int:
    """Threads that a pass over `x` is worth."""
    return torch.get_num_threads() if x.numel() >= _SMALL else 1


class _Rooms(threading.local):
    """Memory that a thread keeps, by name, and the tensors in it by name, shape and strides."""

    def __init__(self) -> None:
        self.buffers: dict[str, Tensor] = {}
        self.tensors: dict[tuple[str, Shape, Shape], Tensor] = {}


_rooms = _Rooms()


def room(shape: Shape, stride: Shape, name: str | None) -> Tensor:
    """An empty tensor; with a name in memory that the thread keeps for it, which is in use already and near."""
    if name is None or (n := math.prod(shape)) > _MOST_KEPT:
        return torch.empty_strided(shape, stride, dtype=torch.float32, device="cpu")
    found = _rooms.tensors.get((name, shape, stride))
    if found is not None:
        return found
    with torch.inference_mode(False):
        buffer = _rooms.buffers.get(name)
        if buffer is None or len(buffer) < n or len(_rooms.tensors) == _MOST_SHAPES:
            _rooms.tensors.clear()
            buffer = torch.empty(n, dtype=torch.float32, device="cpu")
            _rooms.buffers[name] = buffer
        found = _rooms.tensors[name, shape, stride] = buffer.as_strided(shape, stride)
    return found


def is_dense(x: Tensor) -> bool:
    """True for a tensor that fills its memory, planar or in rows."""
    return x.is_contiguous() or _in_rows(x.shape, x.stride(), 1 - x.dim())


def _contiguous(shape: Shape, stride: Shape) -> bool:
    return all(n == 1 or s == dense for n, s, dense in zip(shape, stride, _dense_strides(shape), strict=True))


def _in_rows(shape: Shape, stride: Shape, axis: int) -> bool:
    if axis >= -1 or len(shape) < -axis:
        return False
    return _contiguous(*_by_rows(shape, stride, axis))


@lru_cache(_MOST_SHAPES)
def _vectors_in_rows(shape: Shape, stride: Shape, axis: int) -> bool:
    return _contiguous(*_by_rows(shape, stride, axis))


def _by_rows(shape: Shape, stride: Shape, axis: int) -> tuple[Shape, Shape]:
    """Shape and strides with the columns last."""
    if axis == -1:
        return shape, stride
    return (*shape[:axis], *shape[axis + 1 :], shape[axis]), (*stride[:axis], *stride[axis + 1 :], stride[axis])


def _dense_strides(shape: Shape) -> Shape:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def row_strides(shape: Shape) -> Shape:
    """Strides of images in rows."""
    _, channels, height, width = shape
    return channels * height * width, 1, width * channels, channels


def planar_images(shape: Shape, stride: Shape) -> bool:
    """True when every image of (n, channels, height, width) is contiguous, wherever it begins."""
    return stride[1:] == _dense_strides(shape)[1:]


@lru_cache(_MOST_SHAPES)
def row_stride(shape: Shape, stride: Shape, axis: int) -> int | None:
    """Distance of the rows of a slice of columns (channels) of a dense tensor in rows; None for anything else."""
    if not (axis == -1 and len(shape) > 1) and not (axis == -3 and len(shape) == 4):
        return None
    sizes, strides = ([*of[:axis], *(of[axis + 1 :] if axis < -1 else ())] for of in (shape, stride))
    if stride[axis] != 1:
        return None
    for i in range(len(sizes) - 1, 0, -1):
        if strides[i - 1] != strides[i] * sizes[i]:
            return None
    return strides[-1]
