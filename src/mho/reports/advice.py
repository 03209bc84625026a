"""`write_advice`: what was tried and what to do, as one page that opens without a network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mho.advice.result import Advice, Tried
from mho.errors import BadInput
from mho.measure.sentence import show_age
from mho.reports.comparison import _COLOURS, _MARKERS, _labels
from mho.reports.figures import _capital, age_axis
from mho.reports.html import _split, _unbroken
from mho.reports.svg import INK, MUTED, PAPER, STYLE, Plot, canvas, plain, to_svg
from mho.statistics.curves import log_age

MOST_LINES = 6


def write_advice(advice: Advice, directory: str | Path) -> Path:
    """Write ``advice.html`` and ``advice.csv`` into `directory`, and what applies the recommendation as ``apply.py``.

    Args:
        advice: What was found.
        directory: Made if it is not there.

    Returns:
        Path of ``advice.html``.

    Raises:
        BadInput: The directory cannot be written.
    """
    directory = Path(directory)
    page = _page(advice, directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        advice.to_csv(directory / "advice.csv")
        path = directory / "advice.html"
        path.write_text(page, encoding="utf-8")
        if advice.recommended is not None:
            (directory / "apply.py").write_text(advice.snippet() + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another directory", path=str(directory)) from error
    return path


def score_by_remedy(advice: Advice) -> Plot:
    """Score over age of the confirmed rows, with intervals; of the best screened ones where nothing was confirmed."""
    shown = [t for t in advice.ranked() if t.status == "confirmed"][:MOST_LINES]
    if advice.baseline not in shown:
        shown = [*shown[: MOST_LINES - 1], advice.baseline]
    score, axis = advice.score, advice.score.on_axis
    settings: Any = {**STYLE, "svg.hashsalt": "remedies"}
    with matplotlib.rc_context(settings):
        figure, ax = canvas(3.8, width=8.4)
        ends = []
        for i, t in enumerate(shown):
            ages, colour = advice.ages_s, MUTED if t is advice.baseline else _COLOURS[i % len(_COLOURS)]
            x, found = log_age(ages, ages), t.means()
            ax.fill_between(
                x, [axis(f.low) for f in found], [axis(f.high) for f in found], color=colour, alpha=0.12, lw=0
            )
            ax.plot(
                x, [axis(f.value) for f in found], color=colour, marker=_MARKERS[i % len(_MARKERS)], markersize=4.5,
                markeredgecolor=PAPER, markeredgewidth=0.8,
            )  # fmt: skip
            ends.append((axis(found[-1].value), plain(_short(t)), colour))
        ax.axhline(axis(advice.digital[1]), color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
        ax.axhline(axis(advice.digital[1] - advice.budget), color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
        age_axis(ax, advice.ages_s, apart=0.13)
        ax.set_ylabel(score.axis)
        _labels(ax, ends)
        svg = to_svg(figure)
    return Plot(
        "remedies",
        f"{_capital(score.label)} over time, by remedy",
        f"Line chart of the {score.label} of {len(shown)} variants from {show_age(advice.ages_s[0])} to "
        f"{show_age(advice.ages_s[-1])}: " + "; ".join(f"{plain(_short(t))} {t.shown()[-1]} at the end" for t in shown),
        "Mean over fresh chips and its interval. Dashed: the digital network; dotted: less the budget. "
        "Grey: the network as it is.",
        ("remedy", *map(show_age, advice.ages_s)),
        [(t.name, *t.shown()) for t in shown],
        svg,
    )


def _page(advice: Advice, directory: Path) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("mho.reports").joinpath("advice.html.j2").read_text(encoding="utf-8"))
    plot = score_by_remedy(advice)
    best = advice.recommended
    return template.render(
        advice=advice,
        style=Markup(_style()),
        answer=_unbroken(advice.sentence()),
        sentence=advice.sentence(),
        keys=_keys(advice),
        plot=plot,
        inline=Markup(plot.inline),
        heads=[show_age(t) for t in advice.ages_s],
        rows=[_row(t, advice) for t in advice.ranked()],
        others=[t for t in advice.tried if t.result is None],
        best=best,
        snippet=advice.snippet(),
        shell=advice.shell(directory),
        level=f"{100 * advice.confidence:g} %",
        budget=advice.score.show_budget(advice.budget),
    )


def _style() -> str:
    """The style sheet of the drift report."""
    template = files("mho.reports").joinpath("template.html.j2").read_text(encoding="utf-8")
    return template[template.index("<style>") : template.index("</style>") + len("</style>")]


def _keys(advice: Advice) -> list[tuple[str, str, str]]:
    score = advice.score
    found = [(f"Digital {score.label}", score.show(advice.digital[1]), f"{advice.samples[1]:,} samples reported on")]
    named = [("As it is", advice.baseline)]
    if advice.recommended is not None:
        named.append(("With the advice", advice.recommended))
    for name, t in named:
        worst = min(t.means(), key=lambda i: i.value)
        value, bounds = _split(score.bracket(worst.value, worst.low, worst.high))
        found.append((f"{name}, worst age", value, f"{bounds}; lifetime {t.lifetime()}"))
    measured = sum(t.result is not None for t in advice.tried)
    found.append(("Tried", str(measured), f"{sum(t.status == 'confirmed' for t in advice.tried)} confirmed"))
    return found


def _row(t: Tried, advice: Advice) -> dict[str, Any]:
    return {
        "name": t.name,
        "status": t.status,
        "best": t is advice.recommended,
        "cells": t.shown(),
        "lifetime": str(t.lifetime()),
        "gain": "" if t.gain is None else advice.score.show_gain(t.gain.value, t.gain.low, t.gain.high, unit=False),
        "costs": "" if t.gain is None else str(t.costs),
    }


def _short(t: Tried) -> str:
    """The name, or that of the first part with the number of others."""
    return t.name if len(t.parts) < 2 else f"{t.parts[0]} + {len(t.parts) - 1} more"
