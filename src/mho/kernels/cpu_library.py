"""The C++ kernels as a library: compiled once at first use, kept in the user's cache, loaded where it fits.

Where they cannot be had, one line is logged with the reason, and the reference kernels run.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from mho.errors import WrongSetting
from mho.kernels.build import CannotBuild, build, compiler, stamp, version
from mho.kernels.cache import folder, keep, kept

_log = logging.getLogger("mho")
_first = threading.Lock()

_i64, _u64, _f32, _int, _ptr = ctypes.c_int64, ctypes.c_uint64, ctypes.c_float, ctypes.c_int, ctypes.c_void_p
_lies = [_i64] * 4 + [_int]  # images, columns, pixels, length, layout: `cpu.Form`
_comes = [_int] + [_i64] * 4  # how, images, columns, pixels, stride: `cpu.Inputs`
_ARGUMENTS = {
    "mho_chunk": [],
    "mho_pool": [_ptr] * 4,
    "mho_normals": [_ptr, _i64, _u64, _int],
    "mho_words": [_ptr, _u64, _i64, _i64],
    "mho_quantise": [_ptr] * 2 + _comes + [_ptr, _f32, _f32, _int],
    "mho_quantise_vectors": [_ptr] * 3 + [_i64] * 3 + [_f32, _f32, _int],
    "mho_to_rows": [_ptr] * 2 + [_i64] * 4 + [_int],
    "mho_patch_ranges": [_ptr] * 2 + [_f32, _ptr, _int],
    "mho_patch_products": [_ptr] * 5 + [_i64, _f32, _int, _ptr, _int],
    "mho_patch_slices": [_ptr] * 3 + [_i64, _ptr, _ptr, _i64, _ptr, _f32, _f32, _ptr, _int, _u64, _ptr, _int],
    "mho_has_moments": [],
    "mho_moments": [_ptr] * 2 + [_f32] + [_ptr] * 6 + [_int],
    "mho_from_rows": [_ptr] * 2 + [_i64] * 3 + [_int],
    "mho_patch_weights_back": [_ptr] * 4 + [_f32, _int, _ptr, _int],
    "mho_patch_ranges_slope": [_ptr] * 6 + [_i64] * 3 + [_ptr, _int],
    "mho_patch_ranges_back": [_ptr] * 2 + [_f32] + [_ptr] * 3 + [_int],
    "mho_quantise_back": [_ptr] * 3 + _comes + [_ptr, _f32, _f32, _int],
    "mho_read_out": (
        [_ptr] * 5 + _lies + [_f32] * 3 + [_ptr] * 3 + [_f32] * 2
        + [_ptr, _ptr, _f32, _i64] + [_ptr, _int, _ptr, _ptr, _u64, _int]
    ),
    "mho_read_out_back": [_ptr] * 2 + _lies + [_ptr, _ptr, _int],
    "mho_decode": [_ptr] * 2 + _lies + [_ptr, _ptr, _int],
}  # fmt: skip
_RETURNS = {"mho_chunk": _i64, "mho_read_out": _i64, "mho_has_moments": _int}


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where they cannot be had or ``MHO_KERNELS=reference`` asks for the plain ones.

    Raises:
        WrongSetting: ``MHO_KERNELS`` says something else.
    """
    return _found()[0]


def state() -> str:
    """Which kernels run on the CPU, and why not the fast ones."""
    found, why = _found()
    return "fast CPU (compiled C++)" if found else f"reference (plain torch): {why}"


def origin() -> str | None:
    """Where the compiled kernels were loaded from, in words; None where they are not."""
    found, where = _found()
    return where if found else None


def _found() -> tuple[ctypes.CDLL | None, str]:
    with _first:  # threads that ask at once compile once
        return _search()


@cache
def _search() -> tuple[ctypes.CDLL | None, str]:
    """The library and where it lies, or None and why."""
    asked = os.environ.get("MHO_KERNELS", "")
    if asked == "reference":
        return None, "MHO_KERNELS=reference asks for them"
    if asked:
        raise WrongSetting(f"there are no kernels {asked!r}", "unset it, or say reference", path="MHO_KERNELS")
    made_of, words, reason = stamp(), None, ""
    try:
        words = compiler()
    except CannotBuild as error:
        reason = str(error)
    for path in kept(made_of, version(words) if words else None):
        try:
            return _load(path, made_of), str(path)
        except (OSError, AttributeError):  # of another system, which shares the cache; this one gets its own
            continue
    try:
        if words:
            return _compiled(words, made_of)
    except (CannotBuild, OSError) as error:
        reason = str(error)
    _log.warning(
        "the fast CPU kernels cannot be had (%s); the reference kernels in plain torch run, which take several times as long",
        reason,
    )
    return None, reason


def _compiled(words: list[str], made_of: str) -> tuple[ctypes.CDLL, str]:
    """Compile, load and keep; a cache that cannot be written to costs every process its own compilation."""
    began = time.monotonic()
    with _workplace() as (at, trouble):
        _log.info("compiling kernels%s, with %s …", "" if trouble else " once for this machine", shlex.join(words))
        built = at / "kernels.so"
        build(words, built)
        try:
            found = _load(built, made_of)
        except (OSError, AttributeError) as error:
            raise CannotBuild(f"{shlex.join(words)} made a library that cannot be used: {error}") from error
        if trouble:
            where = f"memory, because {trouble}"
            _log.warning("%s: the kernels are compiled for this process alone; XDG_CACHE_HOME moves the cache", trouble)
        else:
            where = str(keep(built, made_of, version(words)))
    _log.info("… done in %.1f s", time.monotonic() - began)
    return found, where


@contextmanager
def _workplace() -> Iterator[tuple[Path, str]]:
    """A new folder in the cache, or elsewhere with a word why not there."""
    trouble = ""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(dir=folder(), ignore_cleanup_errors=True)
    except OSError as error:
        trouble = f"the cache {error.filename or ''} cannot be written to ({error.strerror or error})"
        made = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with made as at:
        yield Path(at), trouble


def _load(path: Path, made_of: str) -> ctypes.CDLL:
    """A library with its functions declared.

    Raises:
        OSError: It cannot be loaded, or has another stamp.
        AttributeError: It lacks a function.
    """
    found = ctypes.CDLL(str(path))
    found.mho_stamp.restype = ctypes.c_char_p
    if found.mho_stamp() != made_of.encode():
        raise OSError(f"{path} is stamped {found.mho_stamp()!r}, not {made_of!r}")
    for name, arguments in _ARGUMENTS.items():
        function = getattr(found, name)
        function.argtypes = arguments
        function.restype = _RETURNS.get(name)
    return found
