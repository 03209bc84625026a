"""How a matrix lives on arrays: row blocks, scaling, encoding, converters, IR drop, the analog product.

Matrices are (groups, columns, rows) tensors: `columns` outputs and `rows` inputs of each group.
"""

from mho.crossbar.cells import Cells, ideal_cells
from mho.crossbar.operands import Operands
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Block, Plan
from mho.crossbar.product import AnalogProduct

__all__ = [
    "AnalogProduct",
    "Block",
    "Cells",
    "Operands",
    "Operator",
    "Plan",
    "ideal_cells",
]
