"""Try every architecture that has no row yet: `python benchmarks/zoo/run.py [--again NAME …] [--limit SECONDS]`.

Each runs in a process of its own, which is ended after the limit; rows are kept as they come, so that the command goes on
where it was interrupted. timm, torchvision and transformers are needed (`benchmarks/zoo/README.md`).
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import signal
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from architectures import ENTRIES

RESULTS = Path(__file__).with_name("results.jsonl")


def key(entry: dict[str, Any]) -> str:
    """What names an architecture, its library and its head."""
    return "/".join(filter(None, (entry["library"], entry["name"], entry.get("head", ""))))


def stored() -> dict[str, dict[str, Any]]:
    """Rows by key."""
    if not RESULTS.exists():
        return {}
    return {key(row): row for row in map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())}


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    from one import measure

    try:
        return measure(entry)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error}"[:400]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return {
            **{k: entry[k] for k in ("library", "name", "family")},
            "head": entry.get("head", ""),
            "failed": f"{told} ({place})",
        }


def in_own_process(entry: dict[str, Any], limit: float) -> dict[str, Any]:
    """A row, made by a child of this process, which has the libraries in memory already."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(int(limit))
        with os.fdopen(writing, "w") as pipe:
            pipe.write(json.dumps(_row(entry)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if text and status == 0:
        found: dict[str, Any] = json.loads(text)
        return found
    end = f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {status}"
    found = {k: entry[k] for k in ("library", "name", "family")}
    return {**found, "head": entry.get("head", ""), "failed": f"{end} (limit {limit:g} s)"}


def main() -> None:
    """Rows for all entries, in their order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", nargs="*", default=[], help="keys (with *) whose rows are made anew")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one architecture")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    from build import load

    for library in ("torchvision", "timm", "transformers"):
        load(library)
    import one  # noqa: F401  # what the children would import each for itself

    warnings.filterwarnings("ignore")
    rows = stored()
    for entry in sorted(ENTRIES, key=lambda entry: entry["library"], reverse=True):  # small ones first
        name = key(entry)
        again = any(fnmatch.fnmatch(name, pattern) for pattern in given.again)
        if name in rows and not again:
            continue
        begun = time.monotonic()
        rows[name] = in_own_process(entry, given.limit)
        said = rows[name].get("failed") or rows[name].get("refused") or f"{rows[name].get('stored_share')}"
        print(f"{name:<60} {time.monotonic() - begun:6.1f} s  {said[:600]}", flush=True)
        order = [key(e) for e in ENTRIES if key(e) in rows]
        text = "".join(f"{json.dumps(rows[k])}\n" for k in order)
        part = RESULTS.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(RESULTS)


if __name__ == "__main__":
    main()
