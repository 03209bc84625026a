"""The C++ kernels as a library: compiled once at first use and kept in the user's cache.

Without a compiler, or when anything goes wrong, one line is logged and the reference kernels run.
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
from functools import cache
from importlib.resources import files
from pathlib import Path

_FLAGS = (
    "-O3", "-march=native", "-mprefer-vector-width=512", "-std=c++17", "-fno-math-errno", "-fno-trapping-math",
    "-ffp-contract=off", "-shared", "-fPIC",
)  # fmt: skip
_log = logging.getLogger("mho")

_i64, _u64, _f32, _int, _ptr = ctypes.c_int64, ctypes.c_uint64, ctypes.c_float, ctypes.c_int, ctypes.c_void_p
_ARGUMENTS = {
    "mho_chunk": [],
    "mho_normals": [_ptr, _i64, _u64, _i64, _i64],
    "mho_words": [_ptr, _u64, _i64, _i64],
    "mho_quantise": [_ptr] * 2 + [_f32] * 3 + [_i64] * 2,
    "mho_quantise_strided": [_ptr, _i64, _ptr, _i64] + [_f32] * 3 + [_i64] * 2,
    "mho_quantise_rows": [_ptr, _i64, _ptr, _i64, _i64] + [_f32] * 3 + [_i64] * 2,
    "mho_quantise_back": [_ptr] * 3 + [_f32] * 3 + [_i64] * 2,
    "mho_quantise_rows_back": [_ptr] * 3 + [_i64] * 3 + [_f32] * 3 + [_i64] * 2,
    "mho_read_out": (
        [_ptr] * 5 + [_i64] * 3 + [_int] + [_f32] * 4 + [_ptr, _ptr, _int, _ptr, _ptr, _u64] + [_i64] * 2
    ),
    "mho_read_out_back": [_ptr, _ptr] + [_i64] * 3 + [_int, _ptr, _ptr] + [_i64] * 2,
    "mho_decode": [_ptr, _ptr] + [_i64] * 3 + [_int, _ptr, _ptr] + [_i64] * 2,
}  # fmt: skip


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
    for name, arguments in _ARGUMENTS.items():
        function = getattr(found, name)
        function.argtypes = arguments
        function.restype = _i64 if name in ("mho_chunk", "mho_read_out") else None
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
