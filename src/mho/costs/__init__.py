"""What a network costs on arrays: energy, latency, area, capacity, from the scheme of its products."""

from mho.costs.capacity import Capacity
from mho.costs.converters import CONVERTERS, Converter
from mho.costs.energy import Entry
from mho.costs.of_network import cost
from mho.costs.of_placement import cost_of_placement, cost_of_run, known_cost
from mho.costs.peak import peak
from mho.costs.result import Cost, LayerCost
from mho.costs.technology import COMPONENTS, Constant, Reading, Standing, Technology, Timing

__all__ = [
    "COMPONENTS", "CONVERTERS", "Capacity", "Constant", "Converter", "Cost", "Entry", "LayerCost", "Reading", "Standing",
    "Technology", "Timing", "cost", "cost_of_placement", "cost_of_run", "known_cost", "peak",
]  # fmt: skip
