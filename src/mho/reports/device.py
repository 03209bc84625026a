"""`write_device`: the page of a fitted cell, which opens without a network."""

from __future__ import annotations

import math
from pathlib import Path

from mho.errors import BadInput
from mho.fitting import DeviceFit
from mho.fitting.choice import Choice
from mho.fitting.resampled import LABELS, show
from mho.reports.device_figures import draw
from mho.reports.page import Cell, Head, Row, Table, render, split
from mho.store.files import write_text

_RIVALS = 4
_ODD = 40


def write_device(fit: DeviceFit, directory: str | Path) -> Path:
    """Write ``device.html`` beside ``device.yaml``, ``cell.yaml`` and ``fit.json``.

    Args:
        fit: What was fitted.
        directory: Made if it is not there.

    Returns:
        Path of ``device.html``.

    Raises:
        BadInput: The directory cannot be written.
    """
    directory = Path(directory)
    plots = draw(fit)
    page = render(
        "device.html.j2",
        fit=fit,
        sentence=f"{fit.measured.shown()}.",
        name=Path(fit.measured.source).name,
        plots=plots,
        keys=_keys(fit),
        laws=_laws(fit),
        rivals=_rivals(fit),
        odd=_odd(fit),
        level=f"{100 * fit.confidence:g} %",
        cell=fit.cell.to_yaml(),
        how=f"mho drift MODEL --data DATA --hardware {directory / 'device.yaml'}",
    )
    try:
        if not (directory / "device.yaml").exists():
            fit.write(directory)
        path = directory / "device.html"
        write_text(path, page)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another directory", path=str(directory)) from error
    return path


def _keys(fit: DeviceFit) -> list[tuple[str, str, str]]:
    found = [
        (
            "Cells",
            f"{len(fit.measured.cells):,}",
            f"{fit.measured.readings:,} readings; {len(fit.stages.odd)} cells left out",
        )
    ]
    for name, words in (
        ("programming_us", "σ of programming"),
        ("nu", "Mean drift exponent"),
        ("nu_std", "Spread of ν"),
        ("trend_us", "Change in a decade"),
        ("fluctuation_us", "Fluctuation in a decade"),
    ):
        if name in fit.quantities:
            quantity = fit.quantities[name]
            r = quantity.at_r[len(quantity.at_r) // 2]
            value, note = split(show(quantity.at(r)))
            unit = LABELS[name][1]
            found.append((words, f"{value} {unit}".strip(), f"{note} at {r * fit.cell.g_max_us:.3g} µS"))
    value, note = split(show(fit.levels_told_apart))
    found.append(("Levels told apart", value, f"{note} 1 % overlap, first reading"))
    for why, share in fit.stuck.items():
        found.append(
            (why.capitalize(), f"{100 * share.value:.2g} %", f"[{100 * share.low:.2g}, {100 * share.high:.2g}]")
        )
    return found


def _laws(fit: DeviceFit) -> Table:
    rows = []
    for (label, family, values), name in zip(fit.lines(), fit.quantities, strict=True):
        good = fit.goodness.get(name)
        rows.append(Row((label, family, values, "" if good is None else str(good))))
    return Table(
        [Head("quantity", "wrap"), Head("law", "wrap"), Head("values", "wrap"), Head("deviations", "wrap")], rows
    )


def _rivals(fit: DeviceFit) -> Table:
    rows: list[Row] = []
    seen: list[Choice] = []
    for name, quantity in fit.quantities.items():
        choice = quantity.choice
        if any(choice is other for other in seen):
            continue
        seen.append(choice)
        for rival in choice.rivals[: max(_RIVALS, len(choice.tied) + 1)]:
            chosen = rival is choice.chosen
            predicted = "" if math.isnan(rival.predicted) else f"{rival.predicted:.4f}"
            rows.append(
                Row(
                    (
                        Cell(LABELS[name][0], "chosen" if chosen else ""),
                        rival.name,
                        f"{rival.aicc - choice.rivals[0].aicc:.1f}",
                        predicted,
                    ),
                    "best" if chosen else "",
                )
            )
    return Table(
        [Head("quantity", "wrap"), Head("laws", "wrap"), Head("ΔAICc"), Head("left-out cells, ln L each")], rows
    )


def _odd(fit: DeviceFit) -> Table:
    measured = fit.measured
    rows = [
        Row(
            (
                measured.cells[o.cell],
                o.why,
                f"{measured.target_us[o.cell]:.4g}",
                f"{fit.stages.fits.g_us[o.cell]:.4g}",
                f"{o.deviations:+.1f}",
            )
        )
        for o in fit.stages.odd[:_ODD]
    ]
    return Table(
        [Head("cell", "text"), Head("why", "text"), Head("target (µS)"), Head("conductance (µS)"), Head("σ off")], rows
    )
