"""`mho hardware`: list, show, check, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Descriptions of chips: list the presets, show one, check a file, import one from another tool.",
    no_args_is_help=True,
)


@app.command("list")
def list_presets() -> None:
    """The shipped descriptions, one a line."""
    from rich.table import Table

    from mho.cli.terminal import Console
    from mho.hardware import Hardware
    from mho.hardware.left_out import NEVER, left_out

    table = Table("preset", "cell", "encoding", "array", "DAC / ADC", "compensation", box=None)
    table.columns[0].min_width = max(map(len, Hardware.presets()))
    for name in Hardware.presets():
        hw = Hardware.preset(name)
        dac, adc = (f"{c.bits} bit" if c.bits else f"{c.steps} steps" if c.steps else "none" for c in (hw.dac, hw.adc))
        array = f"{hw.array.rows} × {hw.array.cols}"
        table.add_row(name, hw.cell.kind, hw.encoding.kind, array, f"{dac} / {adc}", hw.compensation.kind)
    Console().print(table)
    typer.echo(f"\nleft out, besides {NEVER}:")
    for name in Hardware.presets():
        typer.echo(f"  {name}: {', '.join(left_out(Hardware.preset(name))) or 'nothing'}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A preset or a YAML file.")],
    keys: Annotated[bool, typer.Option("--keys", help="Also explain every key.")] = False,
) -> None:
    """Print a description with the meaning of every σ."""
    from mho.hardware import Hardware

    hw = Hardware.of(name)
    typer.echo(str(hw))
    if keys:
        typer.echo("# what each key means")
        for key, meaning in hw.meanings():
            typer.echo(f"#   {key}: {meaning}")


@app.command("check")
def check(file: Annotated[str, typer.Argument(help="A YAML file.")]) -> None:
    """Say whether a file describes a chip; every mistake is named at once."""
    from mho.hardware import Hardware

    hw = Hardware.from_yaml(file)
    typer.echo(f"{file}: describes '{hw.label}' ({hw.digest()})")
    for definition in hw.definitions():
        typer.echo(f"  {definition}")


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="CrossSim's parameters, AIHWKit's InferenceRPUConfig (JSON); NeuroSim's arguments (JSON, command line, log)."
        ),
    ],
    tool: Annotated[str, typer.Option("--from", help="crosssim, neurosim or aihwkit.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="YAML file for --hardware; default: NAME.yaml here.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the hardware; default: the file's.")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="A setting (* as a wildcard) to leave out where it has no meaning here."),
    ] = None,
) -> None:
    """Another tool's settings as a hardware; says what became of every one, and refuses by name what has no meaning here."""
    from mho.cli.terminal import Console
    from mho.exchange import import_hardware
    from mho.store.files import writable_file

    found = import_hardware(file, tool, name=name, without=without or [])
    path = writable_file(out or Path(f"{found.hardware.name}.yaml"), "--out")
    found.hardware.to_yaml(path)
    console = Console()
    console.print(f"{found}\n\nhardware: {path}", markup=False, highlight=False, soft_wrap=True)
