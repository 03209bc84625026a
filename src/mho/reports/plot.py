"""`Plot`: a figure as a page holds it: its file, its drawings for wide and narrow screens, its legend and its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from mho.reports.colours import VARIABLES

Look = Literal["solid", "dashed", "dotted", "thin", "level", "dots", "bar"]
_MARKS = {
    "o": "M17 7a3 3 0 1 0-6 0a3 3 0 1 0 6 0z", "s": "M11 4h6v6h-6z", "D": "M14 3.2l3.8 3.8l-3.8 3.8l-3.8-3.8z",
    "^": "M14 3.4l3.6 6.4h-7.2z", "v": "M14 10.6l3.6-6.4h-7.2z",
    "P": "M12.8 3.4h2.4v2.4h2.4v2.4h-2.4v2.4h-2.4v-2.4h-2.4v-2.4h2.4z",
    "X": "M11 5.4l1.4-1.4l1.6 1.6l1.6-1.6l1.4 1.4l-1.6 1.6l1.6 1.6l-1.4 1.4l-1.6-1.6l-1.6 1.6l-1.4-1.4l1.6-1.6z",
    "*": "M14 2.6l1.2 3h3.2l-2.6 2l1 3.2l-2.8-2l-2.8 2l1-3.2l-2.6-2h3.2z",
}  # fmt: skip
"""Marks of lines, drawn in a box of 28 × 14."""


@dataclass(frozen=True)
class Line:
    """An entry of a legend.

    Args:
        label: Its name.
        colour: Of the line.
        look: How it is drawn; ``level`` is thin and straight, ``dots`` has marks alone.
        marker: Its mark, as matplotlib names it.
        band: An interval is drawn around it.
        values: Its value at each place, as text; empty where it has none.
        thick: A dashed line as thick as a solid one.
    """

    label: str
    colour: str
    look: Look = "solid"
    marker: str = ""
    band: bool = False
    values: Sequence[str] = ()
    thick: bool = False

    @property
    def swatch(self) -> str:
        """A small picture of it, as HTML in the page's colours."""
        colour = f"var({VARIABLES[self.colour]})"
        if self.look == "bar":
            return f'<svg viewBox="0 0 28 14" aria-hidden="true"><path d="M4 2h20v10h-20z" fill="{colour}" opacity=".75"/></svg>'
        width = 2.4 if self.thick or self.look in ("solid", "dots") else 1.3
        dashes = {"dashed": ' stroke-dasharray="6 3.5"', "dotted": ' stroke-dasharray="2.5 2.5"'}.get(self.look, "")
        drawn = f'<path d="M0 1h28v12h-28z" fill="{colour}" opacity=".18"/>' if self.band else ""
        if self.look != "dots":
            drawn += f'<path d="M0 7h28" stroke="{colour}" stroke-width="{width}"{dashes}/>'
        if self.marker:
            drawn += f'<path d="{_MARKS[self.marker]}" fill="{colour}" stroke="var(--paper)" stroke-width=".8"/>'
        return f'<svg viewBox="0 0 28 14" aria-hidden="true">{drawn}</svg>'


@dataclass(frozen=True)
class Pane:
    """One drawing of a figure.

    Args:
        kind: ``wide`` or ``narrow``.
        svg: The drawing.
        along: The axis on which its places stand.
        at: Where they stand, as shares of the width from the left or of the height from the top.
    """

    kind: str
    svg: str
    along: Literal["x", "y"] = "x"
    at: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A figure of a report.

    Args:
        name: Name of its file.
        title: Heading.
        alt: What the figure shows, for those who cannot see it.
        caption: How to read it.
        head: Heads of the columns of its data.
        rows: Its data, formatted.
        svg: The file.
        panes: Its drawings for a page.
        lines: Its legend.
        places: Names of the places along the axis, for which `lines` have values.
        told: What a page says in its place, where there is nothing to see.
    """

    name: str
    title: str
    alt: str
    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    svg: str
    panes: tuple[Pane, ...] = ()
    lines: tuple[Line, ...] = ()
    places: tuple[str, ...] = ()
    told: str = ""

    def inline(self, pane: Pane) -> str:
        """A drawing as a piece of HTML: ids of its own, no fonts and colours but the page's."""
        prefix = f"{self.name}-{pane.kind}"
        body = pane.svg[pane.svg.index("<svg") :]
        body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
        body = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", body).replace("xlink:href=", "href=")
        body = re.sub(r'(?<![\w-])id="', f'id="{prefix}-', body)
        body = re.sub(r'href="#', f'href="#{prefix}-', body).replace("url(#", f"url(#{prefix}-")
        body = body.replace("'DejaVu Sans'", "var(--sans)")
        for colour, variable in VARIABLES.items():
            body = body.replace(colour, f"var({variable})")
        view = re.search(r'viewBox="[^"]*"', body)
        root = (
            f'<svg {view[0] if view else ""} role="img" aria-label="{escape(self.alt, quote=True)}" '
            'stroke-linejoin="round" focusable="false">'
        )
        return re.sub(r"<svg[^>]*>", lambda _: root, body, count=1)
