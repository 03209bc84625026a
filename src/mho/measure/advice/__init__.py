"""What can be done: remedies tried on common chips, cheapest first, and what may be concluded from them."""

from mho.measure.advice.case import Case, Costs, Effort, Plan
from mho.measure.advice.countermeasure import Countermeasure
from mho.measure.advice.remedies import table
from mho.measure.advice.result import Advice, Tried
from mho.measure.advice.search import advise

__all__ = ["Advice", "Case", "Costs", "Countermeasure", "Effort", "Plan", "Tried", "advise", "table"]
