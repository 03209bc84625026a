"""`mho export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    place: Annotated[str, typer.Argument(help="Of 'mho sweep --out', finished or not; or the URL of its --ledger.")],
    to: Annotated[
        str, typer.Option("--to", help="csv, parquet, wandb (offline unless WANDB_MODE says otherwise) or mlflow.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="File, or folder; default: in the sweep's.")] = None,
) -> None:
    """Write a sweep's rows to a file, or a run for each of its trials to W&B or MLflow."""
    from mho.cli.terminal import Console
    from mho.sweeps.export import export as write

    Console().print(write(place, to, out, progress=True), markup=False, highlight=False, soft_wrap=True)
