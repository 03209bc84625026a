"""Harnesses that parts of a user's own must pass."""

from mho.testing.cells import check_cell

__all__ = ["check_cell"]
