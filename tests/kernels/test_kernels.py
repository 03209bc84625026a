"""The fast kernels against the reference: bit for bit where nothing is random, in distribution where it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from mho.kernels import Drop, cpu, dispatch, quantise, quantise_vectors, read_out, reference
from mho.kernels.cpu_library import library
from mho.rng import reads

fast = pytest.mark.skipif(library() is None, reason="no C++ compiler here: the fast CPU kernels are not built")
SHAPES = [((7,), -1), ((5, 33), -1), ((4, 6, 9, 11), -3), ((3, 20_000), -1), ((2, 3, 130, 130), -3), ((0, 4), -1)]


def _tensor(shape, layout="contiguous", seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return x.to(memory_format=torch.channels_last) if layout == "channels_last" and x.dim() == 4 else x


@fast
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("half", [127.0, 7.0, 2.5, 0.5])
def test_quantise_is_the_reference_bit_for_bit(shape, axis, layout, half):
    x = _tensor(shape, layout)
    for reach in (torch.tensor(1.7), torch.tensor(1.6406283378601074), 0.3, torch.tensor(3.3e-3)):
        expected = reference.quantise(x, reach, half)
        for passing in (False, True):
            assert torch.equal(quantise(x, reach, half, axis, passing=passing), expected)
        assert torch.equal(quantise(x, reach, half), expected)


@fast
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(("first", "count"), [(0, 3), (2, 17), (5, 16)])
def test_slices_of_channels_and_batches_are_quantised_too(layout, first, count):
    x = _tensor((6, 24, 5, 9), layout)[1:5].narrow(1, first, count)
    found = quantise(x, 1.3, 127.0, -3)
    assert torch.equal(found, reference.quantise(x, 1.3, 127.0))
    assert found.is_contiguous(memory_format=torch.channels_last)
    vectors = _tensor((7, 40))[:, first : first + count]
    assert torch.equal(quantise(vectors, 1.3, 127.0, -1), reference.quantise(vectors, 1.3, 127.0))


@fast
@pytest.mark.parametrize("shape", [(7,), (5, 33), (1, 4), (3, 17, 20), (2, 3, 130), (300, 333), (0, 4), (3, 1)])
@pytest.mark.parametrize("half", [127.0, 2.5, None])
@pytest.mark.parametrize("passing", [False, True])
def test_vectors_are_quantised_in_ranges_of_their_own_bit_for_bit(shape, half, passing):
    rows = math.prod(shape[:-1])
    x = _tensor(shape) * torch.logspace(-3, 3, rows).reshape(*shape[:-1], 1)
    wide = torch.zeros(*shape[:-1], shape[-1] + 5)
    wide[..., 2:-3] = x
    zeros = x.clone()
    zeros.view(rows, shape[-1])[:1] = 0
    for given in (x, wide[..., 2:-3], x.mT.contiguous().mT if x.dim() > 1 else x, zeros):
        u, ranges = quantise_vectors(given, half, 1e-12, passing=passing)
        expected, largest = reference.quantise_vectors(given, half, 1e-12)
        assert torch.equal(u, expected) and torch.equal(ranges, largest) and ranges.shape == (*shape[:-1], 1)


@fast
def test_a_vector_with_what_is_no_number_says_so():
    x = torch.randn(4, 20)
    x[1, 3], x[2, 19] = float("nan"), -float("inf")
    u, ranges = quantise_vectors(x, 127.0, 1e-12)
    lost = (u * ranges).sum(-1).isnan()
    assert lost.tolist() == [False, True, True, False]


@fast
@pytest.mark.parametrize("shape", [(5, 33), (300, 70), (2, 40, 50), (9,), (6, 3000)])
@pytest.mark.parametrize("half", [127.0, 2.5, None])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("reach", [1.0, torch.tensor(0.7)])
def test_a_read_out_undoes_the_range_of_each_vector_bit_for_bit(shape, half, add, reach):
    y, factor, shift = _tensor(shape), torch.rand(shape[-1]), torch.randn(shape[-1])
    each, total = torch.rand(*shape[:-1], 1) * 10, _tensor(shape, seed=1) if add else None
    expected = reference.read_out(y.clone(), factor * reach, bound=1.1, half_steps=half) * each
    expected = (expected if total is None else total + expected) + shift
    arguments = {"bound": 1.1, "half_steps": half, "shift": shift, "each": each, "reach": reach}
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found = read_out(y.clone(), factor, total=None if total is None else total.clone(), **arguments)
        assert torch.equal(found, expected)
    torch.set_num_threads(1)
    wide = read_out(y.double(), factor.double(), total=None if total is None else total.double(), **arguments)
    torch.testing.assert_close(wide.float(), expected, rtol=1e-5, atol=10.0 if half else 1e-5)  # a code may tip over


def test_the_range_of_each_vector_is_undone_behind_a_gpus_read_out(monkeypatch):
    """The gpu's kernels are asked wherever they suit; here, where there may be none, the reference stands in for them."""
    asked = []

    def read_out_there(*arguments):
        asked.append(arguments)
        return reference.read_out(*arguments)

    monkeypatch.setattr(dispatch.cpu, "suits", lambda *given: False)
    monkeypatch.setattr(dispatch.gpu, "suits", lambda *given: True)
    monkeypatch.setattr(dispatch.gpu, "read_out", read_out_there)
    y, factor, each, shift = _tensor((5, 12)), torch.rand(12), torch.rand(5, 1), torch.rand(12)
    expected = reference.read_out(y, factor, bound=1.1, half_steps=7.0) * each + shift
    assert torch.equal(read_out(y.clone(), factor, bound=1.1, half_steps=7.0, each=each, shift=shift), expected)
    assert len(asked) == 1


