"""Threads for the C++ kernels: those of the OpenMP runtime that torch has loaded and works with itself.

A second pool beside torch's would fight with it over the cores. Runtimes of two kinds are known, by the functions that
compilers call: GNU's (also offered by LLVM's on Linux) and LLVM's.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

import torch

from mho.kernels.cpu_library import library

_NONE = (None, None, None, None)
_forked = False


@cache
def lent() -> ctypes.CDLL:
    """The compiled kernels, which there must be, with torch's threads where they can be had; else they run on the caller's."""
    found = library()
    assert found is not None
    found.mho_pool(*(_NONE if _forked else functions()))
    return found


def _in_child() -> None:
    """A forked process has none of its parent's threads, and GNU's runtime waits for them, whoever used them first."""
    global _forked
    _forked = True
    if lent.cache_info().currsize:
        lent().mho_pool(*_NONE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


@cache
def functions() -> tuple[int | None, int | None, int | None, int | None]:
    """Addresses of what `mho_pool` takes; all None where torch has no OpenMP runtime."""
    try:
        torchs = ctypes.CDLL(torch._C.__file__)  # symbols are looked for in what it was linked with, too
    except OSError:  # torch was not loaded from a file of its own
        return _NONE
    gomp, kmpc = _address(torchs, "GOMP_parallel"), _address(torchs, "__kmpc_fork_call")
    number, size = _address(torchs, "omp_get_thread_num"), _address(torchs, "omp_get_num_threads")
    if number is None or size is None or (gomp is None and kmpc is None):
        return _NONE
    return gomp, None if gomp else kmpc, number, size


def _address(where: ctypes.CDLL, name: str) -> int | None:
    try:
        return ctypes.cast(getattr(where, name), ctypes.c_void_p).value
    except AttributeError:
        return None
