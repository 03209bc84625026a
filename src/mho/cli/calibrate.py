"""`mho calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mho.cli.options import DATA, TASK
from mho.errors import WrongSetting

if TYPE_CHECKING:
    from rich.table import Table

    from mho.calibration.range_report import LayerRanges


def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            help="package.module:factory[?key=value], a name of mho.models, published:NAME, or a .pt2 file."
        ),
    ],
    data: Annotated[
        str,
        typer.Option("--data", help=f"Data for the ranges (labels unused). {DATA}"),
    ],
    hardware: Annotated[str, typer.Option("--hardware", help="A preset or a YAML file.")] = "pcm",
    weights: Annotated[str | None, typer.Option("--weights", help="safetensors, or a weights_only checkpoint.")] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method", help="max, quantile, moving_average, std, or error (smallest error at the layers' outputs)."
        ),
    ] = "quantile",
    adc_method: Annotated[
        str | None, typer.Option("--adc-method", help="Method of the ADCs; default: --method.")
    ] = None,
    quantile: Annotated[
        str | None, typer.Option("--quantile", help="Share of the values covered: 99.9% or 0.999; default 1.")
    ] = None,
    sigmas: Annotated[
        float | None, typer.Option("--sigmas", help="Standard deviations; std takes 3 by default.")
    ] = None,
    momentum: Annotated[
        float | None, typer.Option("--momentum", help="Of moving_average; default: every batch alike.")
    ] = None,
    batches: Annotated[
        int | None, typer.Option("--batches", help="Most batches looked at; all of them by default (--bits: 8).")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A changed setting, e.g. --set adc.bits=6.")
    ] = None,
    test: Annotated[
        str | None, typer.Option("--test", help="Labelled data to measure the accuracy (or score) on.")
    ] = None,
    bits: Annotated[
        bool, typer.Option("--bits", help="Look for the fewest bits of the converters (needs --test).")
    ] = False,
    budget: Annotated[
        str, typer.Option("--budget", help="What --bits may lose: of an accuracy as 0.5% or 0.005.")
    ] = "0.5%",
    confidence: Annotated[str, typer.Option("--confidence", help="Of what --bits finds: 95% or 0.95.")] = "95%",
    highest: Annotated[int, typer.Option("--highest", help="Bits that --bits starts from.")] = 8,
    per_layer: Annotated[bool, typer.Option(help="Let --bits look by layer, too.")] = True,
    task: Annotated[str, typer.Option("--task", help=TASK)] = "classes",
    out: Annotated[Path, typer.Option("--out", help="Where the ranges go.")] = Path("ranges.safetensors"),
) -> None:
    """Set the ranges of the converters from data, show what they clip and cost, and write them to a file.

    'mho drift', 'mho advise' and 'mho train' take it: --ranges FILE; in Python, mho.calibration.load_ranges(net, FILE).
    """
    import mho
    from mho.calibration import ranges_of, save_ranges
    from mho.calibration.range_report import range_report
    from mho.calibration.ranges import rules as check_options
    from mho.cli.options import described, trained
    from mho.cli.terminal import Console
    from mho.data import load
    from mho.statistics.intervals import check_confidence
    from mho.store.files import writable_file
    from mho.tasks import Task
    from mho.tasks.parts import few
    from mho.units import share

    options: dict[str, Any] = {
        "method": method, "adc_method": adc_method, "quantile": None if quantile is None else share(quantile, "quantile"),
        "sigmas": sigmas, "momentum": momentum,
    }  # fmt: skip
    if bits and test is None:
        raise WrongSetting("--bits measures accuracy", "give --test DATA, other than --data", path="--test")
    scored, level = Task.of(task), check_confidence(confidence)
    allowed = scored.headline.check_budget(budget)
    check_options(**options)
    hw = described(hardware, changes)
    writable_file(out, "--out")
    network, given = trained(model, weights), load(data)
    measured = None if test is None else load(test)
    console, found = Console(), None
    net = mho.to_analog(network, hw, example=few(next(iter(given))))
    if bits:
        from mho.advice.bits import smallest_bits

        found = smallest_bits(
            network, hw, given, measured or (), budget=allowed, confidence=level, highest=highest, progress=True,
            per_layer=per_layer, task=scored, max_batches=8 if batches is None else batches, **options,
        )  # fmt: skip
        console.print(str(found), markup=False, highlight=False, soft_wrap=True)
        if found.dac is not None or found.layers:
            found.apply(net)
    mho.calibrate(net, given, max_batches=batches, progress=True, **options)
    if ranges_of(net):
        console.print(_table(range_report(net, given)))
        console.print(f"ranges: {save_ranges(net, out)}", markup=False, highlight=False, soft_wrap=True)
    else:
        console.print("nothing in this hardware needs a range from data; no file is written")
    if measured is not None:
        from mho.measure import TestData, measure

        held = TestData.of(measured, task=task)
        score = held.task.headline
        means = [measure(n, held, chip=-1, age_s=0.0, address=("calibrate",)).mean for n in (network, net)]
        digital, analog = (score.show(score.worth(mean), 2) for mean in means)
        console.print(f"{score.label}: digital {digital}, on arrays of ideal cells {analog}", highlight=False)


def _table(rows: Sequence[LayerRanges]) -> Table:
    from rich.table import Table

    table = Table(caption="signal/error: at the layer's output, for ideal cells; more is better")
    for name in ("matrix", "DAC range", "inputs clipped", "ADC ranges", "outputs clipped", "signal/error, dB"):
        table.add_column(name, justify="left" if name == "matrix" else "right", no_wrap=name == "matrix")
    for row in rows:
        ends = sorted({f"{r:.4g}": r for r in row.adc_ranges}.items(), key=lambda pair: pair[1])
        reach = "" if row.input_range is None else f"{row.input_range:.4g}"
        bounds = "" if not ends else ends[0][0] if len(ends) == 1 else f"{ends[0][0]} … {ends[-1][0]}"
        table.add_row(
            row.path, reach, f"{row.inputs_clipped:.3%}", bounds, f"{row.outputs_clipped:.3%}", f"{row.decibels:.1f}"
        )
    return table
