"""Products of a convolution whose every patch is an input vector with a range of its own, through the C++ kernels.

What they are is said by `mho.crossbar.inputs.PatchInputs`, in plain torch, as a sum over the taps of the kernel. A linear
layer is a convolution of one pixel: its vectors are the positions. See `cpp/patches.hpp`.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from mho.kernels import cpu
from mho.kernels.cpu import Shape
from mho.kernels.pool import lent

_FIELDS = 18


class Window(NamedTuple):
    """Geometry of a convolution of images; pairs are (vertical, horizontal), zeros are padded.

    Attributes:
        stride, padding, dilation: As for torch.
        groups: Number of groups.
    """

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


class Geometry(NamedTuple):
    """A convolution of images.

    Attributes:
        fields: `Patches` of `cpp/patches.hpp`.
        out: Images, columns, height and width of the outputs.
        ranges: The same with one column a group.
    """

    fields: ctypes.Array[ctypes.c_int64]
    out: Shape
    ranges: Shape


def suits(*given: Tensor | float | None) -> bool:
    """True when the kernels can take the tensors among these; see `cpu.suits`."""
    return cpu.suits(*given)


def in_rows(x: Tensor) -> Tensor:
    """Images (n, channels, height, width) with the channels of a pixel beside each other."""
    shape, stride = tuple(x.shape), x.stride()
    if cpu.row_stride(shape, stride, -3) is not None:
        return x
    out = cpu.room(shape, cpu.row_strides(shape), None)
    if not cpu.planar_images(shape, stride) or x.numel() == 0:  # torch's own layouts leave axes of length 1 any stride
        return out.copy_(x)
    n, columns, height, width = shape
    lent().mho_to_rows(x.data_ptr(), out.data_ptr(), n, columns, height * width, stride[0], cpu.threads(x))
    return out


def ranges(x: Tensor, weight: Shape, window: Window, smallest: float, *, passing: bool = False) -> Tensor:
    """The largest magnitude in each patch, or `smallest` where that is larger: (n, groups, height, width), in rows.

    Args:
        x: Images, from `in_rows`.
        weight: Shape of the weight, (columns, channels of a group, height, width).
        window: Where patches lie.
        smallest: Range of a patch of zeros.
        passing: The result lies in memory that the thread keeps, until its next call with `passing`.
    """
    at = geometry(tuple(x.shape), x.stride(), tuple(weight), window)
    found = cpu.room(at.ranges, cpu.row_strides(at.ranges), "ranges" if passing else None)
    lent().mho_patch_ranges(x.data_ptr(), at.fields, smallest, found.data_ptr(), cpu.threads(x))
    return found


def same_ranges(x: Tensor, weight: Shape, window: Window, reach: Tensor | float) -> Tensor:
    """As `ranges`, where all are the same."""
    at = geometry(tuple(x.shape), x.stride(), tuple(weight), window)
    found = cpu.room(at.ranges, cpu.row_strides(at.ranges), None)
    return found.copy_(reach) if isinstance(reach, Tensor) else found.fill_(reach)


def products(
    x: Tensor, weight: Tensor, reach: Tensor, half_steps: float, window: Window, positions: Tensor | None = None, *,
    clips: bool = False,
) -> Tensor:  # fmt: skip
    """Σ_j w_ij round(h x_j / r) / h for each patch, in rows.

    Args:
        x: Images, from `in_rows`.
        weight: (columns, channels of a group, height, width).
        reach: r of each patch, as from `ranges`; with positions (count, groups), dense.
        half_steps: h, the largest code.
        window: Where patches lie.
        positions: Numbers of the output positions that are wanted, counted through all images, int64; None: all.
        clips: Inputs may be larger than their range.

    Returns:
        (n, columns, height, width), or with positions (count, columns).
    """
    at, columns = geometry(tuple(x.shape), x.stride(), tuple(weight.shape), window), len(weight)
    if positions is None:
        count, out = reach.numel() // window.groups, cpu.room(at.out, cpu.row_strides(at.out), None)
    else:
        count = len(positions)
        out = cpu.room((count, columns), (columns, 1), None)
    weight = weight if weight.is_contiguous() else weight.contiguous()
    lent().mho_patch_products(
        x.data_ptr(), at.fields, weight.data_ptr(), reach.data_ptr(),
        None if positions is None else positions.data_ptr(), count, half_steps, clips, out.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


@lru_cache(1024)
def geometry(shape: Shape, stride: Shape, weight: Shape, window: Window) -> Geometry:
    """What the kernels are told of a convolution: shape and strides of the images, shape of the weight, and where patches lie."""
    (n, channels, *size), (columns, inputs, *taps) = shape, weight
    pixel = cpu.row_stride(shape, stride, -3)
    assert pixel is not None and channels == inputs * window.groups
    out = [
        (length + 2 * p - d * (k - 1) - 1) // s + 1
        for length, k, s, p, d in zip(size, taps, window.stride, window.padding, window.dilation, strict=True)
    ]
    fields = (
        n, *size, size[1] * pixel, pixel, window.groups, inputs, columns // window.groups, *taps, *window.stride,
        *window.padding, *window.dilation, *out,
    )  # fmt: skip
    return Geometry((ctypes.c_int64 * _FIELDS)(*fields), (n, columns, *out), (n, window.groups, *out))


def planar(x: Tensor) -> Tensor:
    """Images in dense rows as contiguous ones."""
    n, columns, height, width = x.shape
    out = cpu.room(tuple(x.shape), (columns * height * width, height * width, width, 1), None)
    lent().mho_from_rows(x.data_ptr(), out.data_ptr(), n, columns, height * width, cpu.threads(x))
    return out


def weights_back(x: Tensor, shape: Shape, reach: Tensor, slopes: Tensor, half_steps: float, window: Window) -> Tensor:
    """The gradient of the weights, from `slopes`, that of r times the products.

    Args:
        x, reach, half_steps, window: See `products`.
        shape: Of the weight.
        slopes: (n, columns, height, width), in rows.
    """
    at = geometry(tuple(x.shape), x.stride(), tuple(shape), window)
    found = torch.empty(shape, dtype=torch.float32, device="cpu")
    lent().mho_patch_weights_back(
        x.data_ptr(), at.fields, reach.data_ptr(), slopes.data_ptr(), half_steps, False, found.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return found


def ranges_back(
    x: Tensor, shape: Shape, reach: Tensor, slopes: Tensor, window: Window, smallest: float, total: Tensor
) -> None:
    """Adds the gradient of each range to that of the number of its patch that set it: to the first pixel that has it, in equal
    shares to the pixel's channels that do.

    Args:
        x, window, smallest: See `ranges`; `shape` is the weight's, too.
        reach: What `ranges` gave.
        slopes: The ranges' gradient, alike.
        total: That of the images, in dense rows.
    """
    at = geometry(tuple(x.shape), x.stride(), tuple(shape), window)
    lent().mho_patch_ranges_back(
        x.data_ptr(), at.fields, smallest, reach.data_ptr(), slopes.data_ptr(), total.data_ptr(), cpu.threads(x)
    )


def ranges_slope(
    g: Tensor, y: Tensor, shift: Tensor | None, slopes: Tensor, plain: Tensor, reach: Tensor, groups: int
) -> Tensor:
    """The gradient of each range r of y = r f q(w x / r) + a: Σ over a group's columns of (g (y - a) - f g w x) / r.

    Args:
        g: The gradient of y; all images in dense rows.
        y: The layer's output.
        shift: a, or None.
        slopes: f g, 0 where the converter clipped.
        plain: w x.
        reach: r, (n, groups, height, width).
        groups: Number of groups.
    """
    out, columns = torch.empty_like(reach), g.shape[1]
    lent().mho_patch_ranges_slope(
        g.data_ptr(), y.data_ptr(), None if shift is None else shift.data_ptr(), slopes.data_ptr(), plain.data_ptr(),
        reach.data_ptr(), g.numel() // columns, groups, columns // groups, out.data_ptr(), cpu.threads(g),
    )  # fmt: skip
    return out
