"""What can be done: remedies tried on common chips, cheapest first, and what may be concluded from them."""

from mho.advice.best_placement import best_placement
from mho.advice.bits import SmallestBits, smallest_bits
from mho.advice.case import Case
from mho.advice.effort import Effort
from mho.advice.plan import Costs, Plan
from mho.advice.remedies import table
from mho.advice.remedy import Remedy
from mho.advice.result import Advice, Tried
from mho.advice.search import advise

__all__ = [
    "Advice", "Case", "Costs", "Effort", "Plan", "Remedy", "SmallestBits", "Tried", "advise", "best_placement",
    "smallest_bits", "table",
]  # fmt: skip
