"""`mho study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mho.cli.interruption import keeps

app = typer.Typer(
    help="The studies: list them, measure their arms, or draw what is stored of them.", no_args_is_help=True
)
_NAME = Annotated[str, typer.Argument(help="A name of 'mho study list'.")]
_OUT = typer.Option(
    "--out", help="Folder with one folder an arm; default: studies/NAME, with the scale where it is not cpu."
)


@app.command("list")
def list_studies() -> None:
    """Every study with its question, built in or of your own (entry point group mho.studies)."""
    from mho.cli.terminal import Console
    from mho.studies import STUDIES

    console = Console()
    for name in STUDIES.names():
        study = STUDIES.find(name)
        console.print(f"[bold]{name}[/bold]  {study.title}", highlight=False)
        console.print(f"    {study.question}", markup=False, highlight=False)


@app.command("run")
def run(
    name: _NAME,
    scale: Annotated[
        str,
        typer.Option(
            "--scale",
            help="smoke (a minute; its data is scikit-learn's: pip install 'mho[demo]'), cpu (what is stored) or full.",
        ),
    ] = "cpu",
    only: Annotated[str, typer.Option("--only", help="Arms whose name contains this.")] = "",
    out: Annotated[Path | None, _OUT] = None,
    workers: Annotated[int, typer.Option("--workers", help="Processes, one thread each.")] = 1,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Training seeds of each arm that is trained.")] = None,
    device: Annotated[str, typer.Option("--device", help="Where to train.")] = "cpu",
) -> None:
    """Measure what is missing of a study, then draw it; killed, the same command goes on."""
    from mho.errors import WrongSetting
    from mho.studies import SCALES, STUDIES
    from mho.studies import runner as studies

    if scale not in SCALES:
        raise WrongSetting(f"unknown scale '{scale}'", f"one of {', '.join(SCALES)}", path="--scale")
    study = STUDIES.find(name)()
    keeps("finished arms and chips", folder := out or Path("studies") / (name if scale == "cpu" else f"{name}-{scale}"))
    studies.run(
        study, folder, scale, only=only, seeds=seeds, workers=workers, device=device,  # type: ignore[arg-type]
        progress=True,
    )  # fmt: skip
    _draw(study, folder)


@app.command("draw")
def draw(name: _NAME, out: Annotated[Path | None, _OUT] = None) -> None:
    """Draw figures, tables and the summary again from what is stored, without running anything."""
    from mho.studies import STUDIES

    _draw(STUDIES.find(name)(), out or Path("studies") / name)


@app.command("index")
def index(
    folder: Annotated[Path, typer.Argument(help="Folder with a folder for each study, and a README.md.")] = Path(
        "studies"
    ),
) -> None:
    """Write the claims of every study into one table of the folder's README.md."""
    from mho.cli.terminal import Console
    from mho.reports.study_index import write_index

    Console().print(str(write_index(folder)), markup=False, highlight=False, soft_wrap=True)


def _draw(study: object, folder: Path) -> None:
    from mho.cli.terminal import Console
    from mho.reports.study import write_study

    for path in write_study(study, folder):  # type: ignore[arg-type]
        Console().print(str(path), markup=False, highlight=False, soft_wrap=True)
