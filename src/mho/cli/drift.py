"""`mho drift`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mho.cli.options import DATA, TASK, described, trained, whole


def drift(
    model: Annotated[
        str,
        typer.Argument(
            help="package.module:factory[?key=value], a name of mho.models, published:NAME, or a .pt2 file."
        ),
    ],
    data: Annotated[str, typer.Option("--data", help=f"Test data. {DATA}")],
    hardware: Annotated[str, typer.Option("--hardware", help="A preset or a YAML file.")] = "pcm",
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
    confidence: Annotated[float, typer.Option("--confidence", help="Of every interval.")] = 0.95,
    budget: Annotated[float, typer.Option("--budget", help="What may be lost: of an accuracy as a fraction.")] = 0.01,
    calibration: Annotated[
        str | None,
        typer.Option("--calibration", help="Data for ranges and --recalibrate (labels unused); default: --data."),
    ] = None,
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
    from rich.console import Console

    import mho
    from mho.cli.progress import drift_bar
    from mho.data import load
    from mho.recalibration import RECALIBRATIONS
    from mho.tasks.parts import few

    hw = described(hardware, changes)
    network = trained(model, weights)
    test = load(data)
    ranges = test if calibration is None else load(calibration)
    net = mho.to_analog(network, hw, example=few(next(iter(ranges))))
    mho.calibrate(net, ranges)
    recalibrations = [RECALIBRATIONS.find(kind).of(ranges, net) for kind in recalibrate or []]
    with drift_bar() as progress:
        result = mho.drift(
            net, test, [part for part in times.split(",") if part.strip()],
            chips="auto" if chips == "auto" else whole(chips, "--chips"),
            images=images if images in ("all", "auto") else whole(images, "--images"),  # type: ignore[arg-type]
            ci=ci, max_chips=max_chips, confidence=confidence, seed=seed, out=out, workers=workers,
            task=task, name=model, recalibrate=recalibrations, refresh=refresh,
            command=shlex.join(["mho", *sys.argv[1:]]), progress=progress,
        )  # fmt: skip
    console = Console()
    console.print(str(result), markup=False, highlight=False)
    if result.shared:
        console.print(f"rows: {result.to_csv(out / 'rows.csv')} (a report needs --images all)", markup=False)
    else:
        console.print(f"report: {mho.report(result, out, budget=budget)}", markup=False)
