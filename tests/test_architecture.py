"""Imports go one way, files stay small, `import mho` stays light, and errors keep their parts."""

from __future__ import annotations

import ast
import pickle
import re
import statistics
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mho
from mho.errors import MhoError, MissingExtra, NotYet

ROOT = Path(mho.__file__).parent
ORDER = [
    "units errors arguments progress rng _optional registry", "hardware", "devices", "kernels", "crossbar", "nn", "convert",
    "chip", "statistics", "tasks", "store", "fitting", "exchange", "calibration", "recalibration", "training", "measure",
    "perturbation", "costs", "advice", "models", "data", "exits", "blocks",
    "sweeps", "studies", "reports", "cli", "testing",
]  # fmt: skip
FOLDERS = ORDER[1:]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names.split()}


def _imports(file: Path) -> set[str]:
    """Names of modules of `mho` that a file imports when it runs, anywhere in it; `import mho` itself is none."""
    found = set()
    tree = ast.parse(file.read_text())
    for node in [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]:
        node.body = []
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module == "mho"
            found |= {f"mho.{alias.name}" for alias in node.names} if whole else {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("mho.") and name != "mho.__version__"}


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_from_left_to_right(file):
    place = file.relative_to(ROOT).parts[0].removesuffix(".py")
    if place == "__init__":
        return
    assert place in RANK, f"{place} has no place in the order of the house"
    for name in _imports(file):
        assert RANK[name.split(".")[1]] <= RANK[place], f"{file.name} imports {name}, which lies to its right"


def test_no_file_imports_itself_by_a_detour():
    files = {".".join(("mho", *f.relative_to(ROOT).with_suffix("").parts)): f for f in ROOT.rglob("*.py")}
    files = {name.removesuffix(".__init__"): f for name, f in files.items() if name != "mho.__init__"}
    graph = {name: {n for n in _imports(f) if n in files and n != name} for name, f in files.items()}
    # A folder's __init__ gathers its files; that these name the folder's own base is a circle only through the folder.
    graph = {name: {n for n in to if not name.startswith(f"{n}.")} for name, to in graph.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_every_folder_has_one_place_and_everybody_names_it_the_same():
    """Listed in the order, in what `mho.NAME` finds, in the README's chain and in its table."""
    there = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    assert there == set(FOLDERS)
    assert list(mho._FOLDERS) == FOLDERS
    chain = re.search(r"^ {4}hardware →.*?\n\n", README, re.DOTALL | re.MULTILINE)
    assert chain and re.findall(r"\w+", chain[0]) == [name for name in FOLDERS if name != "testing"]
    rows = re.findall(r"^\| (`\w+/`(?:, `\w+/`)*) \|", README.partition("## The house")[2], re.MULTILINE)
    assert sorted(re.findall(r"\w+", " ".join(rows))) == sorted(there), "the README's table of folders"


def test_files_are_small():
    lines = {str(f.relative_to(ROOT)): len(f.read_text(encoding="utf-8").splitlines()) for f in ROOT.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) < 150


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
