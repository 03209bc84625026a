"""Imports go one way, `import mho` stays light, and errors keep their parts."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import mho
from mho.errors import MhoError, MissingExtra, NotYet

ROOT = Path(mho.__file__).parent
ORDER = [
    "units errors rng _optional", "hardware", "devices", "kernels", "crossbar", "nn", "convert", "training", "chip",
    "store", "measure", "models", "data", "studies", "report", "cli", "testing",
]  # fmt: skip
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names.split()}


def _top_level_imports(file: Path) -> list[str]:
    found = []
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] == "mho"]


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_from_left_to_right(file):
    place = file.relative_to(ROOT).parts[0].removesuffix(".py")
    if place == "__init__":
        return
    assert place in RANK, f"{place} has no place in the order of the house"
    for name in _top_level_imports(file):
        target = name.split(".")[1] if "." in name else None
        if target is not None:
            assert RANK[target] <= RANK[place], f"{file.name} imports {name}, which lies to its right"


def _modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_mho_is_light():
    assert not {"torch", "matplotlib", "scipy", "sklearn", "jinja2", "PIL", "typer"} & _modules_after("import mho")


def test_the_help_needs_no_torch():
    statement = "from mho.cli import main; sys.argv=['mho','--help']\ntry:\n main()\nexcept SystemExit: pass\n"
    code = "import sys, io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()):\n " + statement.replace(
        "\n", "\n "
    )
    code += "\nprint(' '.join(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "matplotlib", "scipy", "sklearn"} & set(done.stdout.split())


def test_every_public_name_is_there():
    for name in mho.__all__:
        assert getattr(mho, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mho.nothing


def test_errors_survive_pickling_with_their_parts():
    error = pickle.loads(pickle.dumps(NotYet("cannot", "do this", path="layer1")))
    assert (type(error), error.problem, error.remedy, error.path) == (NotYet, "cannot", "do this", "layer1")
    assert isinstance(error, MhoError) and "layer1: cannot -> do this" in str(error)


def test_a_missing_extra_is_asked_for_by_name():
    from mho._optional import require

    with pytest.raises(MissingExtra, match=r"pip install 'mho\[demo\]'"):
        require("no_such_package", extra="demo", for_what="the demo")
