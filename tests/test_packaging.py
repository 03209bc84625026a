"""What a fresh machine installs."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def test_constraints_name_nothing_that_torch_depends_on():
    """Each build of torch asks for its own versions: a second opinion resolves on one machine and fails on the next."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    named = {_name(line) for line in lines if line.strip() and not line.startswith("#")}
    wanted = {_name(requirement) for requirement in requires("torch") or ()}
    assert "torch" in named and {"filelock", "sympy"} <= wanted
    assert not named & (wanted | {"triton"}), "triton is a dependency of torch's builds with CUDA"
    assert not [name for name in named if name.startswith(("nvidia-", "cuda-"))]


def test_the_pinned_torch_is_one_that_is_supported():
    from packaging.requirements import Requirement

    pinned = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    supported = re.search(r'"(torch[^"]*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pinned and supported and Requirement(supported[1]).specifier.contains(pinned[1])


def test_the_two_commands_leave_no_variable_of_openmp_empty():
    """libgomp prints a complaint about each."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "mho demo" in text and not re.search(r"OMP_NUM_THREADS=\s", text)
