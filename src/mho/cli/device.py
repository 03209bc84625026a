"""`mho device`: a cell from measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Cells from measurements: fit one to programmed and read conductances.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `fit` a command of its own while it is the only one."""


@app.command("fit")
def fit(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV: a line a reading (cell, target [uS], time [s], conductance [uS]; also read, temperature), or a line a "
            "cell with a column for each time ('20 s [uS]')."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for device.yaml, cell.yaml, fit.json and device.html.")
    ] = Path("device"),
    law: Annotated[
        str,
        typer.Option("--law", help="How cells change with time: power, or relaxation (1/f, as RRAM's)."),
    ] = "power",
    conductance_unit: Annotated[
        str | None,
        typer.Option(
            "--conductance-unit", help="Of target and conductance, where their heads have none: uS, nS, mS, S."
        ),
    ] = None,
    time_unit: Annotated[
        str | None, typer.Option("--time-unit", help="Of the time, where its head has none: s, min, h …")
    ] = None,
    first_read: Annotated[
        str | None,
        typer.Option(
            "--first-read",
            help="Time between programming and time 0 of the data ('20 s'), or 'fit'; default: times count from programming.",
        ),
    ] = None,
    t_read: Annotated[
        str | None,
        typer.Option("--t-read", help="Duration of a reading, from which 1/f noise grows; default: 250 ns."),
    ] = None,
    g_min: Annotated[
        str | None, typer.Option("--g-min", help="Lowest state of the cell ('0 uS'); default: the lowest target.")
    ] = None,
    g_max: Annotated[
        str | None, typer.Option("--g-max", help="Highest state ('25 uS'); default: the highest target.")
    ] = None,
    levels: Annotated[int | None, typer.Option("--levels", help="Programmable states; default: continuous.")] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Which readings, °C, where there are several.")
    ] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out readings that are missing, negative or no numbers.")
    ] = False,
    base: Annotated[
        str, typer.Option("--base", help="Everything but the cell in device.yaml: a preset or a YAML file.")
    ] = "pcm",
    confidence: Annotated[str, typer.Option("--confidence", help="Of every interval: 95% or 0.95.")] = "95%",
    resamples: Annotated[int, typer.Option("--resamples", help="Drawings of the cells for the intervals.")] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Of the drawings.")] = 0,
) -> None:
    """Fit a cell: programming error, drift, read noise and odd cells, each with its interval, and what the data cannot tell."""
    import mho
    from mho.cli.terminal import Console
    from mho.hardware import Hardware
    from mho.store.files import writable

    writable(out, "--out")
    hw = Hardware.of(base)
    number = {name: _conductance(text) for name, text in (("g_min", g_min), ("g_max", g_max))}
    found = mho.fit_device(
        file,
        law=law,  # type: ignore[arg-type]
        conductance_unit=conductance_unit,
        time_unit=time_unit,
        first_read=first_read,
        t_read=t_read,
        **number,
        levels=levels,
        temperature=temperature,
        skip_invalid=skip_invalid,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    paths = found.write(out, hw)
    page = mho.report(found, out)
    console = Console()
    console.print(f"{found}\n", markup=False, highlight=False, soft_wrap=True)
    console.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"hardware: {paths['device.yaml']} (mho drift MODEL --data DATA --hardware {paths['device.yaml']})",
                  markup=False, highlight=False, soft_wrap=True)  # fmt: skip


def _conductance(text: str | None) -> str | float | None:
    """A number of µS where no unit stands with it."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
