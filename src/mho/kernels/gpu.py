"""The passes through the Triton kernels of `triton.py`, for tensors on CUDA devices.

float32, bfloat16 and float16 go in, in any dense layout; all is computed in float32. Triton is imported when the first
CUDA tensor shows up; where it is missing or does not work, the reference runs.
"""

from __future__ import annotations

import logging
import os
from functools import cache, reduce
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mho.kernels.reference import Drop, Kept, steps

_BLOCK = 1024
"""Numbers of a program; a multiple of 8."""
_MOST = 2**31 - 2**20
"""Largest number of numbers: what an int32 counts, less the end of the last program."""
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_log = logging.getLogger("mho")


class Form(NamedTuple):
    """How column outputs lie in memory: number i belongs to column (i // inner) % columns.

    Attributes:
        columns: Number of columns.
        inner: Distance of neighbouring columns, in numbers.
        shape: Of the outputs.
        stride: Of the outputs, which are dense.
        planar: The result of the read-out is contiguous.
    """

    columns: int
    inner: int
    shape: torch.Size
    stride: tuple[int, ...]
    planar: bool

    @property
    def geometry(self) -> tuple[int, int, int, int, int]:
        """As the kernels take it."""
        return self.columns, *divisor(self.inner), *divisor(self.columns)


def suits(*given: Tensor | float | None) -> bool:
    """True when the kernels can take the tensors among these: on one CUDA device, nothing traced, captured or differentiated."""
    found = [x for x in given if isinstance(x, Tensor)]
    if torch.compiler.is_compiling() or not found or not found[0].is_cuda:
        return False
    for x in found:
        if type(x) not in (Tensor, torch.nn.Parameter) or x.dtype not in _DTYPES or x.device != found[0].device:
            return False
        if (torch.is_grad_enabled() and x.requires_grad) or torch._C._functorch.is_functorch_wrapped_tensor(x):
            return False
        if x.numel() > _MOST:
            return False
    # A captured graph would repeat the noise of its capture: the key of a launch is drawn on the host.
    return not torch.cuda.is_current_stream_capturing() and ready()


@cache
def ready() -> bool:
    """True when triton is there, compiles and runs; ``MHO_KERNELS=reference`` says no."""
    if os.environ.get("MHO_KERNELS", "") == "reference" or not torch.cuda.is_available():
        return False
    try:
        ones = torch.ones(8, device="cuda")
        return bool((quantise(ones, 1.0, 1.0) == ones).all())
    except Exception as error:  # no triton, no C compiler for its launcher, a device it does not know
        _log.warning("the Triton kernels cannot be had (%s); the reference kernels run on CUDA devices", error)
        return False


def active() -> str:
    """The kernels that tensors on CUDA devices meet, in words."""
    if find_spec("triton") is None:
        return "reference (triton is not installed)"
    return "Triton" if ready() else "reference (plain torch)"


def quantise(x: Tensor, reach: Tensor | float, half_steps: float) -> Tensor:
    """As `reference.quantise`, for a reach of one number; the result is dense, in the order of `x`."""
    x, runs, out = _laid_out(x, torch.result_type(x, reach))
    scale = half_steps / _wide(reach)
    _launch("quantise", x, out, x.numel(), scale, half_steps, 1 / half_steps, *runs, isinstance(scale, Tensor))
    return out


def quantise_back(g: Tensor, x: Tensor, reach: Tensor | float, half_steps: float) -> Tensor:
    """As `reference.quantise_back`, for a reach of one number; the result is dense, in the order of `x`."""
    x, runs, out = _laid_out(x, torch.result_type(g, reach))
    scale = half_steps / _wide(reach)
    slope, held = (1 / half_steps) * scale, isinstance(scale, Tensor)
    _launch("quantise_back", _aligned(g, out), x, out, x.numel(), scale, half_steps, slope, *runs, held)
    return out


def read_out(
    y: Tensor, factor: Tensor, axis: int = -1, bound: Tensor | float = 1.0, half_steps: float | None = None,
    variance: float = 0.0, spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None,
    total: Tensor | None = None, planar: bool = False,
) -> Tensor:  # fmt: skip
    """As `reference.read_out`; may write into `y` or `total`, which may not be used again."""
    return _read_out(
        y, factor, axis, bound, half_steps, variance, spread, drop, shift, total, planar, bits=False, codes=False
    )[0]


def read_out_kept(
    y: Tensor, factor: Tensor, axis: int = -1, bound: Tensor | float = 1.0, half_steps: float | None = None,
    variance: float = 0.0, spread: Tensor | None = None, drop: Drop | None = None, shift: Tensor | None = None,
    total: Tensor | None = None, planar: bool = False, codes: bool = False,
) -> tuple[Tensor, Kept]:  # fmt: skip
    """As `reference.read_out_kept`; may write into `y` or `total`. The mask is one bit an output, eight to a uint8."""
    return _read_out(
        y, factor, axis, bound, half_steps, variance, spread, drop, shift, total, planar, bits=True, codes=codes
    )


