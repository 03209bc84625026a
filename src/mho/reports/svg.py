"""From a matplotlib figure to SVG: a file that stands alone, and a piece of a page in its colours."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mho.reports.colours import INK, LINE, MUTED, PAPER
from mho.reports.plot import Line, Look, Pane

WIDE, NARROW = 7.6, 3.6
"""Widths of a figure in inches of 72 points: on a screen and in a file, and on a telephone."""
DOT: dict[str, Any] = {"marker": "o", "markersize": 4.5, "markeredgecolor": PAPER, "markeredgewidth": 0.8}
DASHES: dict[Look, Any] = {"solid": "solid", "level": "solid", "dashed": (0, (5, 3)), "dotted": (0, (2, 2))}

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "axes.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.left": False,
    "xtick.major.width": 0.7,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}
"""Settings for `matplotlib.rc_context`; the user's own settings are left alone."""

Paint = Callable[[Axes, bool], Sequence[float]]
"""Draws on axes, wide or narrow, and returns where the places stand along the axis, in its unit."""


def compose(
    name: str,
    paint: Paint,
    *,
    height: float,
    lines: Sequence[Line] = (),
    along: Literal["x", "y"] = "x",
    low: float | None = None,
) -> tuple[str, tuple[Pane, ...]]:
    """One figure three times: as a file with its legend, and wide and narrow for a page that has the legend itself.

    Args:
        name: Seeds the ids inside the SVG.
        paint: Draws it.
        height: In inches, without the legend.
        lines: What its legend says.
        along: The axis on which the places stand.
        low: Height of the narrow one; by default four fifths.
    """
    settings: Any = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        panes = tuple(
            _pane(kind, paint, (width, high), along)
            for kind, width, high in (("wide", WIDE, height), ("narrow", NARROW, low or 0.8 * height))
        )
        if not lines:
            return panes[0].svg, panes
        figure, ax = canvas(height)
        paint(ax, True)
        figure.set_size_inches(WIDE, height + legend(figure, lines))
        return to_svg(figure), panes


def _pane(kind: str, paint: Paint, size: tuple[float, float], along: Literal["x", "y"]) -> Pane:
    figure, ax = canvas(size[1], width=size[0])
    places = paint(ax, kind == "wide")
    svg = to_svg(figure)  # lays the figure out: only now it is known where a place stands
    points = [(float(p), ax.get_ylim()[0]) if along == "x" else (ax.get_xlim()[0], float(p)) for p in places]
    shares: Any = figure.transFigure.inverted().transform(ax.transData.transform(points)) if points else []
    at = tuple(round(float(x if along == "x" else 1 - y), 4) for x, y in shares)
    return Pane(kind, svg, along, at)


def canvas(height: float = 3.5, *, width: float = WIDE) -> tuple[Figure, Axes]:
    """An empty figure, in inches of 72 points. Called under `STYLE`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def axis_width(wide: bool) -> float:
    """Width of the axis of a figure, in inches: without the numbers beside it."""
    return (WIDE if wide else NARROW) - 0.7


def legend(figure: Figure, lines: Sequence[Line], *, wide: float = WIDE) -> float:
    """Names of the lines below the picture, where they hide nothing; the height in inches that they take."""
    texts = [textwrap.fill(label(line.label), 100) for line in lines]
    longest = max(len(part) for text in texts for part in text.split("\n"))
    columns = max(1, min(len(lines), int(wide * 13.5 / (longest + 7))))
    figure.legend(
        [_handle(line) for line in lines],
        texts,
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        fontsize=8,
        handlelength=3,
    )
    rows = [texts[i : i + -(-len(texts) // columns)] for i in range(0, len(texts), -(-len(texts) // columns))]
    return 0.12 + 0.17 * max(sum(text.count("\n") + 1 for text in column) for column in rows)


def _handle(line: Line) -> Artist:
    """What stands before a name."""
    if line.look == "bar":
        return Patch(color=line.colour, alpha=0.75, linewidth=0)
    mark: dict[str, Any] = {"marker": line.marker, "markersize": 4.5, "markeredgecolor": PAPER} if line.marker else {}
    width = {"thin": 0.6, "level": 0.6, "dashed": 0.9, "dotted": 0.9}.get(line.look, 1.8) if not line.thick else 1.8
    style: Any = DASHES.get(line.look, "solid") if line.look != "dots" else ""
    return Line2D([], [], color=line.colour, linestyle=style, linewidth=width, **mark)


def band(ax: Axes, x: Any, low: Any, high: Any, *, alpha: float, **style: Any) -> None:
    """An interval along a line; a bar where there is one place alone."""
    if len(x) > 1:
        ax.fill_between(x, low, high, alpha=alpha, linewidth=0, **style)
    else:
        ax.vlines(x, low, high, alpha=2 * alpha, linewidth=7, **style)


def plain(text: str) -> str:
    """User text in one line: printable characters only."""
    return "".join(c if c.isprintable() else " " for c in text)


def label(text: str) -> str:
    """`plain` for matplotlib, which would read mathematics between two dollars."""
    return plain(text).replace("$", r"\$")


def of_line(i: int) -> dict[str, Any]:
    """What an artist is told that belongs to line `i` of the legend; a page shows and hides it by that."""
    return {"gid": f"line{i}"}


def to_svg(figure: Figure) -> str:
    """The figure as an SVG document, the same bytes every time. Called under `STYLE`."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the browser has the font
        # Not by `savefig`, which draws everything twice, first for the layout alone; a single drawing lays it out, too.
        FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = re.sub(r'id="(line|point)(\d+)"', r'data-\1="\2"', buffer.getvalue())
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
