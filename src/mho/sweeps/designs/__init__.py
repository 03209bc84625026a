"""Which combinations of levels a sweep tries, one design a file."""

from mho.sweeps.designs.base import DESIGNS, Design, Point
from mho.sweeps.designs.grid import Grid
from mho.sweeps.designs.one_at_a_time import OneAtATime
from mho.sweeps.designs.sampled import LatinHypercube, Random, Sampled, Sobol

__all__ = ["DESIGNS", "Design", "Grid", "LatinHypercube", "OneAtATime", "Point", "Random", "Sampled", "Sobol"]
