"""The Triton kernels against the reference: in Triton's interpreter, or on the CUDA device where there is one.

`test_triton.py` runs this file in a process of its own: the interpreter has to be chosen before anything loads triton.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from scipy import stats

from mho.kernels import Drop, gpu, reference

if find_spec("triton") is None:
    pytest.skip("triton is not installed (pip install 'mho[gpu]'): its kernels do not run", allow_module_level=True)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTERPRET = "0" if torch.cuda.is_available() else "1"
with pytest.MonkeyPatch.context() as environment:  # triton reads it when kernels are defined
    environment.setenv("TRITON_INTERPRET", INTERPRET)
    import mho.kernels.triton  # noqa: F401

SHAPES = [((7,), -1), ((5, 33), -1), ((4, 6, 9, 11), -3), ((3, 2000), -1), ((2, 1, 3, 3), -3), ((0, 4), -1)]
shapes = pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
layouts = pytest.mark.parametrize("layout", ["contiguous", "channels_last"])


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", INTERPRET)


def _tensor(shape, layout="contiguous", seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)
    return x.to(memory_format=torch.channels_last) if layout == "channels_last" and x.dim() == 4 else x


def _positive(n, seed):
    return (0.1 + torch.rand(n, generator=torch.Generator().manual_seed(seed))).to(DEVICE)


def _normals(n, key, monkeypatch, block=1 << 16):
    monkeypatch.setattr(gpu, "_BLOCK", block)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor(key))
    return gpu.read_out(torch.zeros(n, 1, device=DEVICE), torch.ones(1, device=DEVICE), variance=1.0)[:, 0]


@shapes
@layouts
@pytest.mark.parametrize("half", [127.0, 7.0, 2.5])
def test_quantise_is_the_reference_bit_for_bit(shape, axis, layout, half):
    x = _tensor(shape, layout)
    for reach in (torch.tensor(1.7, device=DEVICE), 0.3, torch.tensor([3.3e-3], device=DEVICE)):
        found, expected = gpu.quantise(x, reach, half), reference.quantise(x, reach, half)
        assert torch.equal(found, expected) and found.stride() == expected.stride()


SLICES = {
    "columns": lambda x: x.flatten(1)[:, 5:50],
    "rows": lambda x: x.flatten(1)[1:3],
    "channels": lambda x: x[:, 2:5],
    "every other": lambda x: x[:, ::2],
    "turned": lambda x: x[:, 1:].transpose(1, 2),
    "window": lambda x: x[:, 1:, 2:7, 3:9],
    "repeated": lambda x: x[:1].expand(5, -1, -1, -1),
}


@layouts
@pytest.mark.parametrize("piece", SLICES)
def test_pieces_of_tensors_are_read_where_they_lie(layout, piece):
    x, reach = SLICES[piece](_tensor((4, 6, 9, 11), layout)), torch.tensor(0.8, device=DEVICE)
    assert torch.equal(gpu.quantise(x, reach, 127.0), reference.quantise(x, reach, 127.0))
    g = torch.randn(x.shape, device=DEVICE)
    assert torch.equal(gpu.quantise_back(g, x, reach, 127.0), reference.quantise_back(g, x, reach, 127.0))
    factor = _positive(x.shape[1], 1)
    args = {"axis": 1 - x.dim(), "half_steps": 127.0}
    expected = reference.read_out(x, factor, **args)
    assert torch.equal(gpu.read_out(x.clone(), factor, **args), expected)
    assert torch.equal(gpu.read_out(x, factor, **args), expected)


def test_special_values_and_ties():
    special = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-40, -0.3, 3e9, -3e9, 4194303.5, 8388609.0]
    x = torch.tensor([*special, *(k / 2 for k in range(-9, 10))], device=DEVICE)
    for half in (2.0, 2.5, 4194304.0, 1e9):
        found, expected = gpu.quantise(x, half, half), reference.quantise(x, half, half)
        assert torch.equal(found.nan_to_num(9.0), expected.nan_to_num(9.0))


@layouts
@pytest.mark.parametrize("half", [127.0, 2.5])
def test_quantise_back_is_the_gradient_of_the_reference(layout, half):
    x = _tensor((4, 6, 9, 11), layout).requires_grad_()
    for reach in (torch.tensor(1.1, device=DEVICE), 0.6):
        for g in (_tensor(x.shape, "contiguous", 1), _tensor(x.shape, "channels_last", 1)):
            (expected,) = torch.autograd.grad(reference.quantise(x, reach, half), x, g)
            found = gpu.quantise_back(g, x.detach(), reach, half)
            assert torch.equal(found, reference.quantise_back(g, x.detach(), reach, half))
            torch.testing.assert_close(found, expected, rtol=3e-7, atol=0)
            assert found.stride() == x.stride()


@shapes
@layouts
@pytest.mark.parametrize("half", [127.0, 7.0, 2.5, None])
def test_read_out_is_the_reference_bit_for_bit(shape, axis, layout, half):
    factor, shift = _positive(shape[axis], 1), _tensor((shape[axis],), seed=2)
    drop = Drop(_tensor(shape, layout, 3).abs(), _tensor(shape, "contiguous", 4), 0.7)
    total = _tensor(shape, "contiguous", 5)
    for i, bound in enumerate((torch.tensor(1.3, device=DEVICE), 0.9) * 4):
        extras = {
            "drop": drop if i & 1 else None, "total": total.clone() if i & 2 else None, "shift": shift if i & 4 else None
        }  # fmt: skip
        for planar in {False, layout == "channels_last"}:
            y = _tensor(shape, layout)
            args = {"axis": axis, "bound": bound, "half_steps": half, "planar": planar, **extras}
            expected = reference.read_out(y.clone(), factor, **args)
            found = gpu.read_out(y, factor, **{**args, "total": total.clone() if i & 2 else None})
            assert torch.equal(found, expected)
            assert not planar or found.is_contiguous()


@layouts
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(layout, dtype):
    shape, axis = (4, 6, 9, 11), -3
    x, factor, bound = _tensor(shape, layout).to(dtype), _positive(6, 1), torch.tensor(1.3, device=DEVICE)
    found = gpu.quantise(x, bound.to(dtype), 127.0)
    expected = reference.quantise(x.float(), bound.to(dtype).float(), 127.0)
    unit = torch.finfo(dtype).eps  # the interpreter cuts off where a GPU rounds
    torch.testing.assert_close(found, expected.to(dtype), rtol=unit, atol=0)
    args = {"axis": axis, "half_steps": 127.0}
    wide = gpu.read_out(x.clone(), factor, bound=bound, **args)
    assert torch.equal(wide, reference.read_out(x.float(), factor, bound=bound, **args))
    assert wide.dtype == torch.float32 == reference.read_out(x, factor, bound=bound, **args).dtype
    narrow = gpu.read_out(x.clone(), factor.to(dtype), bound=1.3, **args)
    assert narrow.dtype == dtype
    expected = reference.read_out(x.float(), (factor.to(dtype) * (1.3 / 127)).float(), half_steps=127.0, axis=axis,
                                  bound=1.3) / (1.3 / 127)  # fmt: skip
    torch.testing.assert_close(narrow.float(), expected, rtol=2 * unit, atol=0)


@layouts
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("half", [127.0, 7.0, None])
def test_the_way_back_is_the_gradient_of_the_reference(layout, planar, half):
    shape, axis = (4, 6, 9, 11), -3
    y, factor, shift = _tensor(shape, layout), _positive(6, 1), _tensor((6,), seed=2)
    bound, codes = torch.tensor(1.1, device=DEVICE), half is not None
    args = {"axis": axis, "bound": bound, "half_steps": half, "shift": shift, "planar": planar}
    leaf = y.clone().requires_grad_()
    expected = reference.read_out(leaf, factor, **args)
    found, kept = gpu.read_out_kept(y.clone(), factor, codes=codes, **args)
    assert torch.equal(found, expected)
    for g in (_tensor(shape, "contiguous", 3), _tensor(shape, "channels_last", 3)):
        (gradient,) = torch.autograd.grad(expected, leaf, g, retain_graph=True)
        back = gpu.read_out_back(g, factor, kept)
        torch.testing.assert_close(back, gradient, rtol=3e-7, atol=0)
        assert back.stride() == y.stride()
    if codes:
        again = gpu.decode(kept, factor * (bound / half), shift)
        assert torch.equal(again, found) and again.stride() == found.stride()
        assert kept.mask.nbytes == -(-y.numel() // 8) and kept.codes.nbytes == y.numel()
        assert 0.5 < float((back != 0).float().mean()) < 0.95


def test_noise_has_its_moments_tails_and_shape(monkeypatch):
    n = 1_000_000
    z = _normals(n, 123, monkeypatch).double().cpu()
    for power, (mean, variance) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96), 6: (15, 10170)}.items():
        assert abs(float((z**power).mean()) - mean) < 4.5 * math.sqrt(variance / n), f"moment {power}"
    for limit in (2.0, 3.0, 4.0, 4.75):
        expected = 2 * n * stats.norm.sf(limit)
        assert abs(int((z.abs() > limit).sum()) - expected) < 4.5 * math.sqrt(expected)
    for part in (z[:400_000], z[::4][:100_000], z[1::4][:100_000], z[2::4][:100_000], z[3::4][:100_000]):
        assert stats.kstest(part.numpy(), "norm").pvalue > 1e-3
    for lag in (1, 2, 3, 4, 5, 8, 1024, 1 << 16):
        for a, b in ((z, z), (z.abs(), z.abs()), (z**2, z)):
            a, b = a - a.mean(), b - b.mean()
            assert abs(float((a[:-lag] * b[lag:]).mean() / (a.std() * b.std()))) < 4.5 / math.sqrt(n), f"lag {lag}"


def test_neighbouring_keys_are_uncorrelated(monkeypatch):
    n = 100_000
    z = torch.stack([_normals(n, key, monkeypatch) for key in (0, 1, 2, 3, 2**40, 2**61)])
    assert float((torch.corrcoef(z) - torch.eye(len(z), device=DEVICE)).abs().max()) < 4.5 / math.sqrt(n)


def test_noise_depends_on_key_and_place_alone(monkeypatch):
    first = _normals(5000, 77, monkeypatch, block=1024)
    assert torch.equal(first, _normals(5000, 77, monkeypatch, block=256))
    assert torch.equal(first[:777], _normals(777, 77, monkeypatch, block=4096))


@layouts
@pytest.mark.parametrize("spread", [False, True])
def test_noise_comes_from_the_default_generator_whatever_the_block(layout, spread, monkeypatch):
    y = _tensor((4, 6, 9, 11), layout)
    part = _tensor(y.shape, layout, 1) if spread else None
    factor = torch.ones(6, device=DEVICE)
    found = []
    for block in (1024, 256, 1024):
        monkeypatch.setattr(gpu, "_BLOCK", block)
        torch.manual_seed(len(found) // 2)
        found.append(gpu.read_out(y.clone(), factor, axis=-3, variance=0.01, spread=part))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    sigma = (0.01 + (part.clamp(min=0) if spread else torch.zeros_like(y))).sqrt()
    z = ((found[0] - y) / sigma).flatten().cpu().numpy()
    assert stats.kstest(z, "norm").pvalue > 1e-3


def test_division_by_multiplication_is_exact():
    i = torch.randint(0, 2**31 - 1, (2000,), generator=torch.Generator().manual_seed(0)).tolist()
    for d in (1, 2, 3, 5, 7, 11, 64, 99, 641, 1000, 65537, 2**30 - 1, 2**30 + 1, 2**31 - 2, 2**31 - 1):
        factor, shift = gpu.divisor(d)
        assert -(2**31) <= factor < 2**31 and 0 <= shift < 32
        near = [min(max(k * d + e, 0), 2**31 - 1) for k in (1, 2, 9, (2**31 - 1) // d) for e in (-1, 0, 1)]
        assert all((((n * (factor % 2**32)) >> 32) + n) >> shift == n // d for n in [*i, *near])


def test_tensors_on_the_cpu_are_not_for_these_kernels():
    assert not gpu.suits(torch.ones(3)) and not gpu.suits(None)


COMPILE = """
import sys
import mho.kernels.gpu as gpu
gpu.suits(__import__("torch").ones(2))
assert "triton" not in sys.modules
import re, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import mho.kernels.triton as kernels
FLAGS, FLOATS = ("RUNS", "HELD", "NOISY", "CONVERTS"), ("half", "unit", "noise", "drop", "scale", "slope")
POINTERS = ("x", "g", "y", "out", "total", "spread", "a", "placed", "factor", "shift")
KINDS = {"key": "i64", "mask": "*u8", "codes": "*i8", **dict.fromkeys(FLOATS, "fp32"), **dict.fromkeys(POINTERS, "*fp32")}
def compiled(name, held=True, **wrong):
    kernel = getattr(kernels, name)
    signature = {a: KINDS.get(a, "i32") for a in kernel.arg_names} | ({"scale": "*fp32", "slope": "*fp32"} if held else {})
    signature = {a: kind for a, kind in signature.items() if a in kernel.arg_names}
    values = {a: True for a in FLAGS if a in signature} | {"HELD": held, "BLOCK": 1024} | wrong
    values = {a: value for a, value in values.items() if a in signature}
    signature |= dict.fromkeys(values, "constexpr")
    sure = [a for a, kind in signature.items() if kind[0] == "*" or a == "n"]
    attrs = {(kernel.arg_names.index(a),): [["tt.divisibility", 16]] for a in sure}
    source = ASTSource(kernel, signature=signature, constexprs=values, attrs=attrs)
    return triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"enable_fp_fusion": False}).asm["ptx"]
nothing = dict.fromkeys(("total", "spread", "a", "placed", "shift", "mask", "codes"))
for ptx in (compiled("quantise", RUNS=False), compiled("quantise_back"), compiled("read_out", **nothing),
            compiled("read_out"), compiled("read_out", held=False, CONVERTS=False, mask=None, codes=None),
            compiled("read_out", NOISY=False, **nothing), compiled("read_out_back"), compiled("decode")):
    assert "st.global.v4.b32" in ptx and ".local" not in ptx
print("compiled")
"""


def test_the_kernels_compile_for_a_gpu_that_is_not_there(tmp_path):
    """The interpreter runs Python that Triton's compiler does not know; wide stores and no spills are asked for, too."""
    script = tmp_path / "compile_kernels.py"
    script.write_text(COMPILE)
    env = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "compiled" in done.stdout, done.stderr[-3000:]
