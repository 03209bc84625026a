"""`mho`: the commands, and how errors and interruptions reach the terminal."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mho.cli import (
    advise,
    calibrate,
    compare,
    cost,
    data,
    demo,
    device,
    drift,
    export,
    hardware,
    info,
    perturb,
    report,
    smallest,
    study,
    sweep,
    terminal,
    train,
    weights,
)
from mho.cli.interruption import message
from mho.cli.terminal import Console
from mho.errors import MhoError

_INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended; typer exits with it."""

app = typer.Typer(
    name="mho",
    help="Will a trained network survive on analog in-memory-computing hardware, for how long, and what can be done?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo.demo)
app.command("drift")(drift.drift)
app.command("advise")(advise.advise)
app.command("compare")(compare.compare)
app.command("perturb")(perturb.perturb)
app.command("cost")(cost.cost)
app.command("calibrate")(calibrate.calibrate)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("smallest")(smallest.smallest)
app.command("report")(report.report)
app.command("export")(export.export)
app.add_typer(data.app, name="data")
app.add_typer(device.app, name="device")
app.add_typer(hardware.app, name="hardware")
app.add_typer(study.app, name="study")
app.command("weights")(weights.weights)
app.command("info")(info.info)


def _version(asked: bool) -> None:
    if asked:
        from mho import __version__

        typer.echo(f"mho {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; mistakes of the user end in one message, not in a traceback."""
    terminal.prepare()
    console = Console(stderr=True)
    try:
        app()
    except MhoError as error:
        where = f"{error.path}: " if error.path else ""
        console.print("[bold red]error[/bold red]", end=" ")
        console.print(f"{where}{error.problem}", markup=False, highlight=False, soft_wrap=True)
        console.print("[bold]way out[/bold]", end=" ")
        console.print(error.remedy, markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            console.print(f"\n{message()}", markup=False, highlight=False, soft_wrap=True)
        raise
