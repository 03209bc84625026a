"""`mho advise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mho.cli.interruption import command, keeps
from mho.cli.options import DATA, RANGES, TASK, described, trained


def advise(
    model: Annotated[
        str,
        typer.Argument(
            help="package.module:factory[?key=value], a name of mho.models, published:NAME, or a .pt2 file."
        ),
    ],
    data: Annotated[str, typer.Option("--data", help=f"Test data. {DATA}")],
    hardware: Annotated[str | None, typer.Option("--hardware", help="A preset or a YAML file; default: pcm.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="safetensors, or a weights_only checkpoint.")] = None,
    budget: Annotated[str, typer.Option("--budget", help="What may be lost: of an accuracy as 1% or 0.01.")] = "1%",
    times: Annotated[str, typer.Option("--times", help="Ages at which it is to be kept.")] = "1d,1mo,1y",
    calibration: Annotated[
        str | None,
        typer.Option("--calibration", help="Inputs for ranges and recalibrations (labels unused); default: --data."),
    ] = None,
    validation: Annotated[
        str | None, typer.Option("--validation", help="Labelled data for choosing; default: a part of --data.")
    ] = None,
    train: Annotated[str | None, typer.Option("--train", help="Training data; without it nothing is trained.")] = None,
    effort: Annotated[str, typer.Option("--effort", help="quick, normal or full.")] = "normal",
    remedies: Annotated[
        str | None,
        typer.Option("--remedies", help="Names of those to try, separated by semicolons; 'list' shows them."),
    ] = None,
    chips: Annotated[int | None, typer.Option("--chips", help="Fresh chips to confirm on.")] = None,
    holdout: Annotated[str, typer.Option("--holdout", help="Share of --data that is reported on: 50% or 0.5.")] = "50%",
    confidence: Annotated[str, typer.Option("--confidence", help="Of the finalists' intervals together.")] = "95%",
    max_seconds: Annotated[
        str | None, typer.Option("--max-seconds", help="Begin nothing that leaves no time to confirm: 10min, or 600s.")
    ] = None,
    ranges: Annotated[Path | None, typer.Option("--ranges", help=RANGES)] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A changed setting, e.g. --set adc.bits=6.")
    ] = None,
    task: Annotated[str, typer.Option("--task", help=TASK)] = "classes",
    seed: Annotated[int, typer.Option("--seed", help="Root seed.")] = 0,
    workers: Annotated[int, typer.Option("--workers", help="Processes, one thread each.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Where rows and the report go; the same command resumes.")] = Path(
        "out"
    ),
) -> None:
    """Try what can be done against the loss of accuracy, cheapest first, and say what helps beyond noise."""
    import mho
    from mho.advice.asked import Asked
    from mho.advice.call import Call
    from mho.advice.remedies import REMEDIES
    from mho.advice.search import advise as search
    from mho.cli.terminal import Console
    from mho.data import load
    from mho.units import share

    console = Console()
    if remedies == "list":
        for known in REMEDIES.names():
            console.print(known, markup=False, highlight=False)
        return
    hw = described(hardware, changes, ranges)
    settings: dict[str, Any] = {
        "budget": budget, "times": times, "effort": effort, "remedies": remedies, "chips": chips, "holdout": holdout,
        "confidence": confidence, "task": task, "out": out, "workers": workers, "max_seconds": max_seconds, "ranges": ranges,
    }  # fmt: skip
    Asked.of(hw, **settings)  # before the network and the data are loaded
    network = trained(model, weights)
    test = load(data)
    told: dict[str, Any] = {
        key: None if value is None else load(value)
        for key, value in (("calibration", calibration), ("validation", validation), ("train", train))
    }
    keeps("finished measurements and trainings", out)
    call = Call(
        model, data, hardware, weights=weights, calibration=calibration, train=train, changes=tuple(changes or ()),
        validation=validation, holdout=share(holdout, "holdout"), seed=seed, folder=str(Path.cwd()),
        task=task, times=tuple(part.strip() for part in times.split(",") if part.strip()),
        ranges=None if ranges is None else str(ranges),
    )  # fmt: skip
    advice = search(
        network.eval(), hw, test, **told, **settings,
        seed=seed, name=model, call=call, command=command(), progress=True,
    )  # fmt: skip
    try:  # files are written before anything is printed: nobody may be reading
        written = mho.report(advice, out)
    finally:
        console.print(str(advice), markup=False, highlight=False, soft_wrap=True)
    if advice.recommended is not None:
        console.print(
            f"\n{advice.snippet(out)}\n\n{advice.shell(out)}\n", markup=False, highlight=False, soft_wrap=True
        )
    console.print(f"report: {written}", markup=False)
