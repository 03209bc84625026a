"""Pages for people: one HTML file per run, drawn from stored results. No logic that the library lacks."""

from mho.report.html import write

__all__ = ["write"]
