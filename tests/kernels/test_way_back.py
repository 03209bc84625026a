"""The passes of training and their way back, fast and in plain torch, against autograd through the reference."""

from __future__ import annotations

import pytest
import torch

from mho.kernels import decode, quantise_back, read_out_back, read_out_kept, reference
from mho.kernels.cpu_library import library

KERNELS = [
    "reference",
    pytest.param("fast", marks=pytest.mark.skipif(library() is None, reason="no C++ compiler here")),
]
SHAPES = [((5, 33), -1), ((4, 6, 9, 11), -3), ((3, 35, 7, 11), -3), ((2, 32, 4, 8), -3), ((3, 5, 6), -2)]


def _images(shape, layout, seed, dtype):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return x.to(memory_format=torch.channels_last) if layout != "contiguous" and x.dim() == 4 else x


def _dtype(kernels):
    return torch.float32 if kernels == "fast" else torch.float64  # doubles never meet the fast ones


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("half", [127.0, 1.0, None])
def test_quantise_back(kernels, shape, axis, layout, half):
    dtype = _dtype(kernels)
    x, g = _images(shape, layout, 0, dtype), _images(shape, "channels_last", 1, dtype)
    leaf = x.clone().requires_grad_()
    reference.quantise(leaf, 1.2, half).backward(g)
    found = quantise_back(g.clone(), x, 1.2, half, axis)
    torch.testing.assert_close(found, leaf.grad, rtol=1e-6, atol=0)
    assert found.stride() == x.stride() or half is None
    assert half is None or bool((found == 0).any())


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "to contiguous"])
@pytest.mark.parametrize("half", [127.0, 2.0, None])
@pytest.mark.parametrize("bound", [0.8, 9.0], ids=["clips", "never clips"])
def test_read_out_back(kernels, shape, axis, layout, half, bound):
    dtype = _dtype(kernels)
    planar, y = layout == "to contiguous", _images(shape, layout, 2, dtype)
    factor, shift = torch.rand(shape[axis]).to(dtype) + 0.1, torch.randn(shape[axis]).to(dtype)
    leaf = y.clone().requires_grad_()
    arguments = {"axis": axis, "bound": bound, "half_steps": half, "shift": shift, "planar": planar}
    expected = reference.read_out(leaf, factor, **arguments)
    with torch.no_grad():
        found, kept = read_out_kept(y.clone(), factor, codes=half is not None, **arguments)
    assert torch.equal(found, expected)
    assert (kept.mask is None) == (half is None or bound == 9.0)
    for where in ("contiguous", "channels_last"):  # gradients come as they come
        g = _images(shape, where, 3, dtype)
        leaf.grad = None
        expected.backward(g, retain_graph=True)
        torch.testing.assert_close(read_out_back(g, factor, kept), leaf.grad, rtol=1e-6, atol=1e-7)
    if half is not None:
        again = decode(kept, factor * (bound / half), shift)
        assert torch.equal(again, expected) and again.stride() == expected.stride()


@pytest.mark.parametrize("kernels", KERNELS)
def test_what_is_added_to_a_total_goes_straight_back(kernels):
    dtype = _dtype(kernels)
    y, total = torch.randn(7, 20, dtype=dtype), torch.randn(7, 20, dtype=dtype)
    factor = torch.full((20,), 0.5, dtype=dtype)
    expected = reference.read_out(y, factor, bound=3.0, half_steps=7.0, total=total)
    found, kept = read_out_kept(y.clone(), factor, bound=3.0, half_steps=7.0, total=total.clone())
    assert torch.equal(found, expected)
    inside = (y * (7.0 / 3.0)).abs() <= 7
    assert torch.equal(read_out_back(torch.ones(7, 20, dtype=dtype), factor, kept), 0.5 * inside)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("planar", [False, True])
def test_what_is_kept_behind_ir_drop_and_noise_of_weights(kernels, shape, axis, planar):
    """Without a spread the outputs are those of `read_out`, with one they are noisy; the mask is that of the outputs."""
    dtype = _dtype(kernels)
    y, a, placed = (_images(shape, "contiguous", seed, dtype) for seed in (2, 3, 4))
    factor = torch.rand(shape[axis]).to(dtype) + 0.1
    drop = reference.Drop(a.abs(), placed, 0.3)
    arguments = {"axis": axis, "bound": 0.8, "half_steps": 7.0, "drop": drop, "planar": planar}
    expected = reference.read_out(y.clone(), factor, **arguments)
    found, kept = read_out_kept(y.clone(), factor, **arguments)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    inside = (y - drop()).abs() * 7 / 0.8 <= 7
    g = torch.ones_like(found)
    assert torch.equal(read_out_back(g, torch.ones_like(factor), kept).clone() != 0, inside)
    noisy, _ = read_out_kept(y.clone(), factor, spread=torch.full_like(y, 0.04), **arguments)
    assert 0.02 < float((noisy - found).std() / factor.mean()) < 0.4


def test_kept_noise_of_weights_has_its_variance():
    y, factor = torch.zeros(2000, 32), torch.ones(32)
    spread = torch.linspace(0.01, 1, 32).expand_as(y).contiguous()
    found, _ = read_out_kept(y, factor, spread=spread, variance=0.25)
    assert torch.allclose(found.var(0), spread[0] + 0.25, rtol=0.2)
