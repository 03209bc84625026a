"""`mho drift`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mho.cli.interruption import command, keeps
from mho.cli.options import DATA, RANGES, TASK, described, number_or_word, trained


def drift(
    model: Annotated[
        str,
        typer.Argument(
            help="package.module:factory[?key=value], a name of mho.models, published:NAME, or a .pt2 file."
        ),
    ],
    data: Annotated[str, typer.Option("--data", help=f"Test data. {DATA}")],
    hardware: Annotated[str | None, typer.Option("--hardware", help="A preset or a YAML file; default: pcm.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="safetensors, or a weights_only checkpoint.")] = None,
    times: Annotated[str, typer.Option("--times", help="Ages, separated by commas.")] = "1h,1d,1mo,6mo,1y",
    chips: Annotated[str, typer.Option("--chips", help="A number, or 'auto'.")] = "auto",
    images: Annotated[
        str,
        typer.Option(
            "--images",
            help="Test images a chip sees: 'all', 'auto' (chips share passes: quicker, no report), or a number.",
        ),
    ] = "all",
    ci: Annotated[
        float | None,
        typer.Option(
            "--ci", help="Half-width of the interval asked for: points of accuracy (0.5), else the score's unit."
        ),
    ] = None,
    max_chips: Annotated[int, typer.Option("--max-chips", help="Most chips of an automatic run.")] = 100,
    confidence: Annotated[str, typer.Option("--confidence", help="Of every interval: 95% or 0.95.")] = "95%",
    max_seconds: Annotated[
        str | None, typer.Option("--max-seconds", help="No chip is begun after this time: 10min, or 600s.")
    ] = None,
    budget: Annotated[str, typer.Option("--budget", help="What may be lost: of an accuracy as 1% or 0.01.")] = "1%",
    calibration: Annotated[
        str | None,
        typer.Option("--calibration", help="Data for ranges and --recalibrate (labels unused); default: --data."),
    ] = None,
    ranges: Annotated[Path | None, typer.Option("--ranges", help=RANGES)] = None,
    recalibrate: Annotated[
        list[str] | None,
        typer.Option("--recalibrate", help="norms, affine, output or threshold on the aged chip; may be repeated."),
    ] = None,
    refresh: Annotated[
        str | None, typer.Option("--refresh", help="Interval after which the chip is programmed anew, e.g. 1mo.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A changed setting, e.g. --set adc.bits=6.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Root seed.")] = 0,
    workers: Annotated[int, typer.Option("--workers", help="Processes, one thread each.")] = 1,
    task: Annotated[str, typer.Option("--task", help=TASK)] = "classes",
    out: Annotated[Path, typer.Option("--out", help="Where rows and the report go; the same command resumes.")] = Path(
        "out"
    ),
) -> None:
    """Measure what a network keeps of its accuracy as programmed chips age, and write a report."""
    import mho
    from mho.calibration import load_ranges
    from mho.cli.terminal import Console
    from mho.data import load
    from mho.measure import Asked
    from mho.measure.table import table
    from mho.recalibration import RECALIBRATIONS
    from mho.tasks.parts import few

    settings: dict[str, Any] = {
        "times": times, "chips": number_or_word(chips), "images": number_or_word(images), "ci": ci, "max_chips": max_chips,
        "max_seconds": max_seconds, "confidence": confidence, "refresh": refresh, "workers": workers, "task": task, "out": out,
    }  # fmt: skip
    hw = described(hardware, changes, ranges)
    kinds = [RECALIBRATIONS.find(kind) for kind in recalibrate or []]
    Asked.of(**settings, budget=budget)  # before the network and the data are loaded
    network = trained(model, weights)
    test = load(data)
    inputs = test if calibration is None else load(calibration)
    keeps("finished chips", out)
    net = mho.to_analog(network, hw, example=few(next(iter(inputs))))
    if ranges is None:
        mho.calibrate(net, inputs, progress=True)
    else:
        load_ranges(net, ranges)
    result = mho.drift(
        net, test, **settings, seed=seed, name=model, recalibrate=[kind.of(inputs, net) for kind in kinds],
        command=command(), progress=True,
    )  # fmt: skip
    console = Console()
    try:  # files are written before anything is printed: nobody may be reading
        if result.shared:
            written = f"rows: {result.to_csv(out / 'rows.csv')} (a report needs --images all)"
        else:
            written = f"report: {mho.report(result, out, budget=budget)}"
    finally:
        console.print(table(result, budget), markup=False, highlight=False, soft_wrap=True)
    console.print(written, markup=False, soft_wrap=True)
