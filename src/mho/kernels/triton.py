"""Triton kernels of the passes; `gpu.py` launches them. Importing this module imports triton.

One program takes BLOCK consecutive numbers in the order of memory. Nothing depends on BLOCK: number i of a launch has
normal i % 4 of counter i // 4 of Philox, whose key is the launch's. The launches turn the fusing of multiply-adds off
(as the C++ kernels do), so every operation rounds as torch's does; only roots and normals may differ by an ulp.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import triton  # type: ignore[import-not-found, import-untyped]
import triton.language as tl  # type: ignore[import-not-found, import-untyped]

_UNROUNDED = tl.constexpr(8388608.0)
"""2^23: float32 numbers from here on are whole."""
_CHANGING = ["half", "unit", "key", "run", "run_factor", "run_shift", "distance", "inner_factor", "inner_shift"]
_CHANGING += ["columns", "columns_factor", "columns_shift"]
"""Arguments whose values are no reason to compile a variant."""


@triton.jit
def _value(number, HELD: tl.constexpr):
    """A number that is given as such, or held by a tensor."""
    if HELD:
        number = tl.load(number).to(tl.float32)
    return number


@triton.jit
def _convert(v, half):
    """clip(round(v), -h, h), ties to even, for any v; NaN stays NaN. (The interpreter has no `libdevice.rint`.)"""
    size = tl.abs(v)
    size = tl.where(size < _UNROUNDED, (size + _UNROUNDED) - _UNROUNDED, size)
    size = tl.where(size > half, half, size)
    return tl.where(v < 0, -size, size)


@triton.jit
def _over(i, factor, shift):
    """i // d for 0 ≤ i < 2^31, by the multiplication that `gpu.divisor` prepares: a real division takes 20 steps."""
    i = i.to(tl.uint32)
    return (tl.umulhi(i, factor.to(tl.uint32, bitcast=True)) + i) >> shift.to(tl.uint32)


@triton.jit
def _column(i, columns, inner_factor, inner_shift, columns_factor, columns_shift):
    """(i // inner) % columns."""
    outer = _over(i, inner_factor, inner_shift)
    return (outer - _over(outer, columns_factor, columns_shift) * columns.to(tl.uint32)).to(tl.int32)


@triton.jit
def _source(i, run, run_factor, run_shift, distance, RUNS: tl.constexpr):
    """Where number i lies in a tensor made of runs of `run` numbers that begin `distance` numbers apart."""
    if RUNS:
        outer = _over(i, run_factor, run_shift).to(tl.int64)
        i = outer * distance + (i - outer * run)
    return i


@triton.jit
def _pair(u, w):
    """Two standard normal numbers of 64 random bits (Box and Muller), up to 6.76 in size.

    `tl.randn` ends at 5.68, and its sine and cosine carry a way out for large angles that takes registers.
    """
    r = tl.sqrt(-2.0 * tl.log(u.to(tl.float32) * 2.3283064e-10 + 1.1641532e-10))
    x = (w << 2).to(tl.int32, bitcast=True).to(tl.float32) * 3.6572942e-10  # an eighth of a turn to either side
    s = x * x
    sine = tl.fma(x * s, tl.fma(s, tl.fma(s, -1.9515296e-4, 8.3321609e-3), -1.6666655e-1), x)
    cosine = tl.fma(s * s, tl.fma(s, tl.fma(s, 2.4433157e-5, -1.3887316e-3), 4.1666646e-2), tl.fma(s, -0.5, 1.0))
    r = tl.where((w & 0x80000000) != 0, -r, r)
    swapped = (w & 0x40000000) != 0
    return r * tl.where(swapped, sine, cosine), r * tl.where(swapped, cosine, sine)


