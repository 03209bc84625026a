"""Several lines in one picture: draws the `Figure` of a study, of an advice and of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from mho.measure.sentence import show_age
from mho.reports.age_axis import age_axis
from mho.reports.colours import COLOURS, INK, MARKERS, MUTED
from mho.reports.plot import Line, Look, Plot
from mho.reports.svg import DASHES, DOT, STYLE, axis_width, band, canvas, compose, label, legend, of_line, to_svg
from mho.statistics.curves import log_age
from mho.statistics.intervals import Interval
from mho.studies import Figure, Series
from mho.tasks.score import Score

_LEVELS: dict[str, tuple[str, Look]] = {"reference": (INK, "dashed"), "limit": (MUTED, "dotted")}
_LOOKS: dict[str, Look] = {"dashed": "dashed", "points": "dots"}
_ASIDE = 0.14
"""Between points of different series at one named place, whose distance is 1."""
_UPRIGHT = 8
"""Named places, at most, whose names stand side by side; more are slanted."""
_BESIDE = 3.0
"""Inches that names at the ends of lines take, and the numbers of the other axis."""


def draw(figure: Figure) -> str:
    """The figure as an SVG document, the same bytes every time; names stand at the ends of lines, or below the picture."""
    settings: Any = {**STYLE, "svg.hashsalt": figure.name}
    with matplotlib.rc_context(settings):
        drawn, ax = canvas(3.8, width=8.4)
        entries = lines_of(figure)
        _paint(ax, figure, entries, width=8.4 - (0.7 if figure.legend else _BESIDE))
        if figure.legend:
            drawn.set_size_inches(8.4, 3.8 + legend(drawn, entries, wide=8.4))
        else:
            ends = [
                (s.y[-1].value, label(e.label), e.colour) for s, e in zip(_ordered(figure), entries, strict=True) if s.x
            ]
            _labels(ax, [end for end in ends if end[2] != INK])
        return to_svg(drawn)


def plot(
    figure: Figure,
    values: Sequence[Sequence[str]],
    *,
    alt: str,
    caption: str,
    head: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    first: int = 0,
) -> Plot:
    """The figure for a page.

    Args:
        figure: Its lines, over ages or names.
        values: What each line shows at each of its places, as text; levels have none.
        alt: What it shows, for those who cannot see it.
        caption: How to read it.
        head: Heads of the columns of its data.
        rows: Its data, formatted.
        first: Which colour the first line has.
    """
    entries = lines_of(figure, values, first)

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        _paint(ax, figure, entries, width=axis_width(wide))
        return [float(place) for place in _places(figure, _everywhere(figure))]

    svg, panes = compose(figure.name, paint, height=3.6, lines=entries)
    at = _everywhere(figure)
    names = tuple(show_age(t) for t in at) if figure.x == "age" else tuple(figure.x)
    return Plot(figure.name, figure.title, alt, caption, head, rows, svg, panes, tuple(entries), names)


def on_axis(score: Score, found: Interval) -> Interval:
    """An interval of worths where it stands on the axis."""
    ends = sorted((score.on_axis(found.low), score.on_axis(found.high)))
    return Interval(score.on_axis(found.value), *ends)


def lines_of(figure: Figure, values: Sequence[Sequence[str]] = (), first: int = 0) -> list[Line]:
    """The legend: lines in their order, then levels."""
    found = []
    everywhere = _everywhere(figure)
    for i, series in enumerate(_ordered(figure)):
        if series.style in _LEVELS:
            colour, look = _LEVELS[series.style]
            found.append(Line(series.label, colour, look))
            continue
        drawn = _LOOKS.get(series.style, "solid")
        told = dict(zip(series.x, values[i], strict=True)) if i < len(values) else {}
        colour, marker = COLOURS[(i + first) % len(COLOURS)], MARKERS[(i + first) % len(MARKERS)]
        found.append(
            Line(
                series.label, colour, drawn, marker,
                band=drawn != "dots" and any(v.low < v.high for v in series.y),
                values=[told.get(x, "") for x in everywhere] if told else (), thick=True,
            )
        )  # fmt: skip
    return found


def _ordered(figure: Figure) -> list[Series]:
    return sorted(figure.series, key=lambda series: series.style in _LEVELS)


def _everywhere(figure: Figure) -> list[float]:
    """All places that a line has a value at."""
    return sorted({x for series in figure.series if series.style not in _LEVELS for x in series.x})


def _places(figure: Figure, at: Sequence[float]) -> Any:
    """Where values stand on the axis."""
    return log_age(at, _everywhere(figure)) if figure.x == "age" else at


def _paint(ax: Axes, figure: Figure, entries: Sequence[Line], *, width: float) -> None:
    alone = [series for series in figure.series if series.style == "points"]
    for i, (series, entry) in enumerate(zip(_ordered(figure), entries, strict=True)):
        if series.style in _LEVELS:
            _level(ax, figure, series, entry, of_line(i))
        elif series.style == "points":
            aside = _ASIDE * (alone.index(series) - (len(alone) - 1) / 2)
            _points(ax, series, entry, aside, of_line(i))
        else:
            _line(ax, figure, series, entry, of_line(i))
    _axes(ax, figure, width)


def _points(ax: Axes, series: Series, entry: Line, aside: float, gid: dict[str, Any]) -> None:
    """Draw marks and their bars, a little aside so that those of several series do not hide each other."""
    x, colour = [place + aside for place in series.x], entry.colour
    ax.vlines(x, [v.low for v in series.y], [v.high for v in series.y], color=colour, linewidth=1.4, alpha=0.7, **gid)
    ax.plot(x, [v.value for v in series.y], color=colour, linestyle="", **{**DOT, "marker": entry.marker}, **gid)


def _line(ax: Axes, figure: Figure, series: Series, entry: Line, gid: dict[str, Any]) -> None:
    """Draw a line, its band and what belongs to it."""
    x, colour = _places(figure, series.x), entry.colour
    values = [v.value for v in series.y]
    if entry.band:
        low, high = [v.low for v in series.y], [v.high for v in series.y]
        band(ax, x, low, high, alpha=0.12, color=colour, **gid)
    for place, single in zip(x, series.single, strict=False):
        ax.plot([place] * len(single), single, color=colour, linestyle="", marker="_", markersize=9, alpha=0.6, **gid)
    dashes: Any = (0, (4, 2)) if entry.look == "dashed" else "solid"
    ax.plot(x, values, color=colour, linestyle=dashes, **{**DOT, "marker": entry.marker}, **gid)
    if series.base is not None:
        ax.axhline(series.base, color=colour, linewidth=0.9, linestyle=DASHES["dotted"], **gid)


def _level(ax: Axes, figure: Figure, series: Series, entry: Line, gid: dict[str, Any]) -> None:
    """What the lines are held against: right across, or along the axis."""
    style: dict[str, Any] = {"color": entry.colour, "linewidth": 0.9, "linestyle": DASHES[entry.look], **gid}
    if series.x:
        ax.plot(_places(figure, series.x), [v.value for v in series.y], **style)
    else:
        ax.axhline(series.y[0].value, **style)


def _axes(ax: Axes, figure: Figure, width: float) -> None:
    if figure.x == "age":
        age_axis(ax, _everywhere(figure), width=width)
    elif not isinstance(figure.x, str):
        slanted: dict[str, Any] = {"rotation": 35, "ha": "right"} if len(figure.x) > _UPRIGHT else {}
        ax.set_xticks(range(len(figure.x)), [label(name) for name in figure.x], **slanted)
    else:
        ax.set_xscale(figure.x)
    ax.set_xlabel(figure.x_label)
    ax.set_ylabel(figure.y_label)
    ax.set_ylim(figure.low, figure.high)
    if figure.low is None:
        return
    at = _everywhere(figure)
    for place, x in zip(_places(figure, at), at, strict=True):
        values = [
            v.value for s in _ordered(figure) if s.style not in _LEVELS for t, v in zip(s.x, s.y, strict=True) if t == x
        ]
        if max(values) < figure.low:  # out of the picture: told in words
            ax.annotate(f"{min(values):.0f} to {max(values):.0f}", (place, figure.low), (0, 4), textcoords="offset points",
                        ha="right", fontsize=8, color=MUTED)  # fmt: skip


def _labels(ax: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names beside the ends of the lines, moved apart as little as possible, each tied to its end."""
    bottom, top = ax.get_ylim()
    gap = (top - bottom) * 0.062
    ends = sorted(((min(max(value, bottom), top), text, colour) for value, text, colour in ends), reverse=True)
    for (value, text, colour), y in zip(ends, apart([end[0] for end in ends], gap, top, bottom), strict=True):
        right = ax.get_xlim()[1]
        ax.annotate(
            text, (right, value), (1.035, y), xycoords="data", textcoords=("axes fraction", "data"), color=colour, va="center",
            annotation_clip=False, arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 2, "shrinkB": 1},
        )  # fmt: skip


def apart(values: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Heights for labels of falling `values`, at least `gap` apart and near their values, inside [bottom, top] where they fit."""
    groups: list[list[float]] = []  # each: sum of the values less their offsets in the group, number of labels
    for value in values:
        groups.append([value, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] - gap * groups[-2][1] < groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1][0] += total + gap * groups[-1][1] * count
            groups[-1][1] += count
    found = [total / count - gap * i for total, count in groups for i in range(int(count))]
    over, under = max(found[0] - top, 0.0) if found else 0.0, max(bottom - found[-1], 0.0) if found else 0.0
    return [y - over + (under if not over else 0.0) for y in found]
