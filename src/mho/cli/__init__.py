"""The command line: thin, no logic that the library lacks."""

from mho.cli.app import main

__all__ = ["main"]
