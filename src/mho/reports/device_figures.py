"""The figures of a fitted device: what was measured, and the laws over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mho.fitting import DeviceFit
from mho.fitting.regression import Floats
from mho.fitting.resampled import show
from mho.fitting.stages import Mask
from mho.fitting.ways import PowerLaw
from mho.reports.age_axis import age_axis
from mho.reports.colours import BLUE, COLOURS, INK, MUTED, RUST
from mho.reports.plot import Line, Plot
from mho.reports.svg import axis_width, band, compose, of_line
from mho.statistics.curves import log_age
from mho.statistics.intervals import Interval
from mho.units import show_time

_DOTS = 400
"""Most cells that are drawn; of more, so many chosen evenly."""
_CELLS = 6
_ROWS = 9


@dataclass(frozen=True)
class _Layer:
    """Dots of cells (kept and odd ones), a curve with its interval, and the curve ± the spread of cells around it."""

    x: Floats
    y: Floats
    odd: Mask
    at: Floats
    curve: Sequence[Interval]
    around: Floats | None = None


def draw(fit: DeviceFit) -> list[Plot]:
    """Every figure that the data give, in the order of the chip's life."""
    found = [_programming(fit), _spread_of_programming(fit)]
    mean, spread_, left_over = fit.stages.way.names
    if mean in fit.quantities or spread_ in fit.quantities:
        found.append(_change(fit))
    if len(fit.measured.times_s) > 1:
        found.append(_over_time(fit))
    if left_over in fit.quantities:
        found.append(_left_over(fit))
    return found


def _programming(fit: DeviceFit) -> Plot:
    measured, stages = fit.measured, fit.stages
    sigma = fit.quantities["programming_us"]
    at = np.array(sigma.at_r) * fit.cell.g_max_us
    bias = fit.quantities.get("programming_bias_us")
    curve = [bias.at(r) for r in sigma.at_r] if bias else [Interval(0.0, 0.0, 0.0)] * len(at)
    layer = _Layer(
        measured.target_us, stages.error_us, ~stages.kept, at, curve, np.array([i.value for i in sigma.curve])
    )
    return _scatter(
        "programming",
        "Programming error of every cell",
        layer,
        "target (µS)",
        "conductance less target (µS)",
        f"{_start(fit)[0].upper()}{_start(fit)[1:]} less the target. Shaded: mean ± σ of the fitted law.",
        "systematic error",
        "µS",
    )


def _spread_of_programming(fit: DeviceFit) -> Plot:
    measured, stages, quantity = fit.measured, fit.stages, fit.quantities["programming_us"]
    x, y = [], []
    variance = (stages.q * stages.fits.scale_us) ** 2 * stages.fits.var_g
    for group in _groups(measured.target_us, stages.kept & (stages.fits.g_us > 0)):
        x.append(float(measured.target_us[group].mean()))
        y.append(float(np.sqrt(max(stages.error_us[group].var(ddof=1) - variance[group].mean(), 0.0))))
    layer = _Layer(
        np.array(x),
        np.array(y),
        np.zeros(len(x), dtype=bool),
        np.array(quantity.at_r) * fit.cell.g_max_us,
        quantity.curve,
    )
    return _scatter(
        "sigma",
        "σ of programming over the conductance",
        layer,
        "target (µS)",
        "σ_p (µS)",
        f"Law: {quantity.shape.name}, with its interval. Dots: deviation within groups of cells, less what reading adds.",
        "σ_p",
        "µS",
        dots="cells of like targets",
    )


