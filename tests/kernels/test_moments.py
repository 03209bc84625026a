"""Sums beside the product, for IR drop and noise of weights: whole numbers against torch's convolutions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mho.kernels import moments
from mho.kernels.cpu_library import library
from mho.kernels.patches import Window
from mho.kernels.pool import lent

fast = pytest.mark.skipif(
    library() is None or not lent().mho_has_moments(), reason="needs a C++ compiler and a processor with AVX-512 VNNI"
)
HALF = 127.0


def _images(shape):
    codes = torch.randint(-127, 128, shape, generator=torch.Generator().manual_seed(0))
    return (codes / HALF).contiguous(memory_format=torch.channels_last)


@fast
@pytest.mark.parametrize(
    ("shape", "columns", "kernel", "stride", "padding", "dilation", "groups"),
    [
        ((3, 16, 9, 7), 16, 3, 1, 1, 1, 1),
        ((2, 56, 8, 8), 64, 3, 1, 1, 1, 1),
        ((3, 3, 9, 11), 10, 3, 2, 1, 1, 1),
        ((2, 20, 8, 7), 24, 5, 2, 2, 1, 2),
        ((2, 17, 6, 6), 40, 1, 1, 0, 1, 1),
        ((1, 8, 12, 12), 33, 3, 1, 2, 2, 1),
        ((13, 512, 1, 2), 48, 1, 1, 0, 1, 1),
    ],
)
def test_sums_are_those_of_torchs_convolutions(shape, columns, kernel, stride, padding, dilation, groups):
    u = _images(shape)
    size = (columns, shape[1] // groups, kernel, kernel)
    generator = torch.Generator().manual_seed(1)
    a, b, c = torch.rand(size, generator=generator), torch.randn(size, generator=generator), torch.rand(size)
    window = Window((stride,) * 2, (padding,) * 2, (dilation,) * 2, groups)
    assert moments.suits(u, HALF, window, a, b, c)
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append([t.clone() for t in moments.moments(u, HALF, window, a, b, c)])
    finally:
        torch.set_num_threads(1)
    for one, three in zip(*found, strict=True):
        assert torch.equal(one, three)
    for sums, x, weight, bits in zip(found[0], (u.abs(), u, u.square()), (a, b, c), (15, 15, 8), strict=True):
        exact = F.conv2d(x.double(), weight.double(), None, stride, padding, dilation, groups)
        # a weight is off by half a step at most, its column's largest / 2^bits
        step = weight.flatten(1).abs().amax(1)[:, None, None] / 2**bits
        most = F.conv2d(x.double().abs(), torch.ones_like(weight).double(), None, stride, padding, dilation, groups)
        assert ((sums - exact).abs() <= step * most / 2 + 1e-6).all()


@fast
def test_only_what_is_asked_for():
    u, weight = _images((2, 4, 5, 5)), torch.rand(8, 4, 3, 3)
    a, b, c = moments.moments(u, HALF, Window(), None, None, weight)
    assert a is None and b is None
    torch.testing.assert_close(c, F.conv2d(u.square(), weight), rtol=1e-3, atol=1e-3)


@fast
def test_columns_of_zeros_and_the_largest_codes_do_not_overflow():
    u, weight = _images((1, 512, 2, 2)), torch.ones(16, 512, 1, 1)
    u.fill_(1.0)
    weight[3] = 0.0
    for sums in moments.moments(u, HALF, Window(), weight, weight, weight):
        assert sums[0, 3, 0, 0].item() == 0.0
        assert (sums[0, 4, 0, 0] - 512.0).abs().item() < 1e-3
    assert moments.moments(-u, HALF, Window(), None, weight, None)[1][0, 4, 0, 0].item() == pytest.approx(-512.0)


@fast
def test_what_does_not_fit_is_left_to_torch():
    u, weight = _images((2, 16, 5, 5)), torch.rand(16, 16, 3, 3)
    assert moments.suits(u, 127.0, Window(), weight)
    assert not moments.suits(u, 255.0, Window(), weight)  # the squares of its codes have more than 16 bits
    assert not moments.suits(u, None, Window(), weight)
    assert not moments.suits(u.contiguous(), 127.0, Window(), weight)
    assert not moments.suits(u.double(), 127.0, Window(), weight)
    assert not moments.suits(u, 127.0, Window(groups=16), torch.rand(16, 1, 3, 3))  # one column a group


@fast
@pytest.mark.parametrize("half", [181.0, 127.0, 7.0])
@pytest.mark.parametrize("depth", [512, 4608, 9217])
def test_small_variances_of_deep_sums_are_not_lost(depth, half):
    """Squares of normal weights: most are far below the largest, and the noise of all would be too small without them."""
    generator = torch.Generator().manual_seed(2)
    codes = torch.randint(-int(half), int(half) + 1, (4, depth, 1, 2), generator=generator)
    u = (codes / half).contiguous(memory_format=torch.channels_last)
    normal = torch.randn(16, depth, 1, 1, generator=generator)
    for sums, x, weight in zip(
        moments.moments(u, half, Window(), normal.abs(), normal, normal.square()),
        (u.abs(), u, u.square()), (normal.abs(), normal, normal.square()), strict=True,
    ):  # fmt: skip
        exact = F.conv2d(x.double(), weight.double())
        if weight is normal:
            assert ((sums - exact).abs() < 1e-4 * F.conv2d(x.double().abs(), weight.double().abs())).all()
        else:
            assert (sums / exact - 1).abs().mean().item() < 2e-3
            assert (sums / exact).mean().item() == pytest.approx(1.0, abs=1e-3)
