"""`mho report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    place: Annotated[
        str,
        typer.Argument(
            help="Of 'mho sweep --out' (finished or not) or of 'mho drift --out'; or the URL of a sweep's --ledger."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Where the report goes; default: into the folder.")] = None,
    budget: Annotated[str, typer.Option("--budget", help="What may be lost: of an accuracy as 1% or 0.01.")] = "1%",
    score: Annotated[
        str | None, typer.Option("--score", help="Of a sweep: 'loss' or another stored score; default: the headline.")
    ] = None,
    cost: Annotated[
        str | None, typer.Option("--cost", help="Of a sweep: the factor against which a front is drawn.")
    ] = None,
) -> None:
    """Draw the report of what is stored in a folder; nothing is measured."""
    import mho
    from mho.cli.terminal import Console
    from mho.errors import BadInput, WrongSetting
    from mho.sweeps import SweepResult, findings
    from mho.sweeps.ledger import FILE
    from mho.sweeps.postgres import is_url

    folder = Path(place)
    where = out or folder
    if is_url(place) or (folder / FILE).exists():
        result = SweepResult(place)
        where = out or result.folder
        found = findings(result, budget=budget, score=score, cost=cost)
        written, told = mho.report(found, where), str(found)
    else:
        if score is not None or cost is not None:
            raise WrongSetting("--score and --cost are of a sweep", "leave them out", path=str(folder))
        if not (folder / "run.json").exists():
            raise BadInput("neither a sweep nor a drift is stored here", "give the --out of one", path=str(folder))
        written, told = mho.report(mho.DriftResult.load(folder), where, budget=budget), ""
    console = Console()
    text = "\n".join(filter(None, [told, f"report: {written}"]))
    console.print(text, markup=False, highlight=False, soft_wrap=True)
