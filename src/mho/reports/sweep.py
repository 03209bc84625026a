"""`write_sweep`: what a finished or half-finished sweep says, as one page that opens without a network."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import yaml

from mho.errors import BadInput
from mho.measure.sentence import show_age
from mho.reports import sweep_figures, sweep_pictures, sweep_tables
from mho.reports.page import render, split
from mho.reports.plot import Plot
from mho.statistics.crossed import over_units
from mho.store.csv_file import write_csv
from mho.store.files import replaced, write_text
from mho.sweeps.effects import Findings
from mho.sweeps.effects.sentences import show_mean, show_share
from mho.sweeps.proof import show


def write_sweep(findings: Findings, directory: str | Path) -> Path:
    """Write ``report.html``, ``figures/*.svg``, ``effects.csv`` and ``thresholds.csv`` into `directory`.

    Args:
        findings: What `mho.sweeps.effects.findings` returned.
        directory: Made if it is not there.

    Returns:
        Path of ``report.html``.

    Raises:
        BadInput: The directory cannot be written.
    """
    directory = Path(directory)
    plots = _plots(findings)
    page = _page(findings, plots)
    path = directory / "report.html"
    try:
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        for group in plots.values():
            for plot in group:
                write_text(directory / "figures" / f"{plot.name}.svg", plot.svg)
        if findings.effects:
            write_csv(findings.rows(), directory / "effects.csv")
        if findings.thresholds:
            write_csv(findings.threshold_rows(), directory / "thresholds.csv")
        with replaced(path) as part:  # several processes may end the same sweep at the same time
            write_text(part, page)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another directory", path=str(directory)) from error
    return path


def _plots(findings: Findings) -> dict[str, list[Plot]]:
    """Figures by section; a half-finished sweep may lack some."""
    if not findings.measured.points.size:
        return {"shares": [], "losses": [], "curves": [], "surfaces": [], "fronts": [], "parallel": [], "spread": []}
    paths = sweep_figures.factors(findings)[: sweep_figures.MOST]
    numbers = {t.path for t in findings.thresholds}
    ordered = [path for path in sweep_figures.factors(findings) if path in numbers]
    found: dict[str, list[Plot | None]] = {
        "shares": [sweep_pictures.shares(findings)],
        "losses": [sweep_figures.losses(findings, path) for path in ordered[:2]],
        "curves": [sweep_figures.curves(findings, path) for path in paths],
        "spread": [sweep_figures.spread(findings, path) for path in paths[:1]],
        "surfaces": [*(sweep_pictures.heat(findings, surface) for surface in findings.surfaces)],
        "fronts": [*(sweep_pictures.pareto(findings, front) for front in findings.fronts[:2])],
        "parallel": [sweep_pictures.parallel(findings)],
    }
    return {name: [plot for plot in plots if plot is not None] for name, plots in found.items()}


def _page(findings: Findings, plots: dict[str, list[Plot]]) -> str:
    measured, result = findings.measured, findings.result
    plan, score = measured.plan, measured.score
    level, sentences = f"{100 * plan.confidence:g} %", findings.sentences
    over = f"over other {measured.over}" if measured.over else "that are unknown here"
    versions = sorted({trial["versions"] for trial in result.trials if trial["versions"]})
    some = bool(measured.points.size)
    per_age = [
        (
            t,
            show_age(t),
            sweep_tables.effects(findings, t),
            sweep_tables.levels(findings, t),
            sweep_tables.correlations(findings, t),
        )
        for t in (plan.ages if some else ())
    ]
    plan_text = plan.as_dict(lasting=True)
    return render(
        "sweep.html.j2",
        heading=f"Sweep of {plan.network} on {plan.hardware.name}",
        sentence=sentences[0],
        sentences=sentences[1:],
        under=f"Score: {score.label}. Brackets hold {level} intervals {over}, each for itself. A factor acts where it passes a "
        "test among all effects at all ages (Holm): the chance of any false finding is at most "
        f"{100 * (1 - plan.confidence):.3g} %.",
        cautions=measured.cautions(),
        keys=_keys(findings),
        plots=plots,
        per_age=per_age,
        last_age=plan.ages[-1],
        thresholds=sweep_tables.thresholds(findings),
        missing=sweep_tables.missing(findings),
        fronts=[(front.path, sweep_tables.fronts(findings, i)) for i, front in enumerate(findings.fronts)]
        if some
        else [],
        points=sweep_tables.points(findings) if some else None,
        selection=sweep_tables.selection(findings) if some else None,
        score=score,
        budget=score.show_budget(findings.budget),
        drawn=plan.design.drawn,
        failures=sorted({trial["error"] for trial in result.trials if trial["error"]})[:5],
        plan=yaml.safe_dump(plan_text, sort_keys=False, allow_unicode=True, width=88),
        versions=versions,
        level=level,
        many=len(measured.points),
        listed=sweep_tables.POINTS,
        again=f"mho report {shlex.quote(result.place)}",
    )


def _keys(findings: Findings) -> list[tuple[str, str, str]]:
    measured, result = findings.measured, findings.result
    plan, score, states = measured.plan, measured.score, measured.states
    total = sum(states.values())
    chips = f"{plan.chips} chip{'s' * (plan.chips != 1)}"
    found = [
        ("Trials done", f"{states['done']} of {total}", f"{len(measured.points)} whole points, {chips}"
         + (f", {len(measured.seeds)} of {len(plan.seeds)} training seeds" if plan.trained else "")),
    ]  # fmt: skip
    if not measured.points.size:
        return found
    last = [e for e in findings.effects if e.age_s == plan.ages[-1] and not math.isnan(e.share.value)]
    if last:
        top = max(last, key=lambda e: e.share.value)
        value, ends = split(show_share(top.share))
        found.append((f"{top.name}, share of variance", value, ends))
    digital = float(measured.digital.mean())
    if not math.isnan(digital):
        low, high = float(measured.digital.min()), float(measured.digital.max())
        found.append(
            (
                f"Digital {score.label}",
                score.show(digital),
                "on this test set" if low == high else "mean over trainings, on this test set",
            )
        )
    means = measured.worths[..., -1].mean(axis=(1, 2))
    for name, i in (("Best", int(means.argmax())), ("Worst", int(means.argmin()))):
        mean = over_units(measured.worths[i, ..., -1], plan.confidence)
        value, brackets = split(show_mean(score, mean))
        where = ", ".join(show(v) for v in measured.levels[i].values())
        found.append(
            (f"{name} point after {show_age(plan.ages[-1])}", value, f"{brackets}, point {measured.points[i]}: {where}")
        )
    seconds = [trial["seconds"] for trial in result.trials if trial["seconds"]]
    if seconds:
        found.append(("Time a trial", f"{sum(seconds) / len(seconds):.2g} s", f"{sum(seconds):.3g} s for all"))
    return found
