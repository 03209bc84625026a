"""Watchers that collect, in passes of the digital network, what ranges follow from."""

from __future__ import annotations

import torch
from torch import Tensor

from mho.calibration.adc_ranges import adc_range
from mho.calibration.dac_ranges import dac_range
from mho.calibration.draws import draws
from mho.calibration.kept import Kept
from mho.calibration.ranges import Rule, Values
from mho.crossbar import Operator, Scheme, columns, hold, ideal_cells
from mho.errors import BadInput
from mho.nn import AnalogMatrix


class Inputs:
    """Collects the inputs of each matrix.

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

    def wanted(self, scheme: Scheme) -> bool:
        """True when something of the matrix follows from its inputs."""
        return scheme.needs_input_range or self._keeps(scheme)

    def _keeps(self, scheme: Scheme) -> bool:
        by_dac = scheme.needs_input_range and self.dacs.method == "error"
        return by_dac or (scheme.needs_adc_range and self.adcs.method == "error")

    def __call__(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator, y: Tensor) -> None:
        """See `mho.nn.matrix.Watcher`."""
        scheme = matrix.scheme(weight, operator)
        if not self.wanted(scheme):
            return
        check_values(x, matrix)
        if scheme.needs_input_range and self.dacs.method != "error":
            values = self.values.setdefault(matrix.path, Values(self.dacs.moments()))
            values.add(x, self.batch)
        if self._keeps(scheme):
            check_values(y, matrix)
            self.kept.setdefault(matrix.path, Kept(weight, operator)).add(x, y)

    def reached(self, matrix: AnalogMatrix) -> bool:
        """True when the matrix was read."""
        return matrix.path in self.values or matrix.path in self.kept

    def input_range(self, matrix: AnalogMatrix) -> Tensor:
        """The range of the DAC by its rule, a scalar."""
        if self.dacs.method == "error":
            return dac_range(matrix, self.kept[matrix.path])
        return self.dacs.range(self.values[matrix.path])

    def adc_range(self, matrix: AnalogMatrix) -> Tensor:
        """The ranges of the ADCs of the smallest error, (readouts, blocks)."""
        return adc_range(matrix, self.kept[matrix.path])


class Outputs:
    """Collects the column outputs of each row block and readout.

    Attributes:
        batch: Number of the batch that is under way.

    Args:
        rule: Rule for the ADCs.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule, self.batch = rule, 0
        self.values: dict[str, list[list[Values]]] = {}
        self._calls: dict[str, int] = {}

    def wanted(self, scheme: Scheme) -> bool:
        """True when the range of an ADC comes from data."""
        return scheme.needs_adc_range

    def __call__(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator, y: Tensor) -> None:
        """See `mho.nn.matrix.Watcher`."""
        scheme = matrix.scheme(weight, operator)
        if not self.wanted(scheme):
            return
        check_values(x, matrix)
        self._calls[matrix.path] = call = self._calls.get(matrix.path, 0) + 1
        blocks, readouts = scheme.plan.blocks, scheme.readouts.columns
        values = self.values.setdefault(matrix.path, [[Values(self.rule.moments()) for _ in blocks] for _ in readouts])
        held = hold(ideal_cells(operator.to_matrix(weight), scheme), operator, scheme)
        with draws(scheme, matrix.path, call):
            for column in columns(held, operator, x, matrix.input_range):
                if column.conversion.readout >= 0:
                    values[column.conversion.readout][column.conversion.block].add(column.seen(), self.batch)

    def reached(self, matrix: AnalogMatrix) -> bool:
        """True when the matrix was read."""
        return matrix.path in self.values

    def adc_range(self, matrix: AnalogMatrix) -> Tensor:
        """The ranges of the ADCs by their rule, (readouts, blocks)."""
        return torch.stack([torch.stack([self.rule.range(v) for v in row]) for row in self.values[matrix.path]])


def check_values(x: Tensor, matrix: AnalogMatrix) -> None:
    """Refuse values that no converter has a code for.

    Raises:
        BadInput: A value is not finite.
    """
    if x.numel() and not all(bool(torch.isfinite(end)) for end in torch.aminmax(x.detach())):
        raise BadInput("the values to convert are not finite", "check the data and the weights", path=matrix.path)
