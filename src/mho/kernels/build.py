"""How the C++ kernels become a library: the compiler, its flags, its time limit."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

FLAGS = (
    "-O3", "-march=native", *(["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else []),
    "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-shared", "-fPIC",
)  # fmt: skip
SOURCES = Path(__file__).with_name("cpp")
"""The folder of the sources; `kernels.cpp` includes the others."""
LIMIT_S = 120.0
"""Seconds after which a compiler is given up; an idle machine needs two or three."""


class CannotBuild(RuntimeError):
    """There is no library, and this is why."""


def stamp() -> str:
    """What a library must have been made of to run here: source, flags, processor; as a short digest.

    The processor counts with its instruction sets, because machines that differ may share a cache.
    """
    return _digest(_source(), " ".join(FLAGS), platform.machine(), _processor())


def compiler() -> list[str]:
    """The words of the command that compiles: ``CXX``, with its arguments, else g++, else clang++.

    Raises:
        CannotBuild: There is none.
    """
    asked = os.environ.get("CXX", "").strip()
    if not asked:
        found = shutil.which("g++") or shutil.which("clang++")
        if found is None:
            raise CannotBuild("no C++ compiler: neither g++ nor clang++ is there, and CXX is not set")
        return [found]
    try:
        words = [asked] if shutil.which(asked) else shlex.split(asked)
    except ValueError as error:
        raise CannotBuild(f"CXX={asked!r} cannot be read: {error}") from error
    if shutil.which(words[0]) is None:
        raise CannotBuild(f"no C++ compiler: CXX={asked!r} names no program")
    return words


def version(words: list[str]) -> str:
    """A short digest of which compiler this is: its command, and the size and age of the programs that it names."""
    programs = [Path(found) for found in map(shutil.which, words) if found]
    states = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in programs]
    return _digest(*words, repr(states))[:8]


def build(words: list[str], target: Path) -> None:
    """Compile the kernels into a library, whose function ``mho_stamp`` answers what `stamp` says.

    Args:
        words: The command, from `compiler`.
        target: Path of the library; its folder exists.

    Raises:
        CannotBuild: The compiler fails, writes nothing, or is not done after `LIMIT_S`; it is ended then, with all
            that it has started.
    """
    command = [*words, *FLAGS, f'-DMHO_STAMP="{stamp()}"', "-o", str(target), str(SOURCES / "kernels.cpp")]
    name = shlex.join(words)
    with tempfile.TemporaryFile() as said:  # a pipe would be held open by what a killed compiler leaves behind
        try:
            running = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
        except OSError as error:
            raise CannotBuild(f"{name} cannot be started: {error.strerror}") from error
        try:
            code = running.wait(LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise CannotBuild(f"{name} was not done after {LIMIT_S:g} s") from error
        finally:
            _end(running)
        if code:
            said.seek(0)
            raise CannotBuild(f"{name} failed: {_gist(said.read().decode(errors='replace')) or f'exit status {code}'}")
    if not target.exists():
        raise CannotBuild(f"{name} wrote no library")


def _end(running: subprocess.Popen[bytes]) -> None:
    """Kill a compiler that still runs, with its children: they are a session of their own."""
    if running.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(running.pid, signal.SIGKILL) if hasattr(os, "killpg") else running.kill()
        running.wait()


def _gist(text: str) -> str:
    """The line of a compiler's output that says most: the first error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")[:200]


def _source() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.?pp")))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
