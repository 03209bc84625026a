"""One simulated chip: programmed once from a seed, then read at any age. The only place that holds chip state."""

from mho.chip.chip import Chip, program
from mho.crossbar import Arrays

__all__ = ["Arrays", "Chip", "program"]
