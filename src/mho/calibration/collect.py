"""Observers that collect, in passes of the digital network, what ranges follow from."""

from __future__ import annotations

import torch
from torch import Tensor

from mho.calibration.adc_ranges import adc_range
from mho.calibration.dac_ranges import dac_range
from mho.calibration.draws import draws
from mho.calibration.kept import Kept
from mho.calibration.ranges import Rule, Values
from mho.crossbar import Operator, ideal_cells
from mho.crossbar.operands import operands
from mho.crossbar.product import needs_adc_range, needs_input_range
from mho.errors import BadInput
from mho.hardware import Hardware
from mho.nn import AnalogMatrix


class Inputs:
    """Collects the inputs of each matrix; the digital product goes on.

    Attributes:
        batch: Number of the batch that is under way.
        kept: Whole inputs by path, where a rule minimises the error.

    Args:
        dacs: Rule for the DACs.
        adcs: Rule for the ADCs.
    """

    def __init__(self, dacs: Rule, adcs: Rule) -> None:
        self.dacs, self.adcs, self.batch = dacs, adcs, 0
        self.values: dict[str, Values] = {}
        self.kept: dict[str, Kept] = {}

    def wanted(self, hw: Hardware) -> bool:
        """True when something of the matrix follows from its inputs."""
        return needs_input_range(hw) or self._keeps(hw)

    def _keeps(self, hw: Hardware) -> bool:
        by_dac = needs_input_range(hw) and self.dacs.method == "error"
        return by_dac or (needs_adc_range(hw) and self.adcs.method == "error")

    def __call__(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator) -> Tensor:
        """The digital product."""
        y = operator(x, weight)
        if not self.wanted(matrix.hw):
            return y
        finite(x, matrix)
        if needs_input_range(matrix.hw) and self.dacs.method != "error":
            values = self.values.setdefault(matrix.path, Values(self.dacs.moments()))
            values.add(x, self.batch)
        if self._keeps(matrix.hw):
            finite(y, matrix)
            self.kept.setdefault(matrix.path, Kept(weight, operator)).add(x, y)
        return y

    def reached(self, matrix: AnalogMatrix) -> bool:
        """True when the matrix was read."""
        return matrix.path in self.values or matrix.path in self.kept

    def input_range(self, matrix: AnalogMatrix) -> Tensor:
        """Scalar."""
        if self.dacs.method == "error":
            return dac_range(matrix, self.kept[matrix.path])
        return self.dacs.range(self.values[matrix.path])

    def adc_range(self, matrix: AnalogMatrix) -> Tensor:
        """(readouts, blocks), of the smallest error."""
        return adc_range(matrix, self.kept[matrix.path])


class Outputs:
    """Collects the column outputs of each row block and readout; the digital product goes on.

    Attributes:
        batch: Number of the batch that is under way.

    Args:
        rule: Rule for the ADCs.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule, self.batch = rule, 0
        self.values: dict[str, list[list[Values]]] = {}
        self._calls: dict[str, int] = {}

    def wanted(self, hw: Hardware) -> bool:
        """True when the range of the ADC comes from data."""
        return needs_adc_range(hw)

    def __call__(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator) -> Tensor:
        """The digital product."""
        if self.wanted(matrix.hw):
            self._calls[matrix.path] = call = self._calls.get(matrix.path, 0) + 1
            with draws(matrix.hw, matrix.path, call):
                self._add(matrix, x, weight, operator)
        return operator(x, weight)

    def _add(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator) -> None:
        finite(x, matrix)
        product = matrix.product(weight, operator)
        cells = ideal_cells(operator.to_matrix(weight), product.plan, matrix.hw)
        held = operands(cells, operator, product.plan, product.kernel, matrix.hw)
        blocks, readouts = range(len(product.plan.blocks)), range(len(cells.weight))
        moments = self.rule.moments()
        values = self.values.setdefault(matrix.path, [[Values(moments) for _ in blocks] for _ in readouts])
        for b, (inputs, _) in enumerate(product.inputs(x, matrix.input_range)):
            for k, operand in enumerate(held.blocks[b]):
                values[k][b].add(product.columns(inputs, operand), self.batch)

    def reached(self, matrix: AnalogMatrix) -> bool:
        """True when the matrix was read."""
        return matrix.path in self.values

    def adc_range(self, matrix: AnalogMatrix) -> Tensor:
        """(readouts, blocks)."""
        return torch.stack([torch.stack([self.rule.range(v) for v in row]) for row in self.values[matrix.path]])


def finite(x: Tensor, matrix: AnalogMatrix) -> None:
    """Refuse values that no converter has a code for.

    Raises:
        BadInput: A value is not finite.
    """
    if x.numel() and not all(bool(torch.isfinite(end)) for end in torch.aminmax(x.detach())):
        raise BadInput("the values to convert are not finite", "check the data and the weights", path=matrix.path)
