"""`mho compare`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of 'mho drift --out', two or more; the first is what others are held against."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Where the report goes.")] = Path("compare"),
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="What a run is called, once for each, in order; default: its folder."),
    ] = None,
    budget: Annotated[str, typer.Option("--budget", help="What may be lost: of an accuracy as 1% or 0.01.")] = "1%",
    confidence: Annotated[
        str, typer.Option("--confidence", help="Of every interval, one at a time: 95% or 0.95.")
    ] = "95%",
) -> None:
    """Stored runs side by side: what differs in the settings, and what each has over the first. Measures nothing."""
    import mho
    from mho.cli.terminal import Console
    from mho.statistics.intervals import check_confidence

    level, command = check_confidence(confidence), shlex.join(["mho", *sys.argv[1:]])
    found = mho.compare(*runs, names=names, confidence=level, command=command)
    limit = found.score.check_budget(budget)
    console = Console()
    try:  # files are written before anything is printed: nobody may be reading
        written = mho.report(found, out, budget=limit)
    finally:
        console.print(str(found), markup=False, highlight=False, soft_wrap=True)
    console.print(f"report: {written}", markup=False, highlight=False, soft_wrap=True)
