"""The fast CPU kernels: `cpu.cpp`, compiled once at first use and kept in the user's cache.

Without a compiler, or when anything goes wrong, one line is logged and the reference kernels run. Work is split over
threads by chunks of a fixed length whose random numbers have addresses of their own, so results do not depend on the
number of threads. The threads are Python's (the calls release the interpreter's lock): a second OpenMP pool beside
torch's could hang or fight over the cores.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

_FLAGS = (
    "-O3", "-march=native", "-mprefer-vector-width=512", "-std=c++17", "-fno-math-errno", "-fno-trapping-math",
    "-ffp-contract=off", "-shared", "-fPIC",
)  # fmt: skip
_SMALL = 65_536
"""Fewest numbers that are worth a second thread."""
_log = logging.getLogger("mho")

_i64, _u64, _f32, _ptr = ctypes.c_int64, ctypes.c_uint64, ctypes.c_float, ctypes.c_void_p


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where they cannot be had or ``MHO_KERNELS=reference`` asks for the plain ones."""
    if os.environ.get("MHO_KERNELS", "") == "reference":
        return None
    try:
        found = ctypes.CDLL(str(_compiled()))
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        _log.info("fast CPU kernels are not available (%s); the reference kernels run", error)
        return None
    found.mho_chunk.restype = _i64
    found.mho_normals.argtypes = [_ptr, _i64, _u64, _i64, _i64]
    found.mho_words.argtypes = [_ptr, _u64, _i64, _i64]
    found.mho_quantise.argtypes = [_ptr, _ptr, _i64, _f32, _f32, _f32, _i64, _i64]
    found.mho_read_out.argtypes = [
        _ptr,
        _ptr,
        _ptr,
        _i64,
        _i64,
        _i64,
        _f32,
        _f32,
        _f32,
        _ptr,
        ctypes.c_int,
        _u64,
        _i64,
        _i64,
    ]
    for function in (found.mho_normals, found.mho_words, found.mho_quantise, found.mho_read_out):
        function.restype = None
    return found


def _compiled() -> Path:
    """Path of the library in the cache, compiled if it is not there; its name says source, flags and processor."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise RuntimeError("no C++ compiler")
    source = files("mho.kernels").joinpath("cpu.cpp").read_text(encoding="utf-8")
    identity = "\n".join([source, " ".join(_FLAGS), compiler, platform.machine(), _processor()])
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mho"
    target = folder / f"kernels-{name}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        (Path(place) / "cpu.cpp").write_text(source, encoding="utf-8")
        built = Path(place) / "kernels.so"
        command = [compiler, *_FLAGS, "-o", str(built), str(Path(place) / "cpu.cpp")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{compiler} failed: {done.stderr.strip().splitlines()[-1:]}")
        built.replace(target)
    return target


def _processor() -> str:
    """Instruction sets of this processor: a cache may be shared by machines that differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def suits(*tensors: Tensor | None) -> bool:
    """True when the fast kernels can take these tensors: dense float32 on the CPU, nothing traced or differentiated."""
    if torch.compiler.is_compiling():
        return False
    for x in tensors:
        if x is None:
            continue
        if type(x) not in (Tensor, torch.nn.Parameter) or x.dtype != torch.float32 or x.device.type != "cpu":
            return False
        if (torch.is_grad_enabled() and x.requires_grad) or torch._C._functorch.is_batchedtensor(x):
            return False
    return library() is not None


def is_dense(x: Tensor) -> bool:
    """True for a tensor that fills its memory, contiguous or channels_last."""
    return x.is_contiguous() or (x.dim() > 2 and x.movedim(1, -1).is_contiguous())


def quantise(x: Tensor, reach: float, half_steps: float) -> Tensor:
    """As `mho.kernels.quantise`; `x` dense."""
    found = library()
    assert found is not None
    out, n = torch.empty_like(x), x.numel()
    # Scale and unit are rounded to float32 where torch rounds them, so that results agree bit for bit.
    scale = float(torch.tensor(half_steps) / torch.tensor(reach))
    unit = 1 / half_steps
    _split(lambda a, b: found.mho_quantise(x.data_ptr(), out.data_ptr(), n, scale, half_steps, unit, a, b), n)
    return out


def read_out(
    y: Tensor, spread: Tensor | None, variance: float, scale: float, half_steps: float | None, factor: Tensor,
    axis: int, total: Tensor | None, key: int,
) -> Tensor:  # fmt: skip
    """As `mho.kernels.read_out`; writes into `y`, or adds to `total`, both dense with one layout."""
    found = library()
    assert found is not None
    n, columns = y.numel(), y.shape[axis]
    inner = 1 if y.movedim(axis, -1).is_contiguous() else y[(0,) * (y.dim() + axis)].numel() // columns
    out = y if total is None else total
    pointer = None if spread is None else spread.data_ptr()
    _split(
        lambda a, b: found.mho_read_out(
            y.data_ptr(), pointer, out.data_ptr(), n, columns, inner, variance, scale, half_steps or 0.0,
            factor.data_ptr(), int(total is not None), key, a, b,
        ),
        n,
    )  # fmt: skip
    return out


def normals(n: int, key: int) -> Tensor:
    """`n` standard normal numbers of an address."""
    found = library()
    assert found is not None
    out = torch.empty(n)
    _split(lambda a, b: found.mho_normals(out.data_ptr(), n, key, a, b), n)
    return out


def _split(work: Callable[[int, int], None], n: int) -> None:
    """Call `work` on ranges of chunks that cover n numbers, on as many threads as torch has."""
    found = library()
    assert found is not None
    chunks = -(-n // found.mho_chunk())
    threads = min(torch.get_num_threads(), chunks) if n >= _SMALL else 1
    if threads == 1:
        work(0, chunks)
        return
    edges = [chunks * i // threads for i in range(threads + 1)]
    jobs = [_pool(threads - 1).submit(work, a, b) for a, b in pairwise(edges[1:])]
    work(edges[0], edges[1])
    for job in jobs:
        job.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="mho-kernels")
