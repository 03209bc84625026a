"""Several runs in one picture: what is lost against the digital network, over time, one line a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.axes

from mho.measure.result import DriftResult
from mho.measure.sentence import bracket, percent, show_age
from mho.reports.figures import age_axis
from mho.reports.svg import BLUE, GREEN, INK, MUTED, PAPER, RUST, STYLE, Plot, canvas, plain, to_svg
from mho.statistics.curves import log_age

_COLOURS = (BLUE, RUST, GREEN, "#7a4fa3", "#b58900", "#3a8fa8", "#8c4a5a", "#4d5a1f")
_MARKERS = "osD^vPX*"


def loss_over_time(name: str, title: str, runs: Sequence[tuple[str, DriftResult]], budget: float) -> Plot:
    """Accuracy lost against each run's own digital network, with intervals over chips.

    Args:
        name: Name of the figure's file.
        title: Heading.
        runs: Label and result of each line; all with the same ages.
        budget: Loss that may be had, as a fraction; drawn as a line.
    """
    settings: Any = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        figure, ax = canvas(3.6, width=8.4)
        ends: list[tuple[float, str, str]] = []
        for i, (label, result) in enumerate(runs):
            colour, ages = _COLOURS[i % len(_COLOURS)], result.ages_s
            x, digital, summary = log_age(ages, ages), result.digital.accuracy, result.summary()
            means = [100 * (s.mean - digital) for s in summary]
            low, high = [100 * (s.low - digital) for s in summary], [100 * (s.high - digital) for s in summary]
            ax.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
            ax.plot(
                x, means, color=colour, marker=_MARKERS[i % len(_MARKERS)], markersize=4.5, markeredgecolor=PAPER,
                markeredgewidth=0.8,
            )  # fmt: skip
            ends.append((means[-1], f"{plain(label)} ({100 * digital:.1f} %)", colour))
        ax.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
        ax.axhline(-100 * budget, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
        age_axis(ax, runs[0][1], apart=0.13)
        ax.set_ylabel("accuracy − digital (points)")
        _labels(ax, ends)
        svg = to_svg(figure)
    confidence = f"{100 * runs[0][1].header.confidence:g} %"
    first, last = runs[0][1].ages_s[0], runs[0][1].ages_s[-1]
    return Plot(
        name,
        title,
        f"Line chart of the accuracy lost against the digital network from {show_age(first)} to {show_age(last)}: "
        + "; ".join(f"{label} {mean:+.1f} points at the end" for mean, label, _ in ends),
        f"Mean over chips and its {confidence} interval; the digital accuracy stands behind each name; dotted: the budget.",
        ("run", "digital", *(show_age(age) for age in runs[0][1].ages_s)),
        [
            (label, percent(r.digital.accuracy), *(bracket(s.mean, s.low, s.high) for s in r.summary()))
            for label, r in runs
        ],
        svg,
    )


def _labels(ax: matplotlib.axes.Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names at the ends of the lines, moved apart where they would overlap."""
    bottom, top = ax.get_ylim()
    gap = (top - bottom) * 0.062
    placed: list[float] = []
    for value, text, colour in sorted(ends, reverse=True):
        y = value if not placed else min(value, placed[-1] - gap)
        placed.append(y)
        ax.annotate(
            text, (1.01, y), xycoords=("axes fraction", "data"), color=colour, va="center", annotation_clip=False
        )
