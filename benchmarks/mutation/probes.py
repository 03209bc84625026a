"""Which tests reach which mutants: a copy of the source with one probe before the statement of each, and one run of the tests."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mutants import Mutant

HERE = Path(__file__).parent


class Reach(NamedTuple):
    """What the run of the probed source found.

    Attributes:
        seconds: How long each test took that passes.
        tests: For each mutant, by its place in the sample, the tests that reach it.
        failed: Tests that do not pass on the probed source; they are left out.
    """

    seconds: dict[str, float]
    tests: dict[int, list[str]]
    failed: list[str]


def copy_source(source: Path, to: Path) -> None:
    """A copy of the package whose compiled files are checked by content: what changes within a second is seen, too."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(source, to / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    compile_all = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", str(to)]
    subprocess.run(compile_all, check=True)


def environment(source: Path, job: Path) -> dict[str, str]:
    """What a run of the tests on a copy of the source needs."""
    path = os.pathsep.join([str(source), str(HERE)])
    return {
        **os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "MHO_MUTATION": str(job), "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def pytest_command(*arguments: str) -> list[str]:
    """pytest with the plugin of this folder, and without what writes into the checkout."""
    return [sys.executable, "-m", "pytest", "-p", "plugin", "-p", "no:cacheprovider", "-q", "--no-header", *arguments]


def reach(sample: list[Mutant], source: Path, tests: Iterable[str], root: Path, work: Path, processes: int) -> Reach:
    """Run the tests once on the probed source; what is found there already is not run again."""
    notes, done = work / "notes", work / "probed"
    if not done.exists():
        shutil.rmtree(notes, ignore_errors=True)
        notes.mkdir(parents=True)
        copy = work / "probes"
        copy_source(source, copy)
        (copy / "mutation_probes.py").write_text("HIT = set()\n")
        for file in {mutant.file for mutant in sample}:
            places = {i: mutant for i, mutant in enumerate(sample) if mutant.file == file}
            (copy / source.name / file).write_text(probed((source / file).read_text(), places))
        job = work / "probes.json"
        job.write_text(json.dumps({"probes": str(notes)}))
        command = pytest_command("-n", str(processes), "--dist", "loadfile", "--tb", "line", *tests)
        with (work / "probes.log").open("w") as log:
            env = environment(copy, job)
            tests_run = subprocess.run(command, cwd=root, env=env, stdout=log, stderr=log, check=False)
        if tests_run.returncode not in (0, 1):
            raise SystemExit(f"the tests do not run on the probed source: see {work / 'probes.log'}")
        done.touch()
    lines = [json.loads(line) for file in sorted(notes.glob("*.jsonl")) for line in file.read_text().splitlines()]
    seconds = {line["test"]: line["seconds"] for line in lines if line["outcome"] == "passed"}
    found: dict[int, list[str]] = defaultdict(list)
    for line in lines:
        if line["outcome"] == "passed":
            for probe in line["probes"]:
                found[probe].append(line["test"])
    for i, mutant in enumerate(sample):
        if at_import((source / mutant.file).read_text(), mutant):
            found[i] = list(seconds)
    return Reach(seconds, dict(found), sorted(line["test"] for line in lines if line["outcome"] == "failed"))


def probed(text: str, places: dict[int, Mutant]) -> str:
    """A file with a probe for each of its mutants that notes when their statement runs."""
    tree = ast.parse(text)
    wanted: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, mutant in places.items():
        statement = _statement(tree, text, mutant)
        wanted[statement.lineno, statement.col_offset].append(i)

    class Insert(ast.NodeTransformer):
        def generic_visit(self, node: ast.AST) -> ast.AST:
            super().generic_visit(node)
            for name in ("body", "orelse", "finalbody"):
                body = getattr(node, name, None)
                if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                    setattr(node, name, [new for one in body for new in (*self.before(one), one)])
            return node

        def before(self, node: ast.stmt) -> list[ast.stmt]:
            if not hasattr(node, "lineno"):
                return []
            found = wanted.pop((node.lineno, node.col_offset), [])
            return [ast.parse(f"mutation_probes.HIT.add({i})").body[0] for i in found]

    tree = ast.fix_missing_locations(Insert().visit(tree))
    assert not wanted, wanted
    late = [i for i, node in enumerate(tree.body) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    tree.body.insert(late[-1] + 1 if late else 0, ast.parse("import mutation_probes").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def at_import(text: str, mutant: Mutant) -> bool:
    """True for code that runs when its file is imported: every test comes after it."""
    tree = ast.parse(text)
    inside = [node for node in _holding(tree, text, mutant) if isinstance(node, (ast.FunctionDef, ast.Lambda))]
    return not inside


def _statement(tree: ast.Module, text: str, mutant: Mutant) -> ast.stmt:
    """The innermost statement around a mutant; for a default argument the first one of its function."""
    found = [node for node in _holding(tree, text, mutant) if isinstance(node, ast.stmt)][-1]
    if isinstance(found, ast.FunctionDef):
        documented = ast.get_docstring(found) is not None and len(found.body) > 1
        return found.body[1 if documented else 0]
    return found


def _holding(tree: ast.Module, text: str, mutant: Mutant) -> list[ast.AST]:
    """Nodes around a mutant, from the outside in."""
    before = text[: mutant.start]
    place = (before.count("\n") + 1, len(before.rpartition("\n")[2].encode()))
    return [
        node for node in ast.walk(tree)
        if hasattr(node, "lineno")
        and (node.lineno, node.col_offset) <= place < (node.end_lineno, node.end_col_offset)
    ]  # fmt: skip