def _change(fit: DeviceFit) -> Plot:
    """What cells do over time: ν, or the change in a decade."""
    stages = fit.stages
    mean, spread_, _ = stages.way.names
    law, std = fit.quantities[mean], fit.quantities.get(spread_)
    there = np.isfinite(stages.fits.nu)
    layer = _Layer(
        fit.measured.target_us[there],
        stages.fits.nu[there],
        ~stages.drifting[there],
        np.array(law.at_r) * fit.cell.g_max_us,
        law.curve,
        np.array([std.at(r).value for r in law.at_r]) if std else None,
    )
    power = isinstance(stages.way, PowerLaw)
    return _scatter(
        "drift",
        "Drift exponent of every cell" if power else "Change of every cell in a decade of time",
        layer,
        "target (µS)",
        "ν" if power else "change (µS/decade)",
        "Law of the mean with its interval"
        + ("; wide: ± the spread over cells" if power else "")
        + ". Dots also hold "
        + ("the error of their own readings." if power else "their own fluctuation."),
        "mean ν" if power else "mean change",
        "" if power else "µS",
    )


def _left_over(fit: DeviceFit) -> Plot:
    """Of the cells' own laws: noise of reading, or the fluctuation."""
    stages, way = fit.stages, fit.stages.way
    quantity, mask = fit.quantities[way.names[2]], stages.fluctuating
    rms = np.sqrt(stages.fits.squares[mask] / stages.fits.freedom[mask])
    power, at = isinstance(way, PowerLaw), float(fit.measured.times_s[0])
    s = 100 * float(way.noise_us(stages.fits.form, np.ones(1), np.ones(1), at)[0]) if power else 1.0
    layer = _Layer(
        stages.fits.g_us[mask],
        s * rms,
        np.zeros(int(mask.sum()), dtype=bool),
        np.array(quantity.at_r) * fit.cell.g_max_us,
        [Interval(s * i.value, s * i.low, s * i.high) for i in quantity.curve],
    )
    if not power:
        return _scatter(
            "fluctuation", "Fluctuation in a decade of time", layer, "conductance (µS)", "σ in a decade (µS)",
            f"Law: {quantity.shape.name}, with its interval. Dots: of each cell, about its own mean change.", "fluctuation", "µS",
        )  # fmt: skip
    return _scatter(
        "reading", f"Read noise at {show_time(at)}", layer, "conductance (µS)", "σ of a reading (% of it)",
        f"Law: {quantity.shape.name}, {stages.fits.form}, with its interval. Dots: what each cell's own power law leaves over.",
        "read noise", "%",
    )  # fmt: skip


def _start(fit: DeviceFit) -> str:
    """Which conductance is held against the target."""
    way = fit.stages.way
    return f"conductance at {show_time(way.onset_s)}" if isinstance(way, PowerLaw) else "verified conductance"


def _over_time(fit: DeviceFit) -> Plot:
    """Some cells' readings, from low to high conductance, with their power laws."""
    measured, fits = fit.measured, fit.stages.fits
    way = fit.stages.way
    power = isinstance(way, PowerLaw)
    sign, laws = ("ν", "power laws") if power else ("change", "lines in decades of time")
    good = np.flatnonzero(fit.stages.drifting)
    order = good[np.argsort(measured.target_us[good], kind="stable")]
    shown = (
        [int(order[i]) for i in np.unique(np.linspace(len(order) * 0.08, len(order) - 1, _CELLS).astype(int))]
        if len(order)
        else []
    )
    times = [float(t) for t in measured.times_s]
    lines = [
        Line(
            f"cell {measured.cells[c]}: {measured.target_us[c]:.3g} µS, {sign} = {fits.nu[c]:.3g}",
            COLOURS[i % len(COLOURS)],
            marker="o",
        )
        for i, c in enumerate(shown)
    ]

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        for i, c in enumerate(shown):
            there = np.isfinite(measured.g_us[c])
            t, g = measured.time_s[c][there], measured.g_us[c][there]
            colour = COLOURS[i % len(COLOURS)]
            ax.plot(log_age(t, times), g, "o", color=colour, markersize=3.5, **of_line(i))
            ax.plot(
                log_age(times, times), way.curve(fits, c, np.array(times)), color=colour, linewidth=1.2, **of_line(i)
            )
        age_axis(ax, times, width=axis_width(wide))
        ax.set_xlabel("time of reading")
        ax.set_ylabel("conductance (µS)")
        ax.set_ylim(bottom=0)
        return []

    svg, panes = compose("cells", paint, height=3.4, lines=lines)
    over = fit.over_time
    trend = (
        ""
        if over is None
        else (
            f" What all cells' {laws} leave over {'has a' if over.p < 0.01 else 'shows no'} trend in time (p = {over.p:.2g})."
        )
    )
    return Plot(
        "cells", "Some cells over time", f"Conductance of {len(shown)} cells over time, with their {laws}.",
        f"Dots: readings. Lines: {laws}, each cell's own.{trend}", ("cell", "target (µS)", f"{_start(fit)} (µS)", sign),
        [(measured.cells[c], f"{measured.target_us[c]:.4g}", f"{fits.g_us[c]:.4g}", f"{fits.nu[c]:.3g}") for c in shown],
        svg, panes, tuple(lines),
    )  # fmt: skip


