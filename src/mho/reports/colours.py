"""The colours of figures and pages."""

from __future__ import annotations

INK, MUTED, LINE, PAPER = "#1d1e22", "#5d616b", "#e2dfd8", "#fffefc"
BLUE, RUST, GREEN = "#1f5fa8", "#b04a1f", "#2f7555"
VIOLET, OCHRE, TEAL, PLUM, OLIVE = "#7a4fa3", "#86640a", "#1f7289", "#8c4a5a", "#4d5a1f"
COLOURS = (BLUE, RUST, GREEN, VIOLET, OCHRE, TEAL, PLUM, OLIVE)
MARKERS = "osD^vPX*"
VARIABLES = {
    INK: "--ink", MUTED: "--muted", LINE: "--line", PAPER: "--paper", BLUE: "--blue", RUST: "--rust", GREEN: "--green",
    VIOLET: "--violet", OCHRE: "--ochre", TEAL: "--teal", PLUM: "--plum", OLIVE: "--olive",
}  # fmt: skip
"""Colours of figures, and the CSS variables that stand for them in a page."""
