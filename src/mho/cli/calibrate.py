"""`mho calibrate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mho.cli.options import TASK
from mho.errors import WrongSetting

if TYPE_CHECKING:
    from collections.abc import Callable

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
        typer.Option(
            "--data", help="Data for the ranges (labels unused): a name of mho.data with ?options, or module:factory."
        ),
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
        float | None, typer.Option("--quantile", help="Share of the values covered; default 1.")
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
    confidence: Annotated[float, typer.Option("--confidence", help="Of what --bits finds.")] = 0.95,
    highest: Annotated[int, typer.Option("--highest", help="Bits that --bits starts from.")] = 8,
    per_layer: Annotated[bool, typer.Option(help="Let --bits look by layer, too.")] = True,
    task: Annotated[str, typer.Option("--task", help=TASK)] = "classes",
    out: Annotated[Path, typer.Option("--out", help="Where the ranges go.")] = Path("ranges.safetensors"),
) -> None:
    """Set the ranges of the converters from data, show what they clip and cost, and write them to a file.

    net.load_state_dict(safetensors.torch.load_file(FILE), strict=False) sets them again.
    """
    from rich.console import Console

    import mho
    from mho.calibration import ranges_of, save_ranges
    from mho.calibration.range_report import range_report
    from mho.cli.options import described, share, trained
    from mho.data import load

    allowed = share(budget)
    if bits and test is None:
        raise WrongSetting("--bits measures accuracy", "give --test DATA, other than --data", path="--test")
    hw = described(hardware, changes)
    network, given = trained(model, weights), load(data)
    measured = None if test is None else load(test)
    options: dict[str, Any] = {
        "method": method, "adc_method": adc_method, "quantile": quantile, "sigmas": sigmas, "momentum": momentum,
    }  # fmt: skip
    console, found = Console(), None
    net = mho.to_analog(network, hw, example=next(iter(given))[0][:2])
    if bits:
        from mho.advice.bits import smallest_bits

        with _bar("bits") as show:
            found = smallest_bits(
                network, hw, given, measured or (), budget=allowed, confidence=confidence, highest=highest,
                per_layer=per_layer, task=task, max_batches=8 if batches is None else batches, **options,
                progress=lambda tried: show(
                    None, None, f"DAC {tried.dac:.3g} bits, ADC {tried.adc:.3g} bits: {tried.score.show(tried.mean, 2)}"
                ),
            )  # fmt: skip
        console.print(str(found), markup=False, highlight=False, soft_wrap=True)
        if found.dac is not None or found.layers:
            found.apply(net)
    with _bar("ranges") as show:
        mho.calibrate(net, given, max_batches=batches, progress=show, **options)
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

    table = Table(caption="error: signal over error at the layer's output, for ideal cells")
    for name in ("matrix", "DAC range", "inputs clipped", "ADC ranges", "outputs clipped", "error [dB]"):
        table.add_column(name, justify="left" if name == "matrix" else "right", no_wrap=name == "matrix")
    for row in rows:
        ends = sorted({f"{r:.4g}": r for r in row.adc_ranges}.items(), key=lambda pair: pair[1])
        reach = "" if row.input_range is None else f"{row.input_range:.4g}"
        bounds = "" if not ends else ends[0][0] if len(ends) == 1 else f"{ends[0][0]} … {ends[-1][0]}"
        table.add_row(
            row.path, reach, f"{row.inputs_clipped:.3%}", bounds, f"{row.outputs_clipped:.3%}", f"{row.decibels:.1f}"
        )
    return table


@contextmanager
def _bar(name: str) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=16), TimeElapsedColumn(), TextColumn("{task.fields[known]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None, known="")

        def show(done: int | None, steps: int | None, known: str = "") -> None:
            bar.update(task, completed=done, total=steps, known=known)

        yield show
