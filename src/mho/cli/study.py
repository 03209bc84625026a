"""`mho study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The studies: measure their arms, or draw their figures from what is stored.", no_args_is_help=True
)


@app.command("drift")
def drift(
    out: Annotated[Path, typer.Option("--out", help="Folder with one folder an arm; what is there is kept.")] = Path(
        "studies/drift"
    ),
    only: Annotated[str, typer.Option("--only", help="Arms whose name contains this.")] = "",
    chips: Annotated[int, typer.Option("--chips", help="Chips of each arm.")] = 8,
    workers: Annotated[int, typer.Option("--workers", help="Processes, one thread each.")] = 1,
    cost: Annotated[
        bool, typer.Option("--cost", help="Also measure time and memory beside the digital network's.")
    ] = False,
    draw: Annotated[bool, typer.Option("--draw", help="Only draw, from what is stored.")] = False,
) -> None:
    """What is left of published networks over a year, without retraining (needs MHO_DATA unless --draw)."""
    from rich.console import Console

    from mho.reports.study import write_drift
    from mho.studies import cost as costs
    from mho.studies import drift as study

    console = Console()
    if not draw:
        study.run(out, workers=workers, chips=chips, only=only, progress=lambda arm: console.print(f"measuring {arm}"))
        if cost:
            costs.run(out / "cost.json", progress=lambda name: console.print(f"timing {name}"))
    for path in write_drift(out):
        console.print(str(path), markup=False)


@app.command("hwa")
def hwa(
    out: Annotated[Path, typer.Option("--out", help="Folder with one folder an arm; what is there is kept.")] = Path(
        "studies/hwa"
    ),
    only: Annotated[str, typer.Option("--only", help="Arms whose name contains this.")] = "",
    chips: Annotated[int, typer.Option("--chips", help="Chips of each arm.")] = 8,
    seeds: Annotated[int, typer.Option("--seeds", help="Training seeds of each arm.")] = 3,
    train_images: Annotated[int, typer.Option("--train-images", help="First training images, of 50,000.")] = 20_000,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over them.")] = 1,
    device: Annotated[str, typer.Option("--device", help="Where to train.")] = "cpu",
    draw: Annotated[bool, typer.Option("--draw", help="Only draw, from what is stored.")] = False,
) -> None:
    """What fine-tuning with the hardware's noise buys a published network (needs MHO_DATA unless --draw)."""
    from rich.console import Console

    from mho.reports.hwa_study import write_hwa
    from mho.studies import hwa as study
    from mho.studies import ranges

    console = Console()
    if not draw:
        study.run(
            out, only=only, chips=chips, seeds=seeds, images=train_images, epochs=epochs, device=device,
            progress=console.print,
        )  # fmt: skip
        if only in "ranges":
            ranges.run(out / "ranges.json", progress=console.print)
    for path in write_hwa(out):
        console.print(str(path), markup=False)