LAYOUTS = ["contiguous", "channels_last", "to contiguous"]


@fast
@pytest.mark.parametrize(("shape", "axis"), [*SHAPES[1:], ((3, 35, 7, 11), -3), ((2, 16, 4, 8), -3), ((3, 5, 6), -2)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("half", [127.0, 2.5, None])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("more", [False, True], ids=["plain", "drop and shift"])
def test_read_out_is_the_reference_bit_for_bit(shape, axis, layout, half, add, more):
    planar, generator = layout == "to contiguous", torch.Generator().manual_seed(2)
    where = "contiguous" if layout == "contiguous" else "channels_last"
    y, total = _tensor(shape, where), _tensor(shape, "contiguous" if planar else where, 1) if add else None
    arguments = {"axis": axis, "bound": torch.tensor(1.3), "half_steps": half, "planar": planar}
    if more:
        drop = Drop(_tensor(shape, where, 3).abs(), _tensor(shape, where, 4), 0.7)
        arguments |= {"drop": drop, "shift": torch.randn(shape[axis], generator=generator)}
    factor = 0.1 + torch.rand(shape[axis], generator=generator)
    expected = reference.read_out(y, factor, total=total, **arguments)
    with torch.no_grad():
        found = read_out(y.clone(), factor, total=None if total is None else total.clone(), **arguments)
        out = torch.empty_like(expected)
        to_out = read_out(y.clone(), factor, out=out, **arguments)
    assert torch.equal(found, expected) and found.stride() == expected.stride()
    if not add:
        assert to_out is out and torch.equal(out, expected)


@fast
def test_not_a_number_stays_one():
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0])
    assert torch.equal(quantise(x, 1.0, 127.0).isnan(), x.isnan())
    assert torch.equal(quantise(x, 1.0, 127.0)[1:], reference.quantise(x, 1.0, 127.0)[1:])


@fast
def test_noise_has_its_moments_tails_and_shape():
    n = 4_000_000
    z = cpu.normals(n, key=123).double()
    moments = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96), 6: (15, 10170)}
    for power, (mean, variance) in moments.items():
        assert abs(float((z**power).mean()) - mean) < 4.5 * math.sqrt(variance / n), f"moment {power}"
    for limit in (2.0, 3.0, 4.0, 4.75):
        expected = 2 * n * stats.norm.sf(limit)
        assert abs(int((z.abs() > limit).sum()) - expected) < 4.5 * math.sqrt(expected)
    assert stats.kstest(z[:500_000].numpy(), "norm").pvalue > 1e-3
    assert 5 < float(z.abs().max()) < 7