def _scatter(
    name: str,
    title: str,
    layer: _Layer,
    x_label: str,
    y_label: str,
    caption: str,
    quantity: str,
    unit: str,
    dots: str = "cells",
) -> Plot:
    values = np.array([(i.value, i.low, i.high) for i in layer.curve])
    lines = [Line(dots, MUTED, "dots", "o"), Line(quantity, BLUE, band=True)]
    lines += [Line("left out of the laws", RUST, "dots", "o")] * bool(layer.odd.any())
    kept = np.flatnonzero(~layer.odd)
    kept = kept[np.unique(np.linspace(0, len(kept) - 1, min(len(kept), _DOTS)).astype(int))] if len(kept) else kept

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        ax.plot(
            layer.x[kept], layer.y[kept], "o", color=MUTED, markersize=3, alpha=0.6, markeredgewidth=0, **of_line(0)
        )
        low, high = values[:, 1], values[:, 2]
        if layer.around is not None:
            band(
                ax,
                layer.at,
                values[:, 0] - layer.around,
                values[:, 0] + layer.around,
                alpha=0.12,
                color=BLUE,
                **of_line(1),
            )
        band(ax, layer.at, low, high, alpha=0.25, color=BLUE, **of_line(1))
        if len(layer.at) > 1:
            ax.plot(layer.at, values[:, 0], color=BLUE, **of_line(1))
        else:
            ax.plot(layer.at, values[:, 0], "_", color=INK, markersize=12, **of_line(1))
        ax.plot(layer.x[layer.odd], layer.y[layer.odd], "o", color=RUST, markersize=4, markeredgewidth=0, **of_line(2))
        ax.set_xlabel(x_label)
        ax.set_ylabel(y_label)
        return []

    svg, panes = compose(name, paint, height=3.4, lines=lines)
    places = range(0, len(layer.at), max(1, (len(layer.at) - 1) // (_ROWS - 1)))
    rows = [(f"{layer.at[i]:.3g} µS", show(layer.curve[i], unit)) for i in places]
    ends = "; ".join(f"{at}: {value}" for at, value in rows[:: max(1, len(rows) - 1)])
    alt = f"Scatter of {len(layer.x)} {dots} with the fitted law: {ends}"
    return Plot(name, title, alt, caption, (x_label, f"{quantity}, with its interval"), rows, svg, panes, tuple(lines))


def _groups(target: Floats, kept: Mask) -> list[NDArray[np.int64]]:
    """Cells of the same target; of like targets where there are many, or few cells of each."""
    cells = np.flatnonzero(kept)
    order = cells[np.argsort(target[cells], kind="stable")]
    values, starts, counts = np.unique(target[order], return_index=True, return_counts=True)
    if len(values) <= 40 and counts.min() >= 5:
        return [order[a : a + n] for a, n in zip(starts, counts, strict=True)]
    return [part for part in np.array_split(order, max(1, len(order) // 12)) if len(part) > 2]
