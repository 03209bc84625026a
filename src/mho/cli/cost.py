"""`mho cost`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mho.cli.options import DATA, described, number_or_word
from mho.errors import WrongSetting


def cost(
    model: Annotated[
        str,
        typer.Argument(
            help="package.module:factory[?key=value], a name of mho.models, published:NAME, or a .pt2 file."
        ),
    ],
    hardware: Annotated[str, typer.Option("--hardware", help="A preset or a YAML file.")] = "pcm",
    data: Annotated[
        str | None, typer.Option("--data", help=f"Inputs that are measured (labels unused). {DATA}")
    ] = None,
    example: Annotated[
        str | None, typer.Option("--example", help="Without data: the shape of one input, as 3x32x32.")
    ] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="safetensors, or a weights_only checkpoint.")] = None,
    technology: Annotated[
        str | None,
        typer.Option("--technology", help="A name or a YAML file; default: that of the hardware's name, else generic."),
    ] = None,
    node: Annotated[float | None, typer.Option("--node", help="CMOS node in nm to scale to.")] = None,
    schedule: Annotated[str, typer.Option("--schedule", help="sequential or pipelined.")] = "sequential",
    replication: Annotated[
        str, typer.Option("--replication", help="Copies of every layer, or balanced (with --arrays).")
    ] = "1",
    arrays: Annotated[
        int | None, typer.Option("--arrays", help="Arrays there are; default: as many as needed.")
    ] = None,
    batches: Annotated[int, typer.Option("--batches", help="Most batches of --data that are looked at.")] = 2,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A changed setting, e.g. --set adc.bits=6.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where the page, its figure, CSV and JSON go.")] = None,
) -> None:
    """What one inference costs: energy, latency, area and arrays, layer by layer, and what every number rests on."""
    import mho
    from mho.cli.terminal import Console
    from mho.costs import Technology
    from mho.data import load
    from mho.models import resolve
    from mho.store.files import writable
    from mho.tasks.parts import few

    if (data is None) == (example is None):
        raise WrongSetting(
            "what the network is given is unclear", "give --data DATA or --example 3x32x32", path="--example"
        )
    hw = described(hardware, changes)
    chosen = Technology.of(technology, hw)
    writable(out, "--out")
    network, console = resolve(model, weights).eval(), Console()
    told: dict[str, Any] = {
        "technology": chosen, "node_nm": node, "schedule": schedule, "replication": number_or_word(replication),
        "arrays": arrays, "max_batches": batches, "name": model,
    }  # fmt: skip
    if data is None:
        x = _example(str(example))
        found = mho.cost(mho.to_analog(network, hw, example=x), example=x, **told)
    else:
        given = load(data)
        net = mho.to_analog(network, hw, example=few(next(iter(given))))
        mho.calibrate(net, given, max_batches=batches, progress=True)
        found = mho.cost(net, given, **told)
    try:  # files are written before anything is printed: nobody may be reading
        written = None if out is None else mho.report(found, out)
    finally:
        console.print(str(found), markup=False, highlight=False, soft_wrap=True)
    if written is not None:
        console.print(f"report: {written}", markup=False, highlight=False, soft_wrap=True)


def _example(shape: str) -> Any:
    """Zeros of one input.

    Raises:
        WrongSetting: It is no shape.
    """
    import torch

    try:
        sizes = [int(part) for part in shape.replace(",", "x").split("x")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise WrongSetting(f"'{shape}' is no shape", "write it as 3x32x32", path="--example")
    try:
        return torch.zeros(1, *sizes)
    except (RuntimeError, OverflowError, TypeError):
        raise WrongSetting(
            f"no memory holds an input of shape {shape}", "give a smaller one", path="--example"
        ) from None