@fast
@pytest.mark.parametrize("lag", [1, 2, 15, 16, 17, 32, 8192])
def test_neighbouring_numbers_are_uncorrelated(lag):
    z = cpu.normals(2_000_000, key=5).double()
    for a, b in ((z, z), (z.abs(), z.abs()), (z**2, z)):
        a, b = a - a.mean(), b - b.mean()
        r = float((a[:-lag] * b[lag:]).mean() / (a.std() * b.std()))
        assert abs(r) < 4.5 / math.sqrt(len(z))


@fast
def test_neighbouring_addresses_are_uncorrelated():
    z = torch.stack([cpu.normals(200_000, key=k) for k in (0, 1, 2, 3, 2**40, 2**61)])
    r = torch.corrcoef(z) - torch.eye(len(z))
    assert float(r.abs().max()) < 4.5 / math.sqrt(200_000)


@fast
def test_bits_are_even():
    kernels, chunk = library(), library().mho_chunk()
    words = np.empty(64 * chunk, dtype=np.uint32)
    kernels.mho_words(words.ctypes.data, 7, 0, 64)
    ones = np.unpackbits(words.view(np.uint8)).reshape(len(words), 32).mean(axis=0)
    assert np.abs(ones - 0.5).max() < 5 * 0.5 / math.sqrt(len(words))
    counts = np.bincount(words >> 24, minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-4


@fast
def test_noise_does_not_depend_on_the_layout():
    """Images in rows and contiguous images get the same numbers."""
    y = _tensor((3, 24, 10, 7), "channels_last")
    with torch.no_grad():
        found = []
        for planar in (False, True):
            with reads("layout"):
                found.append(read_out(y.clone(), torch.ones(24), axis=-3, variance=1.0, planar=planar))
    assert torch.equal(*found) and found[1].is_contiguous() and not torch.equal(found[0], y)


@fast
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_noise_does_not_depend_on_the_number_of_threads(spread, layout):
    y = _tensor((8, 16, 40, 40), layout)
    part = y.abs() if spread else None
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        with reads("threads"), torch.no_grad():
            found.append(
                read_out(y.clone(), torch.ones(16), axis=-3, bound=4.0, half_steps=127.0, variance=0.01, spread=part)
            )
    torch.set_num_threads(1)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@fast
@pytest.mark.parametrize("spread", [False, True])
def test_fast_and_reference_noise_have_one_distribution(spread):
    y = torch.zeros(400, 500)
    part = torch.full_like(y, 0.05) if spread else None
    torch.manual_seed(0)
    arguments = {"bound": 5.0, "variance": 0.04, "spread": part}
    with torch.no_grad():
        a = read_out(y.clone(), torch.full((500,), 2.0), **arguments)
    b = reference.read_out(y, torch.full((500,), 2.0), **arguments)
    sigma = 2 * math.sqrt(0.04 + (0.05 if spread else 0))
    for sample in (a, b):
        assert float(sample.std()) == pytest.approx(sigma, rel=1e-2)
    assert stats.ks_2samp(a.flatten().numpy(), b.flatten().numpy()).pvalue > 1e-3


def test_gradients_take_the_reference_path():
    y = torch.randn(4, 5, requires_grad=True)
    out = read_out(y * 1.0, torch.full((5,), 3.0), half_steps=127.0)
    out.sum().backward()
    inside = y.detach().abs() <= 1
    torch.testing.assert_close(y.grad, 3.0 * inside.float())


@fast
def test_loading_leaves_denormals_alone():
    """-ffast-math in a shared library would switch the whole process to flush-to-zero."""
    assert library() is not None
    assert float(torch.tensor(1e-40) * 1.0) > 0 and np.float32(1e-40) * np.float32(1) > 0
