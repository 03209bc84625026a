"""`mho smallest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mho.cli.interruption import keeps


def smallest(
    file: Annotated[
        Path,
        typer.Argument(
            help="A sweep's YAML file (docs/sweep.md); without factors: converters, arrays, bits of a cell, encodings."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the sweep and of what is found; the same command resumes.")
    ] = Path("smallest"),
    budget: Annotated[str, typer.Option("--budget", help="What may be lost: of an accuracy as 1% or 0.01.")] = "1%",
    cost: Annotated[
        str, typer.Option("--cost", help="What is to be small: energy_pj, latency_ns, area_um2, cells, arrays.")
    ] = "energy_pj",
    chips: Annotated[int, typer.Option("--chips", help="Fresh chips that each candidate is tried on.")] = 8,
    tries: Annotated[int, typer.Option("--tries", help="Most candidates that are tried, the cheapest first.")] = 5,
    confidence: Annotated[str, typer.Option("--confidence", help="Of all tries together.")] = "95%",
    workers: Annotated[int, typer.Option("--workers", help="Processes, one thread each.")] = 1,
) -> None:
    """The cheapest hardware that keeps an accuracy budget under the given variation, confirmed on fresh chips."""
    import mho
    from mho.cli.terminal import Console
    from mho.sweeps import findings
    from mho.sweeps.smallest import smallest as search

    console = Console()
    keeps("finished trials", out)
    found = search(
        file, out, budget=budget, cost=cost, chips=chips, tries=tries, confidence=confidence, workers=workers,
        progress=True,
    )  # fmt: skip
    try:  # files are written before anything is printed: nobody may be reading
        page = mho.report(findings(found.result, budget=found.budget, cost=cost), out)
        if found.found is not None:
            found.found.hardware.to_yaml(out / "smallest.yaml")
    finally:
        console.print(str(found), markup=False, highlight=False, soft_wrap=True)
    console.print(f"report, with the front of {found.score.label} against {cost}: {page}", markup=False, soft_wrap=True)
    if found.found is not None:
        console.print(f"hardware: {out / 'smallest.yaml'}", markup=False, soft_wrap=True)
