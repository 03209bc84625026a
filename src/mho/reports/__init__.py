"""Pages for people: one HTML file per run, drawn from stored results. No logic that the library lacks."""

from mho.reports.of_result import report

__all__ = ["report"]
