"""Tables and figures of the study of SqueezeNet and drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from mho.measure.sentence import show_age
from mho.statistics.intervals import Interval
from mho.studies.figure import Figure, Series, limit, points, reference
from mho.studies.outcome import NotStored, Results, show_level
from mho.studies.squeezenet.claims import converter_table, matched, thresholds, usable
from mho.studies.squeezenet.detector import AGES, COMPENSATIONS, METRICS
from mho.studies.squeezenet.noise_grid import FACTORS, Grid, interval
from mho.studies.table import Table
from mho.sweeps.effects.correlation import interval as correlation
from mho.units import seconds

_TIMES = tuple(seconds(age) for age in AGES)
_SHOWN = tuple(show_age(t) for t in _TIMES)
_WAYS = ("GDC", "exact GDC")
_CELLS = ((0.0, 0.0), (0.1, 0.0), (0.3, 0.0), (0.0, 0.1), (0.0, 0.3))
Found = Results[Any, Any]


def tables(results: Found) -> list[Table]:
    """Every number; what is not stored yet is left out."""
    makers = (
        _there,
        _grid,
        _marginals,
        _losses,
        _thresholds,
        _metrics,
        _crossed,
        _converters,
        _original,
        _photographs,
        _cost,
    )
    return [table for maker in makers for table in _drawn(maker, results)]


def figures(results: Found) -> list[Figure]:
    """Accuracy over age by each noise and by compensation, what output noise costs, the decision, the converters."""
    return [
        figure
        for maker in (_by_noise, _reading, _ways, _decision, _steps, _photographed)
        for figure in _drawn(maker, results)
    ]


def _drawn(maker: Callable[[Found], Iterator[Any]], results: Found) -> list[Any]:
    found: list[Any] = []
    with suppress(NotStored):
        found += maker(results)
    return found


def _rows(results: Found, work: str) -> list[dict[str, Any]]:
    return [row for o in results.values() if o.arm.work == work for rows in o.runs.values() for row in rows]


def _level(found: Interval) -> str:
    return show_level(found) if np.isfinite(found.half_width) else f"{100 * found.value:.1f}"


def _there(results: Found) -> Iterator[Table]:
    rows = []
    for work in dict.fromkeys(o.arm.work for o in results.values()):
        parts = [
            f"{o.arm.label} ({len(o.runs)} of {max(1, o.arm.seeds)})" for o in results.values() if o.arm.work == work
        ]
        rows.append((work, "; ".join(parts)))
    if rows:
        yield Table(("stored", "arms (training seeds)"), rows)


def _grid(results: Found) -> Iterator[Table]:
    grid = matched(results)
    for age in ("1 day", "1 year"):
        for name in _WAYS:
            head = (f"accuracy (%) after {age}, {name}: weight noise", *(f"output {o:g}" for o in grid.levels[1]))
            rows = []
            for w in grid.levels[0]:
                found = (interval(grid.at("accuracy", age, (w, o), name)) for o in grid.levels[1])
                rows.append((f"{w:g}", *map(_level, found)))
            yield Table(head, rows)


def _marginals(results: Found) -> Iterator[Table]:
    grid = matched(results)
    for name in _WAYS:
        rows = []
        for place, factor in enumerate(FACTORS):
            for level in grid.levels[place]:
                row = (_level(interval(grid.marginal("accuracy", age, factor, level, name))) for age in AGES)
                rows.append((f"{factor} {level:g}", *row))
        yield Table((f"accuracy (%), {name}, mean over the other noise", *_SHOWN), rows)


def _losses(results: Found) -> Iterator[Table]:
    grid, rows = matched(results), []
    for name in _WAYS:
        for place, factor in enumerate(FACTORS):
            for level in grid.levels[place]:
                found = (interval(grid.marginal("loss", age, factor, level, name)) for age in AGES)
                rows.append((f"{name}, {factor} {level:g}", *(f"{v.value:.2f} ± {v.half_width:.2f}" for v in found)))
    yield Table(("loss (nats), mean over the other noise", *_SHOWN), rows)


def _thresholds(results: Found) -> Iterator[Table]:
    grid, rows = matched(results), []
    for name in _WAYS:
        for factor in FACTORS:
            found = (thresholds(grid, factor, age, name) for age in AGES)
            rows.append(
                (f"{name}, {factor}", *(f"{low:g}; {'–' if np.isinf(high) else f'{high:g}'}" for low, high in found))
            )
    yield Table(("harmless up to; costs more than a point for sure from", *_SHOWN), rows)


def _metrics(results: Found) -> Iterator[Table]:
    grid, rows = matched(results), []
    for noise in _CELLS:
        for name in COMPENSATIONS:
            for metric in METRICS:
                with suppress(NotStored):
                    found = [interval(grid.at(metric, age, noise, name)) for age in AGES]
                    show = [f"{v.value:.3f} ± {v.half_width:.3f}" for v in found]
                    rows.append((f"{noise[0]:g} and {noise[1]:g}, {name}: {metric}", *show))
    yield Table(("noise of weights and outputs, compensation: metric", *_SHOWN), rows)


def _crossed(results: Found) -> Iterator[Table]:
    grid = Grid(o.runs for o in results.values() if o.arm.work in ("matched", "crossed"))
    levels = sorted({o.arm.weight for o in results.values() if o.arm.work == "crossed"})
    pairs = [(w, o) for w in levels for o in levels]
    for age in ("1 day", "1 year"):
        head = (f"accuracy (%) after {age}, exact GDC: trained with", *(f"measured {w:g}, {o:g}" for w, o in pairs))
        rows = [
            (
                f"{w:g}, {o:g}",
                *(_level(interval(grid.at("accuracy", age, noise, "exact GDC", trained=(w, o)))) for noise in pairs),
            )
            for w, o in pairs
        ]
        if rows:
            yield Table(head, rows)


def _converters(results: Found) -> Iterator[Table]:
    rows = _rows(results, "converters")
    steps = sorted({row["dac"] for row in rows}, key=lambda s: s or 10**9)
    for age in ("60 s", "1 year"):
        shown = [
            (f"DAC {_named(dac)}", *(_level(interval(converter_table(rows, age, dac, adc))) for adc in steps))
            for dac in steps
        ]
        if rows:
            yield Table((f"accuracy (%) after {age}, no noise", *(f"ADC {_named(adc)}" for adc in steps)), shown)


def _named(steps: int | None) -> str:
    return "ideal" if steps is None else f"{steps} steps"


def _original(results: Found) -> Iterator[Table]:
    rows = [row for row in _rows(results, "original") if "run" in row]
    if not rows:
        return
    weight, output = (np.array([row["noise"][i] for row in rows]) for i in range(2))
    asked = {which: np.array([row["asked"][which] or 1024 for row in rows], float) for which in ("dac", "adc")}
    shown = []
    of = {"weight noise": weight, "output noise": output, "DAC (dead)": asked["dac"], "ADC (dead)": asked["adc"]}
    for metric in ("accuracy", "loss"):
        for factor, levels in ((factor, levels) for factor, levels in of.items() if levels.std() > 0):
            found = (correlation(levels, [row[metric][i] for row in rows], 0.95) for i in range(len(AGES)))
            shown.append((f"{metric} ~ {factor}", *(f"{r.value:+.2f} [{r.low:+.2f}, {r.high:+.2f}]" for r in found)))
    yield Table((f"Pearson's r over {len(rows)} drawn runs, one seed", *_SHOWN), shown)
    medians = []
    for factor, levels in (("weight", weight), ("output", output)):
        for level in np.unique(levels):
            some = [row["accuracy"] for row in rows if row["noise"][FACTORS.index(factor)] == level]
            medians.append(
                (f"{factor} {level:g}", *(f"{100 * m:.1f}" for m in np.median(some, axis=0)), str(len(some)))
            )
    yield Table(("median accuracy (%) of the drawn runs", *_SHOWN, "runs"), medians)


def _photograph_series(results: Found) -> dict[tuple[tuple[float, ...], str], list[Interval]]:
    rows = [row for row in _rows(results, "photographs") if "chip" in row]
    keys = dict.fromkeys((tuple(row["noise"]), row["compensation"]) for row in rows)
    return {
        key: [interval(np.array([[row["accuracy"][i]] for row in rows if (tuple(row["noise"]), row["compensation"]) == key]))
              for i in range(len(AGES))] for key in keys
    }  # fmt: skip


def _photographs(results: Found) -> Iterator[Table]:
    digital = [row for row in _rows(results, "photographs") if "chip" not in row]
    if digital:
        rows = [(f"{noise[0]:g} and {noise[1]:g}, {name}", *map(_level, found))
                for (noise, name), found in _photograph_series(results).items()]  # fmt: skip
        levels = ", ".join(f"{100 * row['accuracy'][0]:.1f} % of {row['images']}" for row in digital)
        yield Table((f"MobileNetV1 on photographs, accuracy (%); digital {levels}", *_SHOWN), rows)


def _cost(results: Found) -> Iterator[Table]:
    rows = _rows(results, "cost")
    if not rows:
        return
    head = (
        f"{rows[0]['network']}, one thread",
        "batch",
        "pass (ms)",
        "memory (MB)",
        "training step (ms)",
        "memory (MB)",
    )
    shown = []
    for row in rows:
        base = next(r for r in rows if r["hardware"] == "digital" and r["batch"] == row["batch"])
        found = (_beside(row[key], base[key]) for key in ("pass_ms", "pass_mb", "step_ms", "step_mb"))
        shown.append((row["hardware"], str(row["batch"]), *found))
    yield Table(head, shown)


def _beside(value: float, base: float) -> str:
    """With its ratio to the digital network, whose peak may not have risen at all."""
    return f"{value:,.0f} ({value / base:.2f} ×)" if base else f"{value:,.0f}"


def _levels(grid: Grid) -> list[Series]:
    majority = max(grid.share(), 1 - grid.share())
    return [reference("majority class", 100 * majority), limit("usable", 100 * usable(grid))]


def _by_noise(results: Found) -> Iterator[Figure]:
    grid = matched(results)
    for place, factor in enumerate(FACTORS):
        series = [
            Series(
                f"{level:g}", points([interval(grid.marginal("accuracy", age, factor, level)) for age in AGES]), _TIMES
            )
            for level in grid.levels[place]
        ]
        title = f"Accuracy by {factor} noise, mean over the other, GDC as a chip measures it"
        yield Figure(factor, title, [*series, *_levels(grid)], "accuracy (%)", legend=True)


def _reading(results: Found) -> Iterator[Figure]:
    grid = matched(results)
    levels = grid.levels[1]
    series = []
    for age in ("1 day", "1 year"):
        for name in _WAYS:
            y = [interval(grid.loss(age, "output", level, name)) for level in levels]
            series.append(
                Series(f"{name}, {age}", points(y), range(len(levels)), "solid" if name == "GDC" else "dashed")
            )
    yield Figure("reading", "What output noise costs, by how the compensation reads", series, "accuracy lost (points)",
                 [f"{level:g}" for level in levels], "output noise", legend=True)  # fmt: skip


def _ways(results: Found) -> Iterator[Figure]:
    grid = matched(results)
    for noise in _CELLS[1:]:
        with suppress(NotStored):
            series = [Series(name, points([interval(grid.at("accuracy", age, noise, name)) for age in AGES]), _TIMES)
                      for name in COMPENSATIONS]  # fmt: skip
            name = f"ways-{noise[0]:g}-{noise[1]:g}".replace(".", "")
            title = f"What compensation does: weight noise {noise[0]:g}, output noise {noise[1]:g}"
            yield Figure(name, title, [*series, *_levels(grid)], "accuracy (%)", legend=True)


def _decision(results: Found) -> Iterator[Figure]:
    grid, noise = matched(results), (0.0, 0.0)
    series = [Series(label, points([interval(grid.at(metric, age, noise, "none")) for age in AGES]), _TIMES)
              for label, metric in (("accuracy", "accuracy"), ("AUC", "auc"), ("called positive", "positive"))]  # fmt: skip
    title = "Lost information, or a shifted decision? No noise of products, no compensation"
    yield Figure(
        "decision", title, [*series, reference("positives among the labels", 100 * grid.share())], "%", legend=True
    )


def _steps(results: Found) -> Iterator[Figure]:
    rows = _rows(results, "converters")
    steps: Sequence[int | None] = sorted({row["dac"] for row in rows}, key=lambda s: s or 10**9)
    if not rows:
        return
    series = []
    shown = (("DAC", "60 s", "GDC"), ("DAC", "1 year", "GDC"), ("ADC", "60 s", "GDC"), ("ADC", "1 year", "GDC"),
             ("ADC", "1 year", "exact GDC"))  # fmt: skip
    for label, age, name in shown:
        pairs = [(s, None) if label == "DAC" else (None, s) for s in steps]
        y = [interval(converter_table(rows, age, dac, adc, name)) for dac, adc in pairs]
        title = f"{label}, {age}{', exact GDC' if name != 'GDC' else ''}"
        series.append(Series(title, points(y), range(len(steps)), "solid" if label == "DAC" else "dashed"))
    yield Figure("steps", "What the steps of the converters cost, the other one ideal", series, "accuracy (%)",
                 [_named(s) for s in steps], "steps of one converter", legend=True)  # fmt: skip


def _photographed(results: Found) -> Iterator[Figure]:
    found = {name: y for (noise, name), y in _photograph_series(results).items() if noise == (0.0, 0.0)}
    digital = [row for row in _rows(results, "photographs") if "chip" not in row]
    if found:
        series = [Series(name, points(y), _TIMES) for name, y in found.items()]
        yield Figure("photographs", "MobileNetV1 on MLPerf Tiny's photographs of people, no noise of products",
                     [*series, reference("digital", 100 * digital[0]["accuracy"][0])], "accuracy (%)", legend=True)  # fmt: skip