@triton.jit
def _normals(key, BLOCK: tl.constexpr):
    """Standard normal numbers of this program."""
    u, v, w, x = tl.randint4x(key, tl.program_id(0) * (BLOCK // 4) + tl.arange(0, BLOCK // 4))
    a, b = _pair(u, v)
    c, d = _pair(w, x)
    return tl.interleave(tl.interleave(a, c), tl.interleave(b, d))


@triton.jit(do_not_specialize=_CHANGING)
def quantise(
    x, out, n, scale, half, unit, run, run_factor, run_shift, distance, RUNS: tl.constexpr, HELD: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """out[i] = clip(round(x[i] scale), -half, half) unit."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + _source(i, run, run_factor, run_shift, distance, RUNS), mask=i < n, other=0.0).to(tl.float32)
    tl.store(out + i, _convert(v * _value(scale, HELD), half) * unit, mask=i < n)


@triton.jit(do_not_specialize=_CHANGING)
def quantise_back(
    g, x, out, n, scale, half, slope, run, run_factor, run_shift, distance, RUNS: tl.constexpr, HELD: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """out[i] = g[i] slope where |x[i] scale| <= half, else 0."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + _source(i, run, run_factor, run_shift, distance, RUNS), mask=i < n, other=0.0).to(tl.float32)
    to = tl.load(g + i, mask=i < n, other=0.0).to(tl.float32)
    inside = tl.abs(v * _value(scale, HELD)) <= half
    tl.store(out + i, tl.where(inside, to * _value(slope, HELD), 0.0), mask=i < n)


@triton.jit(do_not_specialize=_CHANGING)
def read_out(
    y, out, total, spread, a, placed, factor, shift, mask, codes, n, noise, drop, scale, half, key, columns,
    inner_factor, inner_shift, columns_factor, columns_shift, NOISY: tl.constexpr, CONVERTS: tl.constexpr,
    HELD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out[i] = total[i] + factor[column] code(y[i] - drop c(a[i]) placed[i] + σ z) + shift[column].

    total, spread, a and placed, shift, mask (bits) and codes may be None; σ is `noise`, with a spread
    sqrt(max(spread[i], 0) + noise).
    """
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    valid = i < n
    v = tl.load(y + i, mask=valid, other=0.0).to(tl.float32)
    if a is not None:
        w = tl.load(a + i, mask=valid, other=0.0).to(tl.float32)
        p = tl.load(placed + i, mask=valid, other=0.0).to(tl.float32)
        v = v - (drop * (w * (w * (0.05 * w - 0.2) + 0.5))) * p
    if NOISY:
        z = _normals(key, BLOCK)
        if spread is not None:
            s = tl.load(spread + i, mask=valid, other=0.0).to(tl.float32)
            v = v + tl.sqrt(tl.where(s < 0, 0.0, s) + noise) * z
        else:
            v = v + noise * z
    if CONVERTS:
        v = v * _value(scale, HELD)
        if mask is not None:
            bits = tl.reshape((tl.abs(v) <= half).to(tl.int32), (BLOCK // 8, 8)) << tl.arange(0, 8)[None, :]
            b = tl.program_id(0) * (BLOCK // 8) + tl.arange(0, BLOCK // 8)
            tl.store(mask + b, tl.sum(bits, axis=1).to(tl.uint8), mask=b * 8 < n)
        v = _convert(v, half)
        if codes is not None:
            tl.store(codes + i, v.to(tl.int8), mask=valid)
    column = _column(i, columns, inner_factor, inner_shift, columns_factor, columns_shift)
    v = v * tl.load(factor + column, mask=valid, other=0.0).to(tl.float32)
    if total is not None:
        v = tl.load(total + i, mask=valid, other=0.0).to(tl.float32) + v
    if shift is not None:
        v = v + tl.load(shift + column, mask=valid, other=0.0).to(tl.float32)
    tl.store(out + i, v, mask=valid)


@triton.jit(do_not_specialize=_CHANGING)
def read_out_back(
    g, out, factor, mask, n, columns, inner_factor, inner_shift, columns_factor, columns_shift, BLOCK: tl.constexpr
):
    """out[i] = g[i] factor[column], 0 where bit i of `mask` (may be None) is."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    valid = i < n
    column = _column(i, columns, inner_factor, inner_shift, columns_factor, columns_shift)
    to = tl.load(g + i, mask=valid, other=0.0).to(tl.float32)
    to = to * tl.load(factor + column, mask=valid, other=0.0).to(tl.float32)
    if mask is not None:
        bits = tl.load(mask + i // 8, mask=valid, other=0).to(tl.int32)
        to = tl.where(((bits >> (i % 8)) & 1) != 0, to, 0.0)
    tl.store(out + i, to, mask=valid)


@triton.jit(do_not_specialize=_CHANGING)
def decode(
    codes, out, factor, shift, n, columns, inner_factor, inner_shift, columns_factor, columns_shift,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """out[i] = codes[i] factor[column] + shift[column]."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    valid = i < n
    column = _column(i, columns, inner_factor, inner_shift, columns_factor, columns_shift)
    v = tl.load(codes + i, mask=valid, other=0).to(tl.float32)
    v = v * tl.load(factor + column, mask=valid, other=0.0).to(tl.float32)
    tl.store(out + i, v + tl.load(shift + column, mask=valid, other=0.0).to(tl.float32), mask=valid)
