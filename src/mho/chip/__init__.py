"""One simulated chip: programmed once from a seed, then read at any age. The only place that holds chip state."""

from mho.chip.arrays import Arrays
from mho.chip.chip import Chip, program
from mho.chip.fuse import fuse
from mho.chip.programmed import Programmed

__all__ = ["Arrays", "Chip", "Programmed", "fuse", "program"]
