"""Which library of compiled kernels is loaded, on machines where something is wrong with it, its cache, or its compiler.

Each case is a process of its own: a library that should not have been loaded can kill the one that loads it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mho
from mho.kernels.build import FLAGS, build, compiler, stamp
from mho.kernels.cpu_library import library

pytestmark = pytest.mark.skipif(library() is None, reason="no C++ compiler here: the fast CPU kernels are not built")
SCRIPT = """
import sys, types
folder = types.ModuleType("mho.kernels")  # without its __init__, which imports torch: these files need none
folder.__path__, sys.modules["mho.kernels"] = [sys.argv[2]], folder
from mho.kernels import build
from mho.kernels.cpu_library import library, origin, state
build.LIMIT_S = float(sys.argv[1])
print(state(), origin(), sep="\\n")
assert library() is None or library().mho_chunk() == 8192
"""
COPY = '#!/bin/sh\necho run >> "{log}"\nfor word; do [ "$last" = -o ] && out="$word"; last="$word"; done\n'
FAST = "fast CPU (compiled C++)"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A library that fits this machine."""
    target = tmp_path_factory.mktemp("whole") / "kernels.so"
    build(compiler(), target)
    return target


class Machine:
    """A user with a cache, and a compiler that answers with a copy of a file."""

    def __init__(self, place: Path, answer: Path) -> None:
        self.place, self.cache, self.log = place, place / "cache", place / "log"
        self.compiler = self.program("compiler", COPY.format(log=self.log) + f'cp "{answer}" "$out"\n')

    def program(self, name: str, text: str) -> str:
        path = self.place / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def start(self, limit: float = 60, **environment: str) -> subprocess.Popen:
        outside = {key: value for key, value in os.environ.items() if key != "MHO_KERNELS"}
        env = {**outside, "CXX": self.compiler, "XDG_CACHE_HOME": str(self.cache), **environment}
        command = [sys.executable, "-c", SCRIPT, str(limit), str(Path(mho.__file__).parent / "kernels")]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, limit: float = 60, **environment: str) -> tuple[str, str, list[str]]:
        """Which kernels ran, from where, and the lines on standard error."""
        process = self.start(limit, **environment)
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        kernels, origin = out.splitlines()
        return kernels, origin, err.splitlines()

    def compilations(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def kept(self) -> list[Path]:
        return sorted(self.cache.glob("mho/*"))


@pytest.fixture
def machine(tmp_path, whole):
    return Machine(tmp_path, whole)


def test_the_real_compiler_serves_the_next_process_too(machine):
    real = " ".join(compiler())
    kernels, origin, lines = machine.run(CXX=real)
    assert kernels == FAST and [Path(origin)] == machine.kept() and lines == []
    made = Path(origin).stat().st_mtime_ns
    assert machine.run(CXX=real) == (FAST, origin, []) and Path(origin).stat().st_mtime_ns == made


def _other_library(place: Path, source: str) -> bytes:
    (place / "other.cpp").write_text(source)
    subprocess.run([*compiler(), "-shared", "-fPIC", "-o", place / "other.so", place / "other.cpp"], check=True)
    return (place / "other.so").read_bytes()


DAMAGES = {
    "cut in half": lambda content, place: content[: len(content) // 2],
    "one byte less": lambda content, place: content[:-1],
    "empty": lambda content, place: b"",
    "other bytes": lambda content, place: b"\x7fELF" + bytes(len(content) - 4),
    "one bit": lambda content, place: content[:9000] + bytes([content[9000] ^ 1]) + content[9001:],
    "another library": lambda content, place: _other_library(place, "int nothing;"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_library_is_replaced(machine, damage, whole):
    _, origin, _ = machine.run()
    Path(origin).write_bytes(DAMAGES[damage](whole.read_bytes(), machine.place))
    kernels, again, lines = machine.run()
    assert (kernels, again) == (FAST, origin) and Path(origin).read_bytes() == whole.read_bytes()
    assert len(lines) == 1 and origin in lines[0] and "damaged" in lines[0]
    assert machine.kept() == [Path(origin)] and machine.compilations() == 2


@pytest.mark.parametrize("source", ["int nothing;", 'extern "C" const char* mho_stamp() { return "another"; }'])
def test_a_library_of_something_else_is_not_used_whatever_its_name_says(machine, source):
    from mho.kernels import cache
    from mho.kernels.build import version

    content = _other_library(machine.place, source)
    (machine.cache / "mho").mkdir(parents=True)
    checksum = cache._checksum(machine.place / "other.so")
    wrong = machine.cache / "mho" / f"kernels-{stamp()}-{version([machine.compiler])}-{checksum}.so"
    wrong.write_bytes(content)
    kernels, origin, lines = machine.run()
    assert kernels == FAST and Path(origin) != wrong and lines == []


def test_processes_that_compile_at_once_do_no_harm(machine, whole):
    slow = machine.program("slow", COPY.format(log=machine.log) + f'sleep 2; cp "{whole}" "$out"\n')
    processes = [machine.start(CXX=slow) for _ in range(3)]
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0 and out.startswith(FAST) and not err
    assert [path.read_bytes() for path in machine.kept()] == [whole.read_bytes()]
    machine.run(CXX=slow)
    assert machine.compilations() <= 3


def test_a_compiler_may_have_arguments_and_spaces(machine):
    (machine.place / "my tools").mkdir()
    shutil.copy(machine.compiler, machine.place / "my tools" / "compiler")
    wrapper = machine.program("ccache", '#!/bin/sh\nexec "$@"\n')
    spaced = machine.place / "my tools" / "compiler"
    for words in (f"{wrapper} {machine.compiler}", f"{machine.compiler} -O3", str(spaced), f"{wrapper} '{spaced}'"):
        machine.log.unlink(missing_ok=True)
        kernels, _, lines = machine.run(CXX=words)
        assert kernels == FAST and lines == [] and machine.compilations() == 1, words


def test_another_compiler_compiles_anew_and_none_takes_what_is_there(machine, tmp_path):
    first = machine.run()[1]
    second = machine.run(CXX=f"{machine.compiler} -g")[1]
    assert first != second and len(machine.kept()) == 2
    kernels, origin, lines = machine.run(CXX="", PATH=str(tmp_path / "nowhere"))
    assert kernels == FAST and origin in (first, second) and lines == []


def test_a_cache_that_cannot_be_written_costs_a_compilation_each_time(machine):
    machine.cache.write_text("a file")
    for count in (1, 2):
        kernels, origin, lines = machine.run()
        assert kernels == FAST and origin.startswith("memory") and machine.compilations() == count
        assert len(lines) == 1 and str(machine.cache) in lines[0] and "XDG_CACHE_HOME" in lines[0]


PROGRAMS = {
    "failing": "echo 'cpu.cpp:1:1: fatal error: no such header' >&2; echo done >&2; exit 3",
    "silent": "exit 4",
    "idle": "exit 0",
    "writing garbage": 'echo garbage > "$out"',
    "hanging": 'sh -c \'echo $$ > "$0"; sleep 500\' "{pid}" & wait',
}
REASONS = {
    "failing": "fatal error: no such header", "silent": "exit status 4", "idle": "wrote no library",
    "writing garbage": "a library that cannot be used", "hanging": "was not done after 2 s",
}  # fmt: skip


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_compiler_that_does_not_do_its_work_is_named_in_one_line(machine, kind, tmp_path):
    program = machine.program(kind, COPY.format(log=machine.log) + PROGRAMS[kind].format(pid=tmp_path / "pid"))
    began = time.monotonic()
    kernels, origin, lines = machine.run(limit=2 if kind == "hanging" else 60, CXX=f"'{program}'")
    assert kernels.startswith("reference (plain torch): ") and REASONS[kind] in kernels and origin == "None"
    assert len(lines) == 1 and REASONS[kind] in lines[0] and "reference kernels" in lines[0]
    if kind == "hanging":
        child = int((tmp_path / "pid").read_text())
        assert time.monotonic() - began < 60 and not _runs(child)


def _runs(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CXX": "/nowhere/compiler"}, "'/nowhere/compiler' names no program"),
        ({"CXX": "g++ 'open"}, "cannot be read"),
        ({"CXX": "", "PATH": "/nowhere"}, "neither g++ nor clang++"),
    ],
)
def test_without_a_compiler_one_line_says_so(machine, environment, reason):
    kernels, _, lines = machine.run(**environment)
    assert kernels.startswith("reference (plain torch): ") and reason in kernels
    assert len(lines) == 1 and reason in lines[0]


def test_the_reference_kernels_can_be_asked_for(machine):
    kernels, _, lines = machine.run(MHO_KERNELS="reference")
    assert kernels == "reference (plain torch): MHO_KERNELS=reference asks for them" and lines == []
    process = machine.start(MHO_KERNELS="refrence")
    assert "there are no kernels 'refrence'" in process.communicate(timeout=100)[1] and process.returncode
    assert machine.compilations() == 0


def test_the_stamp_is_in_the_library(whole):
    assert stamp().encode() in whole.read_bytes() and "-march=native" in FLAGS
