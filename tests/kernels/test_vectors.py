"""Read-outs that undo a range of each vector, and tell which clip: fast against plain torch, in every layout."""

from __future__ import annotations

import pytest
import torch

from mho.kernels import dispatch, patches, read_out, read_out_kept, read_out_vectors
from mho.kernels.cpu_library import library
from mho.kernels.patches import Window

fast = pytest.mark.skipif(library() is None, reason="no C++ compiler here: the fast CPU kernels are not built")
SHAPES = [((3, 24, 7, 5), 1), ((3, 24, 7, 5), 4), ((2, 35, 9, 8), 35), ((1, 2, 40, 41), 2), ((2, 600, 3, 3), 3)]


def _in_rows(shape, seed):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return x.contiguous(memory_format=torch.channels_last)


@fast
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("half", [127.0, None])
@pytest.mark.parametrize("add", [False, True])
def test_images_whose_patches_have_ranges_bit_for_bit(shape, groups, planar, half, add, monkeypatch):
    y, each = _in_rows(shape, 0), _in_rows((shape[0], groups, *shape[2:]), 1).abs()
    factor, shift = torch.rand(shape[1]), torch.randn(shape[1])
    total = _in_rows(shape, 2) if add else None
    total = total.contiguous() if add and planar else total
    arguments = {"axis": -3, "bound": 1.1, "half_steps": half, "shift": shift, "planar": planar, "each": each}
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(read_out(y.clone(), factor, total=None if total is None else total.clone(), **arguments))
    finally:
        torch.set_num_threads(1)
    monkeypatch.setattr(dispatch.cpu, "suits", lambda *given: False)
    expected = read_out(y.clone(), factor, total=total, **arguments)
    assert all(torch.equal(f, expected) and f.is_contiguous() == expected.is_contiguous() for f in found)
    kept, _ = read_out_kept(y.clone(), factor, total=total, **arguments)
    assert torch.equal(kept, expected)


@fast
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
@pytest.mark.parametrize(
    ("half", "top", "bound"), [(127.0, 126.75, 2.0), (2.5, 2.25, 2.0), (None, 2.0, 2.0), (127.0, 126.75, 99.0)]
)
def test_who_clips(shape, groups, half, top, bound, monkeypatch):
    y, each = _in_rows(shape, 0), _in_rows((shape[0], groups, *shape[2:]), 1).abs()
    factor, shift = torch.rand(shape[1]), torch.randn(shape[1])
    arguments = (factor, each, top, -3, bound, half, 0.0, None, None, shift)
    found, clipped, kept = read_out_vectors(y.clone(), *arguments, keep=True)
    monkeypatch.setattr(dispatch.cpu, "suits", lambda *given: False)
    expected, theirs, _ = read_out_vectors(y.clone(), *arguments)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert (clipped is None and not bool(theirs.any())) or torch.equal(clipped, theirs)
    assert (clipped is None) == (bound == 99.0) and kept is not None


@fast
@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (3, 40, 16, 9), (1, 1, 1, 1), (2, 17, 1, 300)])
def test_rows_and_back(shape):
    x = torch.randn(shape)
    rows = patches.in_rows(x)
    assert torch.equal(rows, x) and rows.permute(0, 2, 3, 1).is_contiguous()
    back = patches.planar(rows)
    assert torch.equal(back, x) and back.is_contiguous()
    assert patches.in_rows(rows) is rows
    other = torch.randn(2, 4, 5, 6).transpose(2, 3)
    assert torch.equal(patches.in_rows(other), other) and patches.in_rows(other).stride(1) == 1


@fast
def test_the_range_of_a_patch_of_zeros():
    x = torch.zeros(1, 4, 5, 5).contiguous(memory_format=torch.channels_last)
    x[0, 2, 0, 0] = -3.0
    found = patches.ranges(x, (6, 4, 3, 3), Window(padding=(1, 1)), 1e-12)
    assert (
        found.shape == (1, 1, 5, 5)
        and float(found[0, 0, 1, 1]) == 3.0
        and float(found[0, 0, 4, 4]) == float(torch.tensor(1e-12))
    )
