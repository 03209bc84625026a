"""`mho data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mho.cli.interruption import keeps

app = typer.Typer(
    help="Data sets and published weights: what is known, what is here, and how to get the rest.", no_args_is_help=True
)


@app.command("list")
def list_known() -> None:
    """Every known data set and network: address, licence, size, and where its checksum stands."""
    from rich.text import Text

    from mho.cli.terminal import Console
    from mho.data.known import KNOWN

    console = Console()
    for weights, title in ((False, "data sets (--data NAME)"), (True, "networks (published:NAME)")):
        console.print(f"[bold]{title}[/bold]", highlight=False)
        for one in (each for each in KNOWN.values() if each.weights == weights):
            size = f"{one.megabytes:.3g} MB" if one.megabytes else "not fetched"
            console.print(Text.assemble("  ", (one.name, "bold"), f"  {one.what}; {size}"), soft_wrap=True)
            rows = [("from", one.page), ("licence", one.licence), ("checked by", one.source)]
            rows += [("by hand", one.otherwise)] if one.otherwise else []
            for key, value in rows:
                console.print(f"      {key}: {value}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        "'digits' comes with scikit-learn, 'animals' is made of cifar10, 'vww' of COCO (mho data vww). DATA is also a folder of "
        "images by class, a .npz file, or module:factory.",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


@app.command("vww")
def vww(
    coco: Annotated[
        Path, typer.Option("--coco", metavar="DIR", help="COCO: annotations/instances_*.json, train2014/, val2014/.")
    ],
    area: Annotated[
        str, typer.Option("--area", help="Of a person: box (the paper's rule) or segmentation (as pyvww has it).")
    ] = "box",
    least: Annotated[float, typer.Option("--least", help="Share of the image above which a person counts.")] = 0.005,
    minival: Annotated[
        Path | None,
        typer.Option("--minival", help="File of the validation images' numbers; default: COCO's own splits."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the lists; default: vww in 'mho data where'.")
    ] = None,
) -> None:
    """Build the lists of Visual Wake Words from COCO; broken off, the same command goes on where it was."""
    from mho.cli.terminal import Console
    from mho.data.coco_people import build
    from mho.data.root import folder

    place = out or folder() / "vww"
    console = Console(soft_wrap=True)
    for built in build(coco, place, area=area, least=least, minival=minival, progress=True):
        console.print(str(built), markup=False, highlight=False)
    console.print(f"{place}: mho drift … --data vww", markup=False, highlight=False)


@app.command("where")
def where() -> None:
    """The folder that data sets and weights are read from and fetched into."""
    import os

    from mho.cli.terminal import Console
    from mho.data.root import VARIABLE, folder

    place = folder()
    Console(soft_wrap=True).print(str(place), markup=False, highlight=False)
    why = f"named by {VARIABLE}" if os.environ.get(VARIABLE) else f"the default: {VARIABLE} is not set"
    there = "" if place.is_dir() else "; it is not there yet, 'mho data fetch' makes it"
    Console(stderr=True, soft_wrap=True).print(f"({why}{there})", markup=False, highlight=False)


@app.command("fetch")
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of 'mho data list'.")],
) -> None:
    """Download, verify and unpack; broken off, the same command goes on where it was."""
    from mho.cli.terminal import Console
    from mho.data.check import check
    from mho.data.fetch import fetch as get
    from mho.data.known import known
    from mho.data.root import folder
    from mho.errors import BadInput

    console = Console(soft_wrap=True)
    for one in [known(name) for name in names]:
        if one.files and folder().is_dir() and (found := check(one.name)).state == "right":
            console.print(f"{one.name} is here already: {found.detail}", markup=False, highlight=False)
            continue
        keeps("what has come", folder() / one.folder)
        place = get(one.name, progress=True)
        found = check(one.name)
        if found.state == "wrong":  # Something that lay there before goes first.
            raise BadInput(f"was fetched, but {found.detail}", "remove what is wrong", path=str(place))
        console.print(f"{one.name}: {place}: {found.detail}", markup=False, highlight=False)
        console.print(f"licence: {one.licence}", markup=False, highlight=False)


@app.command("check")
def check(
    name: Annotated[str | None, typer.Argument(help="A name of 'mho data list'; default: all that is here.")] = None,
) -> None:
    """Compare with the published checksums and read all of it; ends with 1 where something is wrong."""
    from rich.text import Text

    from mho.cli.terminal import Console
    from mho.data.check import check as look
    from mho.data.check import unfinished
    from mho.data.known import KNOWN, known
    from mho.data.root import folder

    console, states = Console(soft_wrap=True), []
    wanted = KNOWN if name is None else [known(name).name]
    console.print(f"in {folder()}", markup=False, highlight=False)
    colours = {"right": "green", "partial": "yellow", "wrong": "red", "missing": "dim"}
    for each in wanted:
        found = look(each)
        states.append(found.state)
        if name is None and found.state == "missing":
            continue
        console.print(Text.assemble((f"{found.state:8}", colours[found.state]), f"{found.name}: {found.detail}"))
    for part in unfinished():
        console.print(f"unfinished: {part}", markup=False, highlight=False)
    if name is None and (absent := states.count("missing")):
        console.print(f"{absent} of {len(states)} known are not here: mho data list", markup=False, highlight=False)
    if "wrong" in states or (name is not None and "missing" in states):
        raise typer.Exit(1)
