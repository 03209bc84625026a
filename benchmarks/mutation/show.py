"""The list of mutants as a table, its share with an interval, and the survivors by name."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from mutants import mutants

from mho.statistics import wilson_interval

CAUGHT = ("caught", "timed out")
FIELDS = ("file", "scope", "source", "before", "after")


def show(out: Path, equivalent: Path, source: Path) -> None:
    """Print it.

    Args:
        out: The list.
        equivalent: Mutants marked by hand as changing nothing, each with its reason.
        source: The package as it is now, for the line numbers of survivors that are still there.
    """
    head, *found = [json.loads(line) for line in out.read_text().splitlines()]
    marks = {
        tuple(str(mark[name]) for name in FIELDS): mark["reason"] for mark in yaml.safe_load(equivalent.read_text())
    }
    for line in found:
        line["reason"] = marks.get(tuple(line["key"]))
    print(f"\ncommit {head['commit']}, seed {head['seed']}: {len(found)} of {head['lines']} lines, drawn from "
          f"{head['lines that can be mutated']} in {', '.join(head['folders'])}\n")  # fmt: skip
    print(
        f"{'folder':<12}{'mutants':>8}{'caught':>8}{'timed out':>11}{'survived':>10}{'not reached':>13}{'equivalent':>12}"
    )
    for folder in (*head["folders"], "all"):
        some = [line for line in found if folder == "all" or line["key"][0].startswith(f"{folder}/")]
        counts = Counter(outcome(line) for line in some)
        print(f"{folder:<12}{len(some):>8}{counts['caught']:>8}{counts['timed out']:>11}{counts['survived']:>10}"
              f"{counts['not reached']:>13}{counts['equivalent']:>12}")  # fmt: skip
    good = sum(line["outcome"] in CAUGHT for line in found)
    some = sum(outcome(line) != "equivalent" for line in found)
    for name, number in (("of all", len(found)), ("without the equivalent ones", some)):
        if number:
            share = wilson_interval(good, number)
            print(f"caught {name}: {good}/{number} = {share.value:.1%} [{share.low:.1%}, {share.high:.1%}]")
    for title in ("timed out", "survived", "not reached", "equivalent"):
        some = [line for line in found if outcome(line) == title]
        if some:
            print(f"\n{title}:")
        for line in some:
            print(_described(line, source))
    for line in found:
        if line["reason"] and line["outcome"] in CAUGHT:
            print(f"\nmarked as equivalent, but caught by {line['by']}:\n{_described(line, source)}")


def outcome(line: dict[str, Any]) -> str:
    """Its outcome; a survivor that is marked is equivalent."""
    return "equivalent" if line["reason"] and line["outcome"] not in CAUGHT else str(line["outcome"])


def _described(line: dict[str, Any], source: Path) -> str:
    file, scope, text, before, after = line["key"]
    place = source / file
    now = mutants(file, place.read_text()) if place.exists() else []
    number = next((str(one.line) for one in now if list(one.key()) == line["key"]), "gone")
    by = f"\n      by {line['by']}" if line["outcome"] == "timed out" else ""
    reason = f"\n      because {line['reason']}" if line["reason"] else ""
    return f"  {file}:{number} {scope} ({line['kind']})\n      {text}\n      {before}  ->  {after}{by}{reason}"
