"""From a matplotlib figure to SVG: a file that stands alone, and a piece of a page in its colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, LINE, PAPER = "#1d1e22", "#5d616b", "#e2dfd8", "#fffefc"
BLUE, RUST, GREEN = "#1f5fa8", "#b04a1f", "#2f7555"
VARIABLES = {
    INK: "--ink", MUTED: "--muted", LINE: "--line", PAPER: "--paper", BLUE: "--blue",
    RUST: "--rust", GREEN: "--green",
}  # fmt: skip
"""Colours of figures, and the CSS variables that stand for them in a page."""

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
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


@dataclass(frozen=True)
class Plot:
    """A figure of the report.

    Args:
        name: Name of its file.
        title: Heading.
        alt: What the figure shows, for those who cannot see it.
        caption: How to read it.
        head: Heads of the columns of its data.
        rows: Its data, formatted.
        svg: The file.
    """

    name: str
    title: str
    alt: str
    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    svg: str

    @property
    def inline(self) -> str:
        """The figure as a piece of HTML: ids of its own, no fonts and colours but the page's."""
        body = self.svg[self.svg.index("<svg") :]
        body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
        body = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", body).replace("xlink:href=", "href=")
        body = re.sub(r'\bid="', f'id="{self.name}-', body)
        body = re.sub(r'href="#', f'href="#{self.name}-', body).replace("url(#", f"url(#{self.name}-")
        body = body.replace("'DejaVu Sans'", "var(--sans)")
        for colour, variable in VARIABLES.items():
            body = body.replace(colour, f"var({variable})")
        view = re.search(r'viewBox="[^"]*"', body)
        root = (
            f'<svg {view[0] if view else ""} role="img" aria-label="{escape(self.alt, quote=True)}" '
            'stroke-linejoin="round" focusable="false">'
        )
        return re.sub(r"<svg[^>]*>", lambda _: root, body, count=1)


def canvas(height: float = 3.5, *, width: float = 7.6) -> tuple[Figure, Axes]:
    """An empty figure, in inches of 72 points. Called under `STYLE`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def plain(text: str) -> str:
    """User text for a figure: printable characters only."""
    return "".join(c if c.isprintable() else " " for c in text)


def to_svg(figure: Figure) -> str:
    """The figure as an SVG document, the same bytes every time. Called under `STYLE`."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the browser has the font
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    lines = buffer.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"
