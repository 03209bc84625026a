"""How many of N lines mutated at random do the tests catch? See README.md in this folder.

    PYTHONPATH=src python benchmarks/mutation/run.py [--lines 100] [--seed 0] [--processes 2] [--out FILE]
    PYTHONPATH=src python benchmarks/mutation/run.py --folders devices --tests tests/devices --out FILE
    PYTHONPATH=src python benchmarks/mutation/run.py --show FILE

A killed run goes on where it was when the same command is given again, as long as neither source nor tests changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from mutants import Mutant, mutants
from probes import copy_source, environment, pytest_command, reach
from show import show

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCE = ROOT / "src" / "mho"
FOLDERS = ("crossbar", "nn", "chip")
TESTS = (
    "tests/crossbar", "tests/nn", "tests/chip", "tests/calibration", "tests/convert", "tests/recalibration",
    "tests/training/test_hwa.py", "tests/training/test_injections.py", "tests/training/test_ranking.py",
    "tests/sketches", "tests/test_answers.py",
)  # fmt: skip
"""Where the tests of those folders stand; of these, the ones that reach a mutant's statement are run on it."""
TIMED_OUT = 86
STARTS = 60.0
"""Seconds that importing and collecting may take, on a busy machine."""
SLOWER = 10.0
"""How many times longer than usual a test may take until it counts as noticing."""


def sample(lines: int, seed: int, folders: Iterable[str] = FOLDERS) -> tuple[list[Mutant], int]:
    """One mutant on each of `lines` lines drawn at random, and the number of lines that they were drawn from."""
    by_line: dict[tuple[str, int], list[Mutant]] = defaultdict(list)
    for folder in folders:
        for file in sorted((SOURCE / folder).rglob("*.py")):
            name = str(file.relative_to(SOURCE))
            for mutant in mutants(name, file.read_text()):
                by_line[name, mutant.line].append(mutant)
    draw = random.Random(seed)
    chosen = draw.sample(sorted(by_line), min(lines, len(by_line)))
    return [draw.choice(by_line[place]) for place in chosen], len(by_line)


def in_order(tests: list[str], seconds: dict[str, float]) -> list[str]:
    """Cheapest first, but one case of every test before the second of any."""
    seen: Counter[str] = Counter()
    places = {}
    for test in sorted(tests, key=lambda test: seconds[test]):
        function = test.partition("[")[0]
        places[test] = (seen[function], seconds[test])
        seen[function] += 1
    return sorted(tests, key=lambda test: places[test])


def judge(mutant: Mutant, tests: list[str], seconds: dict[str, float], copy: Path) -> dict[str, Any]:
    """Run the tests that reach a mutant on a copy of the source that has it, up to the first that fails."""
    if not tests:
        return {"outcome": "not reached", "tests": 0}
    file, job, last = copy / SOURCE.name / mutant.file, copy / "job.json", copy / "last"
    allowed = {test: STARTS / 2 + SLOWER * seconds[test] for test in tests}
    job.write_text(json.dumps({"tests": allowed, "last": str(last), "timed_out": TIMED_OUT}))
    last.unlink(missing_ok=True)
    original, start = file.read_text(), time.perf_counter()
    file.write_text(mutant.applied(original))
    files = sorted({test.partition("::")[0] for test in tests})
    command = pytest_command("-x", "--tb", "no", "-p", "no:xdist", *files)
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(copy, job), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        status = process.wait(STARTS + SLOWER * sum(seconds[test] for test in tests))
    except subprocess.TimeoutExpired:
        status = TIMED_OUT
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        file.write_text(original)
    outcome = {0: "survived", TIMED_OUT: "timed out"}.get(status, "caught")
    by = last.read_text() if last.exists() else "import or collection"
    found = {"outcome": outcome, "tests": len(tests), "seconds": round(time.perf_counter() - start, 1)}
    return found if outcome == "survived" else {**found, "by": by}


def header(seed: int, lines: int, population: int, folders: list[str], tests: list[str]) -> dict[str, Any]:
    """What a list is of."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    dirty = bool(git("status", "--porcelain", "src", "tests"))
    return {
        "commit": git("rev-parse", "HEAD") + (" and changes" if dirty else ""), "folders": folders, "tests": tests,
        "lines that can be mutated": population, "lines": lines, "seed": seed, "digest": digest(),
    }  # fmt: skip


def digest() -> str:
    """Of all of the source and the tests, so that a list is never continued on other code."""
    found = hashlib.sha256()
    for file in sorted([*SOURCE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]):
        found.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return found.hexdigest()[:16]


def run(lines: int, seed: int, processes: int, folders: list[str], tests: list[str], out: Path) -> None:
    """Judge every mutant that `out` does not hold yet."""
    chosen, population = sample(lines, seed, folders)
    lines = len(chosen)
    head = header(seed, lines, population, folders, [test for test in tests if (ROOT / test).exists()])
    text = out.read_text() if out.exists() else ""
    kept = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()] or [head]
    if kept[0] != head:
        raise SystemExit(f"{out} is of other code, tests, lines or seed: give another --out, or remove it")
    work = Path(tempfile.gettempdir()) / f"mho-mutation-{head['digest']}-{seed}-{lines}-{'-'.join(folders)}"
    work.mkdir(exist_ok=True)
    out.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))  # without a line cut off
    print(f"which of the tests reach the {lines} lines ...", flush=True)
    reached = reach(chosen, SOURCE, head["tests"], ROOT, work, processes)
    print(
        f"{len(reached.seconds)} tests, {sum(reached.seconds.values()):.0f} s; not used: {reached.failed}", flush=True
    )
    done = {line["number"] for line in kept[1:]}
    copies: queue.Queue[Path] = queue.Queue()
    for i in range(processes):
        copy_source(SOURCE, work / f"copy{i}")
        copies.put(work / f"copy{i}")

    def one(i: int) -> dict[str, Any]:
        copy = copies.get()
        try:
            found = judge(chosen[i], in_order(reached.tests.get(i, []), reached.seconds), reached.seconds, copy)
        finally:
            copies.put(copy)
        return {"number": i, "key": chosen[i].key(), "kind": chosen[i].kind, **found}

    todo = [i for i in range(lines) if i not in done]
    with ThreadPoolExecutor(processes) as pool:
        for future in as_completed([pool.submit(one, i) for i in todo]):
            found = future.result()
            with out.open("a") as file:
                file.write(json.dumps(found, ensure_ascii=False) + "\n")
            print(
                f"{found['outcome']:<12} {found.get('seconds', 0):6.1f} s  {found['key'][0]}: {found['key'][2]}",
                flush=True,
            )


def main() -> None:
    """Run, then show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folders", nargs="+", default=list(FOLDERS))
    parser.add_argument("--tests", nargs="+", default=list(TESTS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "mutants.jsonl")
    parser.add_argument("--show", type=Path)
    given = parser.parse_args()
    if given.show is None:
        start = time.perf_counter()
        run(given.lines, given.seed, given.processes, given.folders, given.tests, given.out)
        print(f"{(time.perf_counter() - start) / 60:.0f} minutes")
    show(given.show or given.out, HERE / "equivalent.yaml", SOURCE)


if __name__ == "__main__":
    main()
