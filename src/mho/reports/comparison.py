"""Several lines in one picture: draws the `Figure` of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from mho.reports.figures import age_axis
from mho.reports.svg import BLUE, GREEN, INK, MUTED, PAPER, RUST, STYLE, canvas, plain, to_svg
from mho.statistics.curves import log_age
from mho.studies import Figure, Series

_COLOURS = (BLUE, RUST, GREEN, "#7a4fa3", "#b58900", "#3a8fa8", "#8c4a5a", "#4d5a1f")
_MARKERS = "osD^vPX*"
_LEVELS: dict[str, dict[str, Any]] = {
    "reference": {"color": INK, "linewidth": 0.9, "linestyle": (0, (5, 3))},
    "limit": {"color": MUTED, "linewidth": 0.9, "linestyle": (0, (2, 2))},
}


def draw(figure: Figure) -> str:
    """The figure as an SVG document, the same bytes every time."""
    settings: Any = {**STYLE, "svg.hashsalt": figure.name}
    with matplotlib.rc_context(settings):
        drawn, ax = canvas(3.8, width=8.4)
        lines = [series for series in figure.series if series.style not in _LEVELS]
        ends = [_line(ax, figure, series, i) for i, series in enumerate(lines)]
        for series in figure.series:
            if series.style in _LEVELS:
                _level(ax, figure, series)
        _axes(ax, figure, lines)
        if figure.legend:
            ax.legend(frameon=False, fontsize=8, loc="lower left", ncols=1 if figure.x == "age" else len(lines) + 1)
        else:
            _labels(ax, ends)
        return to_svg(drawn)


def _places(figure: Figure, series: Series) -> Any:
    """Where a series stands on the axis."""
    return log_age(series.x, series.x) if figure.x == "age" else series.x


def _line(ax: Axes, figure: Figure, series: Series, i: int) -> tuple[float, str, str]:
    """Draw a line, its band and what belongs to it; where it ends, its name and its colour."""
    x, colour, marker = _places(figure, series), _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
    values = [v.value for v in series.y]
    if any(v.low < v.high for v in series.y):
        ax.fill_between(x, [v.low for v in series.y], [v.high for v in series.y], color=colour, alpha=0.12, linewidth=0)
    for place, single in zip(x, series.single, strict=False):
        ax.plot([place] * len(single), single, color=colour, linestyle="", marker="_", markersize=9, alpha=0.6)
    ax.plot(
        x, values, color=colour, linestyle=(0, (4, 2)) if series.style == "dashed" else "solid", marker=marker, markersize=4.5,
        markeredgecolor=PAPER, markeredgewidth=0.8, label=plain(series.label),
    )  # fmt: skip
    if series.base is not None:
        ax.axhline(series.base, color=colour, linewidth=0.9, linestyle=(0, (2, 2)))
    return values[-1], plain(series.label), colour


def _level(ax: Axes, figure: Figure, series: Series) -> None:
    """What the lines are held against: right across, or along the axis."""
    style = {**_LEVELS[series.style], "label": plain(series.label)}
    if series.x:
        ax.plot(_places(figure, series), [v.value for v in series.y], **style)
    else:
        ax.axhline(series.y[0].value, **style)


def _axes(ax: Axes, figure: Figure, lines: Sequence[Series]) -> None:
    if figure.x == "age":
        age_axis(ax, lines[0].x, apart=0.13)
    elif not isinstance(figure.x, str):
        ax.set_xticks(range(len(figure.x)), [plain(name) for name in figure.x])
    else:
        ax.set_xscale(figure.x)
    ax.set_xlabel(figure.x_label)
    ax.set_ylabel(figure.y_label)
    ax.set_ylim(figure.low, figure.high)
    if figure.low is None:
        return
    for place, *at_place in zip(_places(figure, lines[0]), *(series.y for series in lines), strict=True):
        if max(values := [v.value for v in at_place]) < figure.low:  # out of the picture: told in words
            ax.annotate(f"{min(values):.0f} to {max(values):.0f}", (place, figure.low), (0, 4), textcoords="offset points",
                        ha="right", fontsize=8, color=MUTED)  # fmt: skip


def _labels(ax: Axes, ends: list[tuple[float, str, str]]) -> None:
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
