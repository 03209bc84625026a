"""The kernels work in torch's own threads: the same numbers whatever their number, and nothing hangs."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import mho
from mho.kernels import (
    active,
    cpu,
    decode,
    pool,
    quantise,
    quantise_back,
    read_out,
    read_out_back,
    read_out_kept,
    reference,
)
from mho.kernels.cpu_library import library
from mho.kernels.pool import functions, lent
from mho.rng import reads

compiled = pytest.mark.skipif(library() is None, reason="no C++ compiler here: the fast CPU kernels are not built")
threaded = pytest.mark.skipif(functions()[2] is None, reason="torch has no OpenMP runtime here")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
pytestmark = compiled


@pytest.fixture(autouse=True)
def _one_thread():
    yield
    torch.set_num_threads(1)


def _images(shape, layout, seed):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return x if layout == "contiguous" else x.contiguous(memory_format=torch.channels_last)


def _all_passes(shape, axis, layout, planar):
    x, g = _images(shape, layout, 0), _images(shape, layout, 1)
    gain, shift = torch.rand(shape[axis], generator=torch.Generator().manual_seed(2)), torch.ones(shape[axis])
    arguments = {"axis": axis, "bound": 0.9, "half_steps": 127.0, "variance": 0.02, "shift": shift, "planar": planar}
    found = [quantise(x, torch.tensor(1.3), 127.0, axis), quantise(x[:, ::2], 1.3, 7.0, -1)]
    found.append(quantise_back(found[0].clone(), x, 1.3, 127.0, axis))
    found.append(cpu.normals(100_000, 5))
    with reads("threads"), torch.no_grad():
        found.append(read_out(x.clone(), gain, **arguments))
        found.append(read_out(x.clone(), gain, total=found[-1].clone(), spread=g.abs(), **arguments))
        y, kept = read_out_kept(x.clone(), gain, codes=True, **arguments)
    found += [y, read_out_back(g, gain, kept).clone(), decode(kept, gain * (0.9 / 127), shift)]
    return found


IMAGES = [(8, 16, 40, 40), (1, 24, 70, 90), (3, 5, 101, 97)]
LAYOUTS = [("contiguous", False), ("channels_last", False), ("channels_last", True)]
CASES = [*((shape, -3, *layout) for shape in IMAGES for layout in LAYOUTS), ((300, 333), -1, "contiguous", False)]


@pytest.mark.parametrize(("shape", "axis", "layout", "planar"), CASES)
def test_answers_do_not_depend_on_the_number_of_threads(shape, axis, layout, planar):
    alone = _all_passes(shape, axis, layout, planar)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        for i, (one, several) in enumerate(zip(alone, _all_passes(shape, axis, layout, planar), strict=True)):
            assert torch.equal(one, several), f"pass {i} on {threads} threads"


@threaded
def test_without_a_pool_the_answers_are_the_same():
    torch.set_num_threads(3)
    expected = _all_passes(*CASES[0])
    lent().mho_pool(None, None, None, None)
    try:
        found = _all_passes(*CASES[0])
    finally:
        lent().mho_pool(*functions())
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@threaded
def test_active_says_where_there_are_no_threads(monkeypatch):
    assert "one thread" not in active()
    monkeypatch.setattr(pool, "functions", lambda: (None,) * 4)
    assert "on one thread: torch has no OpenMP runtime" in active()


def _run(script: str) -> str:
    """What a process of its own prints; one that hangs fails."""
    script = "import os, signal, torch\nfrom mho.kernels import cpu, quantise\n" + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@linux
@threaded
def test_the_threads_are_torchs_own():
    """None more than torch has with as many, and no second runtime."""
    found = _run("""
        torch.set_num_threads(3)
        threads = lambda: len(os.listdir("/proc/self/task"))
        runtimes = lambda: {line.split()[-1] for line in open("/proc/self/maps") if "omp" in line and ".so" in line}
        cpu.normals(100, 1)
        before, loaded = threads(), runtimes()
        cpu.normals(1_000_000, 1)
        between = threads()
        torch.ones(3_000_000).add_(1)
        print(between - before, threads() - between, runtimes() == loaded)
    """)
    assert found == "2 0 True"


@linux
def test_a_fork_of_a_process_that_used_the_threads_works():
    """GNU's runtime waits in a child for threads that only the parent has."""
    found = _run("""
        torch.set_num_threads(2)
        expected = cpu.normals(1_000_000, 3)
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            same = (cpu.normals(1_000_000, 3).numpy() == expected.numpy()).all()
            os._exit(0 if same else 1)
        again = cpu.normals(1_000_000, 3)
        print(os.waitpid(child, 0)[1], torch.equal(again, expected))
    """)
    assert found == "0 True"


@linux
def test_a_fork_of_a_process_whose_threads_torch_alone_used_works():
    """The child is the first that runs a kernel."""
    found = _run("""
        torch.set_num_threads(2)
        x = torch.randn(1000, 1000)
        x.exp(); x @ x.T
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            cpu.normals(1_000_000, 3)
            os._exit(0)
        print(os.waitpid(child, 0)[1])
    """)
    assert found == "0"


