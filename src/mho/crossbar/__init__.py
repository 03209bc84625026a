"""How a matrix lives on arrays: row blocks, scaling, encoding, converters, IR drop, the analog product.

Matrices are (groups, columns, rows) tensors: `columns` outputs and `rows` inputs of each group.
"""

from mho.crossbar.cells import Cells, ideal_cells
from mho.crossbar.codes import Codes
from mho.crossbar.columns import Column, columns
from mho.crossbar.held import Held, Operand, effective, hold
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Block, Plan
from mho.crossbar.product import product
from mho.crossbar.scheme import Conversion, Scheme

__all__ = [
    "Block", "Cells", "Codes", "Column", "Conversion", "Held", "Operand", "Operator", "Plan", "Scheme", "columns",
    "effective", "hold", "ideal_cells", "product",
]  # fmt: skip