def _read_out(
    y: Tensor, factor: Tensor, axis: int, bound: Tensor | float, half_steps: float | None, variance: float,
    spread: Tensor | None, drop: Drop | None, shift: Tensor | None, total: Tensor | None, planar: bool, *, bits: bool,
    codes: bool,
) -> tuple[Tensor, Kept]:  # fmt: skip
    y = y if _is_dense(y) else y.contiguous()
    n, columns, converts = y.numel(), y.shape[axis], half_steps is not None
    at = Form(columns, y.stride(axis) if columns > 1 else 1, y.shape, y.stride(), planar)
    inputs = [None if t is None else _aligned(t, y) for t in (total, spread, *(drop[:2] if drop else (None, None)))]
    dtype = reduce(torch.promote_types, (t.dtype for t in (y, factor, shift, *inputs) if t is not None))
    out = next((t for t in (inputs[0], y) if t is not None and t.dtype == dtype), None)
    out = torch.empty_like(y, dtype=dtype) if out is None else out
    scale, unit = steps(_wide(bound), half_steps)
    noisy = variance > 0 or spread is not None
    key = int(torch.randint(0, 2**62, (), device="cpu")) if noisy else 0
    mask = torch.empty(-(-n // 8), dtype=torch.uint8, device=y.device) if bits and converts else None
    kept = torch.empty(n, dtype=torch.int8, device=y.device) if codes else None
    _launch(
        "read_out", y, out, *inputs, (factor * unit).contiguous(), None if shift is None else shift.contiguous(), mask,
        kept, n, variance if spread is not None else variance**0.5, drop.scale if drop else 0.0, scale,
        half_steps or 0.0, key, *at.geometry, noisy, converts, isinstance(scale, Tensor),
    )  # fmt: skip
    return out.contiguous() if planar else out, Kept(mask, kept, at)


def read_out_back(g: Tensor, factor: Tensor, kept: Kept) -> Tensor:
    """As `reference.read_out_back`; the result lies as y did."""
    at = kept.layout
    assert isinstance(at, Form)
    out = torch.empty_strided(at.shape, at.stride, dtype=torch.promote_types(g.dtype, factor.dtype), device=g.device)
    _launch("read_out_back", _aligned(g, out), out, factor.contiguous(), kept.mask, out.numel(), *at.geometry)
    return out


def decode(kept: Kept, factor: Tensor, shift: Tensor) -> Tensor:
    """As `reference.decode`."""
    at, codes = kept.layout, kept.codes
    assert isinstance(at, Form) and codes is not None
    dtype = torch.promote_types(factor.dtype, shift.dtype)
    out = torch.empty_strided(at.shape, at.stride, dtype=dtype, device=codes.device)
    _launch("decode", codes, out, factor.contiguous(), shift.contiguous(), len(codes), *at.geometry)
    return out.contiguous() if at.planar else out


def divisor(d: int) -> tuple[int, int]:
    """Factor m (as an int32) and shift s so that i // d = (⌊i m / 2^32⌋ + i) >> s for 0 ≤ i < 2^31."""
    shift = (d - 1).bit_length()
    factor = (((1 << shift) - d) << 32) // d + 1
    return factor - (1 << 32) * (factor >= 1 << 31), shift


def _launch(name: str, *arguments: Any) -> None:
    """Run a kernel; the first tensor says where, and with an `n` of 0 there is nothing to do."""
    from mho.kernels import triton as kernels

    n = arguments[1].numel()
    if n == 0:
        return
    with torch.cuda.device_of(arguments[0]):
        getattr(kernels, name)[(-(-n // _BLOCK),)](*arguments, BLOCK=_BLOCK, enable_fp_fusion=False)


def _laid_out(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, tuple[int, int, int, int, bool], Tensor]:
    """`x`, how to find its numbers (`_source` of the kernels), and an empty dense tensor in its order."""
    runs = _runs(x)
    if runs is None:
        x = x.contiguous()
        runs = (x.numel(), x.numel())
    run, distance = runs
    if run == x.numel():
        return x, (1, 1, 0, 1, False), torch.empty_like(x, dtype=dtype)
    stride = x.stride()
    order = sorted(range(x.dim()), key=lambda d: -stride[d])
    out = torch.empty_permuted(x.shape, order, dtype=dtype, device=x.device)
    return x, (run, *divisor(run), distance, True), out


def _runs(x: Tensor) -> tuple[int, int] | None:
    """Length of the runs of consecutive numbers that make up `x`, and the distance of their beginnings, if it is one.

    A dense tensor is one run, a slice of its rows, columns or channels several.
    """
    sizes = sorted((s, n) for s, n in zip(x.stride(), x.shape, strict=True) if n > 1)
    run = 1
    while sizes and sizes[0][0] == run:
        run *= sizes.pop(0)[1]
    if not sizes:
        return run, run
    distance = following = sizes[0][0]
    for stride, size in sizes:
        if stride != following:
            return None
        following *= size
    return (run, distance) if distance >= run else None


def _wide(value: Tensor | float) -> Tensor | float:
    return value.float() if isinstance(value, Tensor) else value


def _is_dense(x: Tensor) -> bool:
    runs = _runs(x)
    return runs is not None and runs[0] == x.numel()


def _aligned(x: Tensor, like: Tensor) -> Tensor:
    """`x` broadcast to the shape of the dense `like` and laid out as it is."""
    same = zip(x.stride(), like.stride(), like.shape, strict=False)
    if x.shape == like.shape and all(a == b for a, b, n in same if n > 1):
        return x
    return torch.empty_like(like, dtype=x.dtype).copy_(x)