class _Read(torch.utils.data.Dataset):
    """Images as a chip's first layer answers them."""

    def __init__(self, layer, x):
        self.layer, self.x = layer, x

    def __len__(self):
        return len(self.x)

    @torch.no_grad()
    def __getitem__(self, i):
        return self.layer(self.x[i][None])[0]


@linux
def test_workers_of_a_loader_read_chips():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1)), torch.randn(3, 3, 64, 64)
    hw = mho.Hardware.of("pcm").replace(noise__output=0.0, adc__range="fixed")
    chip = mho.program(mho.calibrate(mho.to_analog(model, hw), [x])).at("1 day")
    torch.set_num_threads(2)
    with torch.no_grad():
        expected = chip(x)
    loader = DataLoader(_Read(chip, x), batch_size=3, num_workers=1, multiprocessing_context="fork", timeout=100)
    torch.testing.assert_close(next(iter(loader)), expected, rtol=0, atol=1e-5)


def test_several_of_pythons_threads_at_once():
    torch.set_num_threads(2)
    x = torch.randn(40, 3, 64, 64)
    expected = quantise(x, 1.3, 127.0, -3)

    def work(i):
        for _ in range(20):
            same = torch.equal(quantise(x, 1.3, 127.0, -3, passing=True), expected)
            if not same or not torch.equal(cpu.normals(70_000, i), normal[i]):
                return False
        return True

    normal = [cpu.normals(70_000, i) for i in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, range(4)))


@linux  # where arguments in variable number are passed as others are
@pytest.mark.parametrize(("asked", "team"), [(2, 5), (3, 3), (7, 2)])
def test_no_more_threads_work_than_are_asked_for(asked, team):
    """LLVM's runtime makes its teams as large as it likes. Here one of its kind works its threads off, one after the other."""
    who, done, out = [0], [], torch.full((40_000,), torch.nan)
    pointer = ctypes.c_void_p
    number, size = (ctypes.CFUNCTYPE(ctypes.c_int)(f) for f in (lambda: who[0], lambda: team))

    @ctypes.CFUNCTYPE(None, pointer, ctypes.c_int, pointer, pointer)
    def fork_call(_location, _count, work, task):
        for who[0] in range(team):
            ctypes.CFUNCTYPE(None, pointer, pointer, pointer)(work)(None, None, task)
            done.append(int(out.isfinite().sum()))

    lent().mho_pool(None, *(ctypes.cast(f, pointer) for f in (fork_call, number, size)))
    try:
        lent().mho_normals(out.data_ptr(), len(out), 9, asked)
    finally:
        lent().mho_pool(*functions())
    assert torch.equal(out, cpu.normals(len(out), 9))
    assert [b > a for a, b in zip([0, *done], done, strict=False)] == [i < asked for i in range(team)]


@threaded
def test_calls_from_within_a_team_of_threads():
    """What torch's own operators would be, if they called back."""
    parallel = functions()[0]
    if parallel is None:
        pytest.skip("LLVM's runtime, which is entered otherwise")
    expected, found = cpu.normals(200_000, 9), []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def work(_):
        torch.set_num_threads(2)
        found.append(cpu.normals(200_000, 9))

    enter = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)(parallel)
    enter(ctypes.cast(work, ctypes.c_void_p), None, 3, 0)
    assert len(found) == 3 and all(torch.equal(f, expected) for f in found)


def test_memory_that_is_kept_is_float32_on_the_cpu_whatever_the_default():
    x = torch.randn(5, 3, 16, 16)
    expected = quantise(x, 1.3, 127.0, -3)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = quantise(x, 1.3, 127.0, -3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_kept_memory_serves_inference_and_training_in_turn():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3)), torch.randn(5, 3, 8, 8)
    hw = mho.Hardware.of("pcm").replace(noise__output=0.0, adc__range="fixed")
    net = mho.calibrate(mho.to_analog(model, hw), [x])
    with torch.inference_mode():
        before = net(x)
    net(x).square().sum().backward()
    grads = [parameter.grad.clone() for parameter in net.parameters()]
    with torch.inference_mode():
        assert torch.equal(net(x), before)
    net.zero_grad()
    net(x).square().sum().backward()
    assert all(torch.equal(p.grad, g) and g.abs().sum() > 0 for p, g in zip(net.parameters(), grads, strict=True))


def test_kept_memory_grows_with_what_it_is_asked_for():
    for shape in ((2, 3), (4, 500), (2, 3), (300, 300), (4, 500)):
        x = torch.randn(shape)
        assert torch.equal(quantise(x, 1.3, 127.0, passing=True), quantise(x, 1.3, 127.0))


@pytest.mark.parametrize("reach", [0.7, torch.tensor(0.7), torch.tensor([0.7])])
def test_a_read_out_is_in_units_of_the_inputs_range(reach):
    y, gain, add = torch.randn(50, 12), torch.rand(24)[::2], torch.randn(50, 12)
    arguments = {"bound": 1.1, "half_steps": 127.0, "shift": torch.randn(24)[::2]}
    expected = reference.read_out(y, gain * reach, total=add, **arguments)
    assert torch.equal(read_out(y.clone(), gain, total=add.clone(), reach=reach, **arguments), expected)
    assert torch.equal(read_out_kept(y.clone(), gain, total=add.clone(), reach=reach, **arguments)[0], expected)
